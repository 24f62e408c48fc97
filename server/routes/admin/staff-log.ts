import { z } from 'zod';
import { logStaffAction } from '../../../accounts/staff-log.ts';
import { staffEntryPage } from '../../../insight/contract.ts';
import { everyStaffEntry, type StaffLogSearch, searchStaffLog } from '../../../insight/staff-log-search.ts';
import type { Collections } from '../../../store/collections.ts';
import { cursorLike, instant, pageSize } from '../../http/inputs.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';
import { byteOrderMark, csvLines } from './csv.ts';

const search = z.strictObject({
  actor: z.string().trim().min(1).max(254).optional().describe('Account id, e-mail address, name of a key'),
  action: z
    .string()
    .regex(/^[a-z_]{1,40}(\.[a-z_]{1,40})?$/, 'expected an action such as sale.paused, or its first part')
    .optional(),
  subject: z.string().trim().min(1).max(200).optional().describe('Id of what was changed'),
  from: instant.optional(),
  to: instant.optional(),
});

export const staffLogRoutes = ({ collections }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/staff-log',
    access: 'admin',
    summary: 'Who changed what, newest first',
    query: search.extend({ cursor: cursorLike(/^\d{12}$/), limit: pageSize }),
    answer: [200, staffEntryPage],
    async handle({ query: { cursor, limit, ...wanted } }) {
      return { status: 200, body: await searchStaffLog(collections, wanted, { cursor, limit }) };
    },
  }),
  route({
    method: 'get',
    path: '/api/admin/staff-log.csv',
    access: 'admin',
    summary: 'All entries that are found, newest first',
    query: search,
    answer: [200, z.string()],
    media: 'text/csv',
    async handle({ query, ...call }) {
      const subject = { kind: 'staff_log', id: 'all' };
      await logStaffAction(collections, {
        ...byOf(call),
        action: 'staff_log.exported',
        subject,
        after: query,
      });
      const headers = {
        'Content-Type': 'text/csv; charset=utf-8',
        'Content-Disposition': 'attachment; filename="staff-log.csv"',
      };
      return { status: 200, text: csvOf(collections, query), headers };
    },
  }),
];

const actorColumns = ['actor kind', 'actor id', 'actor name', 'role', 'address', 'request'];
const columns = [
  'entry',
  'at',
  ...actorColumns,
  'action',
  'subject kind',
  'subject',
  'before',
  'after',
  'hash',
];

/** Streams the entries as CSV, as fast as the client reads. */
async function* csvOf(collections: Collections, wanted: StaffLogSearch): AsyncGenerator<string> {
  yield byteOrderMark + csvLines([columns]);
  for await (const entries of everyStaffEntry(collections, wanted)) {
    const rows = entries.map(({ _id, at, actor, from, requestId, action, subject, before, after, hash }) => [
      ...[Number(_id), at.toISOString(), actor.kind, actor.id, actor.name, actor.role, from, requestId],
      ...[action, subject.kind, subject.id, before, after, hash],
    ]);
    yield csvLines(rows.map((row) => row.map((cell) => cell ?? '')));
  }
}
