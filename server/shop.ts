import type { Redis } from 'ioredis';
import type { Revocation } from '../accounts/session.ts';
import type { Admit } from '../sale/admission/admission.ts';
import type { Gate } from '../sale/admission/gate.ts';
import type { SaleSnapshot } from '../sale/contract.ts';
import type { PurchaseQueue } from '../sale/queue/queue.ts';
import type { SaleChanges } from '../sale/sale-change.ts';
import type { Cancellations } from '../sale/settlement/cancellation.ts';
import type { Settled } from '../sale/settlement/transaction.ts';
import type { Collections } from '../store/collections.ts';
import type { AccountLimits } from './http/limits.ts';
import type { Challenges } from './http/proof-of-work.ts';
import type { Tokens } from './http/tokens.ts';
import type { SettledOrders } from './live/settled-orders.ts';
import type { Audits } from './routes/admin/audits.ts';

/** Everything a handler may need, opened by main.ts. */
export interface Shop {
  collections: Collections;
  admit: Admit;
  cancel: Cancellations['cancel'];
  changeSale: SaleChanges['change'];
  gate: Gate;
  queue: PurchaseQueue;
  redis: Redis;
  /** Events that wait for each subscriber. */
  countLag: () => Promise<Record<string, number>>;
  audits: Audits;
  tokens: Tokens;
  limits: AccountLimits;
  challenges: Challenges;
  bcryptCost: number;
  /** How long a session can be renewed. */
  sessionSeconds: number;
  /** Whose pages may use a session beside our own. */
  allowedOrigins: readonly string[];
  /** Refuses this user's access tokens from before then and cuts off their sockets, on every instance. */
  revokeTokens: (who: Revocation) => void;
  /** Recent orders that are known without MongoDB, and the requests that wait for them. */
  settledOrders: SettledOrders;
  /** A session's token came a second time: somebody had copied it. */
  onSessionReused: (userId: string) => void;
  /** Sends an admin's change to everyone who watches the sale, on every instance. */
  announceSale: (snapshot: SaleSnapshot) => void;
  /** Sends what a transaction changed to everyone it concerns, on every instance. */
  announceSettled: (settled: Settled) => void;
}
