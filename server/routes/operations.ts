import { z } from 'zod';
import * as shapes from '../../sale/contract.ts';
import type { ProblemName } from '../http/problems.ts';
import { adminOperations } from './admin-operations.ts';

/** What `/openapi.json` says of a route beside its input: that is in the route itself. */
export interface Operation {
  summary: string;
  /** The status of success, and what is in its body; null when there is none. */
  answer: readonly [number, z.ZodType | null];
  /** Refusals of its own. Those of its access and input follow from the route. */
  problems?: readonly ProblemName[];
  /** Headers that the answer always carries. */
  headers?: readonly (keyof typeof headers)[];
  /** The media type of an answer that is not JSON. */
  media?: string;
  takesIdempotencyKey?: true;
  /** `Prefer: wait` holds the answer until its order is settled; then it is 200 with this. */
  afterWaiting?: z.ZodType;
  /** While challenges are turned on. */
  takesProofOfWork?: true;
  /** Asks for the cookie that a sign-in sets. */
  takesSessionCookie?: true;
}

/** Every header that an answer may carry, described once. */
export const headers = {
  Location: 'Where to read what was made',
  'Retry-After': 'Seconds after which to ask again',
  ETag: 'Send it as If-None-Match: what has not changed is answered 304',
  'Idempotency-Key': 'The key of this purchase; made up when the request had none',
  'Preference-Applied': 'For how many seconds the answer was held at most',
  'Set-Cookie': 'The session: HttpOnly, SameSite=Strict, sent to /api/sessions only',
} as const;

/** By method and path, as in routes.ts. A test fails when one is missing here. */
export const operations: Record<string, Operation> = {
  'POST /api/users': {
    summary: 'Sign up',
    answer: [201, shapes.session],
    problems: ['email-taken', 'work-required'],
    takesProofOfWork: true,
    headers: ['Set-Cookie'],
  },
  'POST /api/sessions': {
    summary: 'Sign in',
    answer: [201, shapes.session],
    problems: ['unauthorized'],
    headers: ['Set-Cookie'],
  },
  'DELETE /api/sessions': {
    summary: 'Sign out everywhere: every session, access token and socket of this account',
    answer: [204, null],
    headers: ['Set-Cookie'],
  },
  'POST /api/sessions/renewal': {
    summary: 'A new access token for the session in the cookie, which changes with it',
    answer: [200, shapes.session],
    problems: ['unauthorized', 'forbidden', 'unsupported-media-type'],
    headers: ['Set-Cookie'],
    takesSessionCookie: true,
  },
  'DELETE /api/sessions/current': {
    summary: 'Sign out: ends the session in the cookie',
    answer: [204, null],
    problems: ['unauthorized', 'forbidden'],
    headers: ['Set-Cookie'],
    takesSessionCookie: true,
  },
  'GET /api/account/export': {
    summary: 'Everything the shop keeps about me',
    answer: [200, shapes.accountExport],
    problems: ['not-found'],
  },
  'DELETE /api/account': {
    summary:
      'Delete my account: the orders stay without a name, and a keyed hash of the address keeps the limits',
    answer: [204, null],
    problems: ['not-found'],
    headers: ['Set-Cookie'],
  },
  'POST /api/visitors': {
    summary: 'A token for watching without an account',
    answer: [201, shapes.visitor],
  },

  'GET /api/sales': {
    summary: 'The sales, those that end last first, page by page',
    answer: [200, shapes.salePage],
    headers: ['ETag'],
  },
  'GET /api/sales/:id': {
    summary: 'A sale as it is now',
    answer: [200, shapes.saleSnapshot],
    problems: ['not-found'],
    headers: ['ETag'],
  },
  'POST /api/sales/:id/purchases': {
    summary: 'Buy',
    answer: [202, shapes.purchaseReceipt],
    problems: [
      'not-found',
      'sold-out',
      'not-open',
      'paused',
      'ended',
      'over-limit',
      'key-reused',
      'busy',
      'work-required',
    ],
    takesProofOfWork: true,
    headers: ['Location', 'Retry-After', 'Idempotency-Key'],
    takesIdempotencyKey: true,
    afterWaiting: shapes.order,
  },
  'GET /api/orders': { summary: 'My orders, newest first', answer: [200, shapes.orderPage] },
  'GET /api/orders/:id': {
    summary: 'My order',
    answer: [200, shapes.order],
    problems: ['not-found'],
    afterWaiting: shapes.order,
  },
  'POST /api/orders/:id/payment': {
    summary: 'Pay a held order',
    answer: [200, shapes.order],
    problems: ['not-found', 'not-settled', 'not-payable'],
  },
  'DELETE /api/orders/:id': {
    summary: 'Cancel an order, which returns its units',
    answer: [200, shapes.order],
    problems: ['not-found', 'not-settled', 'not-cancellable', 'busy'],
  },
  'GET /schemas/:type/1': {
    summary: 'JSON Schema of the data of an event, as its `dataschema` says',
    answer: [200, z.looseObject({ $schema: z.string() })],
    problems: ['not-found'],
  },
  ...adminOperations,
};
