import { z } from 'zod';
import { count } from '../../../../sale/contract.ts';
import { changeRoom } from '../../../../sale/room/room.ts';
import { byId, line } from '../../../http/inputs.ts';
import { refuse } from '../../../http/problems.ts';
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
  extra: count.describe('People to be let in beyond the pace who are not called yet'),
});

export const roomRoutes = ({ collections }: Shop): Route[] => [
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
      if (!control) return refuse('no-room', `Sale ${params.id} does not exist, or has no waiting room`);
      return { status: 200, body: control };
    },
  }),
];
