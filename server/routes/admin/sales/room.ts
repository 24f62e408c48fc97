import { z } from 'zod';
import { logStaffAction } from '../../../../accounts/staff-log.ts';
import { type Beat, readBeats } from '../../../../runtime/leader/heartbeat.ts';
import { count } from '../../../../sale/contract.ts';
import { findValues } from '../../../../sale/draft.ts';
import { changeRoom, readControl } from '../../../../sale/room/room.ts';
import type { NewSale } from '../../../../sale/sale.ts';
import { byId, line } from '../../../http/inputs.ts';
import { type Refusal, refuse } from '../../../http/problems.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import type { Shop } from '../../../shop.ts';

/** What the control room does with a waiting room, besides its pace, which is a term of the sale. */
const roomChange = z
  .strictObject({
    paused: z.boolean().optional().describe('Nobody is called while it is paused'),
    letIn: z.int().min(1).max(1_000).optional().describe('So many people are called beyond the pace'),
    message: line(200)
      .nullable()
      .optional()
      .describe('What everybody who waits reads; null or empty: nothing'),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), {
    error: 'expected at least one of paused, letIn, message',
  });
const roomControl = z.object({
  paused: z.boolean(),
  message: z.string().nullable(),
  extra: count.describe(
    'People to be let in beyond the pace who are not called yet; a minute later none any more',
  ),
});

/**
 * A process of a version before sells past a waiting room, or past phases, because it knows none, and lets too many into a site.
 * @returns why a sale with one of them cannot be published now, or a draft have a site; null when it can, and for any other sale.
 */
export async function unsafeDoors(
  { redis }: Pick<Shop, 'redis'>,
  { mode, site, phases = [] }: Pick<NewSale, 'mode' | 'site' | 'phases'>,
): Promise<Refusal | null> {
  const isRoom = mode === 'room';
  if (!isRoom && phases.length === 0) return null;
  const { living } = await readBeats(redis);
  const isOld = (beat: Beat) =>
    (isRoom && !beat.isSharded) || (phases.length > 0 && !beat.knowsPhases) || (site && !beat.knowsSites);
  const old = living.filter(isOld).map(({ instance }) => instance);
  if (old.length === 0) return null;
  const detail = `A waiting room and phases need all processes updated; of the version before: ${old.slice(0, 10).join(', ')}`;
  return refuse('unavailable', detail);
}

const siteKeys = z.object({
  url: z.string(),
  keys: z.string().describe('`kid:secret,…`, which only the site may know'),
});

export const noPassKeys = 'The servers have no ROOM_PASS_KEYS, with which passes into the site are signed';

const noRoom = (saleId: string) => refuse('no-room', `Sale ${saleId} does not exist, or has no waiting room`);

export const roomRoutes = ({ collections, sitePasses }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/sales/:id/site-keys',
    access: 'admin',
    summary: 'The keys with which the site of a waiting room checks passes, as its ROOM_PASS_KEYS',
    params: byId,
    answer: [200, siteKeys],
    problems: ['not-found'],
    async handle({ params, ...call }) {
      const site = (await findValues(collections, params.id))?.site;
      if (!site) return refuse('not-found', `Sale ${params.id} does not exist, or has no site`);
      const keys = sitePasses.keysOf(site.url);
      if (keys === null) return refuse('unavailable', noPassKeys);
      const subject = { kind: 'sale', id: params.id };
      await logStaffAction(collections, { ...byOf(call), action: 'site_keys.read', subject });
      return { status: 200, body: { url: site.url, keys }, headers: { 'Cache-Control': 'no-store' } };
    },
  }),
  route({
    method: 'get',
    path: '/api/admin/sales/:id/room',
    access: 'viewer',
    scope: 'sales:read',
    summary: 'What the shop has set in a waiting room',
    params: byId,
    answer: [200, roomControl],
    problems: ['no-room'],
    async handle({ params }) {
      const control = await readControl(collections, params.id);
      return control ? { status: 200, body: control } : noRoom(params.id);
    },
  }),
  route({
    method: 'patch',
    path: '/api/admin/sales/:id/room',
    access: 'admin',
    scope: 'sales:write',
    summary: 'Pause or resume a waiting room, let more people in, tell everybody who waits something',
    params: byId,
    body: roomChange,
    answer: [200, roomControl],
    problems: ['no-room'],
    async handle({ params, body, ...call }) {
      const control = await changeRoom(collections, params.id, body, byOf(call));
      return control ? { status: 200, body: control } : noRoom(params.id);
    },
  }),
];
