import { Schema } from 'mongoose';
import type { Suspicion } from '../insight/contract.ts';
import type { OpenCollection } from './collections.ts';

/** The documents of the order desk. */

export interface NoteRecord {
  text: string;
  at: Date;
  /** The user who wrote it. */
  byId: string;
  byName: string;
}

/** The staff's notes on an order; they are only ever added. */
export interface OrderNotesRecord {
  /** The order's id. */
  _id: string;
  buyerId: string;
  /** The oldest first; at most 100. */
  notes: NoteRecord[];
}

/** A network from which an account signed in; MongoDB deletes it 30 days after the last time. */
export interface AccountNetworkRecord {
  /** `<userId>:<networkKey>` */
  _id: string;
  userId: string;
  /** HMAC of the network: see accounts/network.ts. */
  networkKey: string;
  seenAt: Date;
}

/** An order that staff should look at before it is shipped; MongoDB deletes it after 90 days. */
export interface SuspectRecord {
  /** The order's id. */
  _id: string;
  saleId: string;
  buyerId: string;
  state: Suspicion['state'];
  /** Names what its buyer shares with others: a network, or a way to pay. */
  networkKey: string;
  /** Absent in marks of an earlier version, which are by network. */
  shared?: Suspicion['shared'];
  /** Number of buyers of the sale who share it. */
  buyers: number;
  markedAt: Date;
}

const text = { type: String, required: true } as const;
const options = { versionKey: false, minimize: false, strict: 'throw' } as const;
const keptSeconds = 30 * 86_400;
const markKeptSeconds = 90 * 86_400;

const orderNotes = new Schema<OrderNotesRecord>(
  {
    _id: text,
    buyerId: { ...text, index: true },
    notes: { type: Schema.Types.Mixed, required: true } as never,
  },
  { ...options, collection: 'order_notes' },
);

const accountNetwork = new Schema<AccountNetworkRecord>(
  {
    _id: text,
    userId: { ...text, index: true },
    networkKey: text,
    seenAt: { type: Date, required: true, expires: keptSeconds },
  },
  { ...options, collection: 'account_networks' },
);

const suspect = new Schema<SuspectRecord>(
  {
    _id: text,
    saleId: text,
    buyerId: { ...text, index: true },
    state: text,
    networkKey: text,
    shared: { type: String },
    buyers: { type: Number, required: true },
    markedAt: { type: Date, required: true, expires: markKeptSeconds },
  } as never,
  { ...options, collection: 'suspects' },
).index({ saleId: 1, state: 1, networkKey: 1, _id: 1 });

export function openDeskCollections(open: OpenCollection) {
  return {
    orderNotes: open<OrderNotesRecord>('OrderNotes', orderNotes),
    accountNetworks: open<AccountNetworkRecord>('AccountNetwork', accountNetwork),
    suspects: open<SuspectRecord>('Suspect', suspect),
  };
}
