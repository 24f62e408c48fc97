import type Bull from 'bull';
import type { Admit } from '../sale/admission.ts';
import type { Collections } from '../sale/collections.ts';
import type { PurchaseJob, SaleSnapshot } from '../sale/contract.ts';
import type { Gate } from '../sale/gate.ts';
import type { Settled } from '../sale/transaction.ts';
import type { Tokens } from './auth.ts';

/** Everything a handler may need, opened by main.ts. */
export interface Shop {
  collections: Collections;
  admit: Admit;
  gate: Gate;
  queue: Bull.Queue<PurchaseJob>;
  tokens: Tokens;
  bcryptCost: number;
  /** Sends an admin's change to everyone who watches the sale, on every instance. */
  announceSale: (snapshot: SaleSnapshot) => void;
  /** Sends what a transaction changed to everyone it concerns, on every instance. */
  announceSettled: (settled: Settled) => void;
}
