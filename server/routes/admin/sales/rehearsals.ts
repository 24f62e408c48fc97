import { z } from 'zod';
import { appendStaffEntry } from '../../../../accounts/staff-log.ts';
import { rehearsalReport, rehearsalStatus } from '../../../../insight/contract.ts';
import { rehearsalPage } from '../../../../rehearsal/page.ts';
import { readRehearsalStatus, requestRehearsal } from '../../../../rehearsal/status.ts';
import { faultOf } from '../../../../rehearsal/verdict.ts';
import { transact } from '../../../../runtime/databases/transact.ts';
import { findValues } from '../../../../sale/draft.ts';
import { byId } from '../../../http/inputs.ts';
import { refuse, wrongField } from '../../../http/problems.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import type { Shop } from '../../../shop.ts';
import { noSale } from '../../sales.ts';

const rehearsal = z.strictObject({
  buyers: z.int().min(1).max(100_000).describe('At most REHEARSAL_MAX_BUYERS'),
  withinSeconds: z
    .int()
    .min(1)
    .max(60)
    .default(5)
    .describe('All press within so many seconds of the opening'),
  besideOpenSales: z
    .boolean()
    .default(false)
    .describe('Also while a sale is open, or opens within 15 minutes'),
});

/** Rehearsals of sales, which the workers' leader plays: one at a time. */
export const rehearsalRoutes = ({ collections, redis, maxRehearsalBuyers }: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/admin/sales/:id/rehearsals',
    access: 'admin',
    summary: 'Play hidden copies of a sale or a draft against this deployment, with simulated buyers',
    params: byId,
    body: rehearsal,
    answer: [202, z.object({ state: z.literal('running') })],
    problems: ['not-found', 'busy'],
    async handle({ params, body, ...call }) {
      if (body.buyers > maxRehearsalBuyers)
        return wrongField('buyers', `expected at most ${maxRehearsalBuyers} (REHEARSAL_MAX_BUYERS)`);
      const values = await findValues(collections, params.id);
      if (!values) return noSale(params.id);
      const fault = faultOf(values);
      if (fault) return wrongField('id', fault);
      if ((await readRehearsalStatus(redis)).state === 'running') return busy();
      const subject = { kind: 'sale', id: params.id };
      const entry = {
        ...byOf(call),
        action: 'rehearsal.requested',
        subject,
        after: body,
      };
      // Written first, so that none is played which the staff log does not have.
      await transact(collections.connection, (session) => appendStaffEntry(collections, session, entry));
      if (!(await requestRehearsal(redis, { saleId: params.id, ...body }))) return busy();
      return { status: 202, body: { state: 'running' } };
    },
  }),
  route({
    method: 'get',
    path: '/api/admin/rehearsals',
    access: 'viewer',
    summary: 'Whether a rehearsal runs, and what the last one found',
    // The rest of a report is not documented, because only the control room's page reads it.
    answer: [
      200,
      rehearsalStatus.extend({
        last: rehearsalReport
          .pick({ saleId: true, at: true, buyers: true, go: true, taken: true, weakest: true })
          .loose()
          .nullable(),
      }),
    ],
    async handle() {
      const status = await readRehearsalStatus(redis);
      return { status: 200, body: { ...status, maxBuyers: maxRehearsalBuyers } };
    },
  }),
  route({
    method: 'get',
    path: '/api/admin/rehearsals/page',
    access: 'viewer',
    summary: 'What the last rehearsal found, as a page to show or print',
    answer: [200, null],
    media: 'text/html',
    problems: ['not-found'],
    async handle() {
      const { last } = await readRehearsalStatus(redis);
      if (!last) return refuse('not-found', 'There was no rehearsal within the last 30 days');
      const headers = {
        'Content-Type': 'text/html; charset=utf-8',
        'Content-Disposition': `attachment; filename="rehearsal-${last.saleId}.html"`,
      };
      return { status: 200, text: once(rehearsalPage(last)), headers };
    },
  }),
];

const busy = () => refuse('busy', 'A rehearsal runs, or waits for a worker');

async function* once(text: string) {
  yield text;
}
