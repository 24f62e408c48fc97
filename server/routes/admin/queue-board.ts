import { createBullBoard } from '@bull-board/api';
import { BullAdapter } from '@bull-board/api/bullAdapter';
import { ExpressAdapter } from '@bull-board/express';
import { type RequestHandler, Router } from 'express';
import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import { currentRole } from '../../../accounts/staff.ts';
import { logStaffAction } from '../../../accounts/staff-log.ts';
import type { Collections } from '../../../store/collections.ts';
import { refuse } from '../../http/problems.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

/**
 * Bull's own board, read-only, because a dead letter may only be changed by sale/settlement/dead-letters.ts, which rejects its
 * orders. A page load cannot carry the admin's token, so an admin gets a ticket for one visit, which becomes a cookie for the
 * board's path.
 */
const boardPath = '/admin/queues';
const cookieName = 'stampede_board';
const ticketSeconds = 60;
const visitSeconds = 30 * 60;

const ticketKey = (ticket: string) => `board:ticket:${ticket}`;
const visitKey = (visit: string) => `board:visit:${visit}`;
const secretPattern = /^[\w-]{32}$/;

export const queueVisitRoutes = ({ queue, redis, collections }: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/admin/queue-visits',
    access: 'admin',
    summary: 'A ticket for one visit to the board of the queue',
    answer: [201, z.object({ path: z.string() })],
    async handle(call) {
      if (queue.bulls.length === 0) return refuse('not-found', 'RabbitMQ has a board of its own');
      const subject = { kind: 'queue_board', id: 'purchases' };
      await logStaffAction(collections, { ...byOf(call), action: 'queue_board.visited', subject });
      const ticket = nanoid(32);
      await redis.set(ticketKey(ticket), call.identity.userId, 'EX', ticketSeconds);
      return { status: 201, body: { path: `${boardPath}/?ticket=${ticket}` } };
    },
  }),
];

export function boardRoutes({ queue: { bulls }, redis, collections }: Shop): Router {
  if (bulls.length === 0) return Router();
  const adapter = new ExpressAdapter();
  adapter.setBasePath(boardPath);
  createBullBoard({
    // The cast is needed, because the adapter's types are those of another version of Bull.
    queues: bulls.map((bull) => new BullAdapter(bull as never, { readOnlyMode: true, allowRetries: false })),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'Stampede', hideRedisDetails: true } },
  });
  return Router().use(boardPath, admitVisitor(redis, collections), relaxPolicy, adapter.getRouter());
}

/** A visit ends when its admin is none any more. */
function admitVisitor(redis: Redis, collections: Collections): RequestHandler {
  return async (request, response, next) => {
    const ticket = String(request.query.ticket ?? '');
    const userId = secretPattern.test(ticket) ? await redis.getdel(ticketKey(ticket)) : null;
    if (userId) {
      const visit = nanoid(32);
      await redis.set(visitKey(visit), userId, 'EX', visitSeconds);
      const maxAge = visitSeconds * 1_000;
      response.cookie(cookieName, visit, {
        ...{ httpOnly: true, sameSite: 'strict', secure: request.secure },
        ...{ path: boardPath, maxAge },
      });
      // The redirect removes the ticket from the address bar and the browser's history.
      return response.redirect(303, `${boardPath}/`);
    }
    const visit = new RegExp(`(?:^|; )${cookieName}=([\\w-]{32})(?:;|$)`).exec(
      request.get('cookie') ?? '',
    )?.[1];
    const visitor = visit ? await redis.get(visitKey(visit)) : null;
    if (visitor && (await currentRole(collections, visitor, 'admin')) === 'admin') return next();
    // A visit begins in the control room, which knows whether the user is an admin.
    if (request.accepts('html')) return response.redirect(303, '/admin#queues');
    response.status(401).end();
  };
}

/** Allows inline styles, which the board's page uses; scripts are still allowed from this site only. */
const relaxPolicy: RequestHandler = (_request, response, next) => {
  response.set(
    'Content-Security-Policy',
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
      "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
  );
  response.set('Cache-Control', 'no-store');
  next();
};
