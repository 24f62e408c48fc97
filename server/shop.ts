import type { Redis } from 'ioredis';
import type { AccountMails } from '../accounts/account-mail.ts';
import type { AliasDomains } from '../accounts/email-address.ts';
import type { TokenSecrets } from '../accounts/one-time-token.ts';
import type { Provider } from '../accounts/provider/provider.ts';
import type { Revocation } from '../accounts/session.ts';
import type { Lag } from '../messages/subscriptions.ts';
import type { Availability } from '../runtime/observe/availability.ts';
import type { Log } from '../runtime/observe/log.ts';
import type { Door } from '../sale/access/door.ts';
import type { Admit } from '../sale/admission/admission.ts';
import type { Gate } from '../sale/admission/gate.ts';
import type { openDemands } from '../sale/bots/demands.ts';
import type { Networks } from '../sale/bots/networks.ts';
import type { Puzzles } from '../sale/bots/puzzles.ts';
import type { SaleSnapshot } from '../sale/contract.ts';
import type { Payments } from '../sale/payment/payments.ts';
import type { SimulatedProvider } from '../sale/payment/simulated.ts';
import type { BeaconChain } from '../sale/places/beacon.ts';
import type { Places } from '../sale/places/places.ts';
import type { PurchaseQueue } from '../sale/queue/queue.ts';
import type { Passes } from '../sale/room/passes.ts';
import type { SitePasses } from '../sale/room/site-passes.ts';
import type { SaleChanges } from '../sale/sale-change.ts';
import type { Cancellations } from '../sale/settlement/cancellation.ts';
import type { Settled } from '../sale/settlement/transaction.ts';
import type { Collections } from '../store/collections.ts';
import type { Captcha } from './bots/captcha.ts';
import type { Tokens } from './http/identity/tokens.ts';
import type { AccountLimits } from './http/limits.ts';
import type { Rooms } from './live/rooms.ts';
import type { SettledOrders } from './live/settled-orders.ts';
import type { Audits } from './routes/admin/audits.ts';

/** The dependencies of the handlers, opened by main.ts. */
export interface Shop {
  collections: Collections;
  admit: Admit;
  /** Says when a sale with phases opens for a buyer. */
  door: Door;
  /** What a sale demands of people before a purchase or a place; null for an unknown sale. */
  demandsOf: ReturnType<typeof openDemands>;
  cancel: Cancellations['cancel'];
  changePlace: Places['change'];
  changeSale: SaleChanges['change'];
  /** Null when the shop takes no payments here. */
  payments: Payments | null;
  /** The simulated provider's own interface; null when the shop has another one. */
  simulatedPayments: SimulatedProvider | null;
  stripePublishableKey: string;
  gate: Gate;
  queue: PurchaseQueue;
  redis: Redis;
  /** The consumer lag in events, by subscription. */
  countLag: () => Promise<Lag>;
  audits: Audits;
  /** The bound of a rehearsal that the operator set. */
  maxRehearsalBuyers: number;
  /** Which databases do not answer. */
  availability: Availability;
  tokens: Tokens;
  limits: AccountLimits;
  puzzles: Puzzles;
  /** How hard the puzzle for a sign-up and any purchase is; 0 for none. */
  difficultyBits: number;
  /** Null when the shop has none. */
  captcha: Captcha | null;
  networks: Networks;
  rooms: Rooms;
  passes: Passes;
  sitePasses: SitePasses;
  /** For how long a pass into a sale with a waiting room lets its person buy. */
  roomPassSeconds: number;
  /** Null when this shop sends no mail. */
  mails: AccountMails | null;
  tokenSecrets: TokenSecrets;
  bcryptCost: number;
  /** Whether there are accounts with passwords; otherwise everybody signs in at the identity provider. */
  takesPasswords: boolean;
  /** For the sign-in in the pages; null when there is none. */
  provider: Provider | null;
  /** The shop's URL without a trailing slash. */
  publicUrl: string;
  /** The network whose public random numbers draws depend on. */
  beaconChain: BeaconChain;
  log: Log;
  aliasDomains: AliasDomains;
  /** How long a session can be renewed after a sign-in. */
  sessionSeconds: number;
  /** Origins besides our own whose pages may use a session. */
  allowedOrigins: readonly string[];
  /** Revokes this user's older access tokens and closes their sockets, on every instance. */
  revokeTokens: (who: Revocation) => void;
  /** The cache of recent orders, and the requests that wait for one. */
  settledOrders: SettledOrders;
  /** Called when a session's token is used a second time, which means that it was copied. */
  onSessionReused: (userId: string) => void;
  /** Sends an admin's change to all pages that show the sale, on every instance. */
  announceSale: (snapshot: SaleSnapshot) => void;
  /** Sends a transaction's changes to the pages of the sales and buyers concerned, on every instance. */
  announceSettled: (settled: Settled) => void;
}
