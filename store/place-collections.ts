import { Schema } from 'mongoose';
import type { PurchaseLine } from '../sale/contract.ts';
import type { OpenCollection } from './collections.ts';

/** The collections of people's places: their entries in draws and their turns on waiting lists. */

/** The place of one person in one sale. */
export interface PlaceRecord {
  /** `<saleId>:<personId>` */
  _id: string;
  saleId: string;
  personId: string;
  /** The account with which the person came last; it gets the order. */
  buyerId: string;
  /** What is asked for, at most. */
  lines: PurchaseLine[];
  state: 'waiting' | 'offered' | 'left';
  /** Units go to lower positions first. Null until the draw. */
  position: number | null;
  /** What the draw publishes instead of the person. Absent when the person has not entered the draw, as the next two. */
  pseudonym?: string;
  /** By which the drawn order is sorted. */
  drawKey?: string;
  /** The position that was drawn; it stays when the person leaves and comes again. */
  drawn?: number;
  /** The order that the person was offered, the number of that round of offers, and the units that it has. */
  orderId?: string;
  offer?: number;
  given?: PurchaseLine[];
  joinedAt: Date;
}

/** The public random number that a draw depends on: see sale/places/beacon.ts. */
export interface BeaconRecord {
  /** The hash that names its network. */
  chain: string;
  round: number;
  /** When the round is published. */
  at: Date;
  /** In hex, as its signature; null until it is here. */
  randomness: string | null;
  signature: string | null;
  /** Why it is not here, when it was asked for last. */
  error: string | null;
  /** When the shop went on without it. */
  waivedAt: Date | null;
}

export interface DrawRecord {
  /** SHA-256 of the seed, in hex. */
  commitment: string;
  /** `closing`: entries are refused, and the list is being read. `frozen`: its digest is published. */
  state: 'entering' | 'closing' | 'frozen' | 'drawn';
  /** Number of entries. */
  entries: number | null;
  /** SHA-256 of the list of pseudonyms, in hex. */
  digest: string | null;
  frozenAt: Date | null;
  /** In hex, published when the draw is made. */
  seed: string | null;
  drawnAt: Date | null;
  /** Named with the digest. Absent in a draw that depends on none. */
  beacon?: BeaconRecord;
}

/** What all places of a sale share. Every transaction that changes places writes it, so that they run one after the other. */
export interface PlaceListRecord {
  /** The sale's id. */
  _id: string;
  places: number;
  lastPosition: number;
  /** Number of rounds of offers. */
  offers: number;
  writes: number;
  draw: DrawRecord | null;
}

const text = { type: String, required: true } as const;
const number = { type: Number, required: true } as const;
const options = { versionKey: false, minimize: false, strict: 'throw' } as const;

const place = new Schema<PlaceRecord>(
  {
    _id: text,
    saleId: text,
    personId: text,
    buyerId: { ...text, index: true },
    lines: { type: Schema.Types.Mixed, required: true } as never,
    state: text,
    position: { type: Number },
    pseudonym: { type: String },
    drawKey: { type: String },
    drawn: { type: Number },
    orderId: { type: String },
    offer: { type: Number },
    given: { type: Schema.Types.Mixed } as never,
    joinedAt: { type: Date, required: true },
  } as never,
  { ...options, collection: 'places' },
)
  .index({ saleId: 1, state: 1, position: 1 })
  // For the audit, which reads the places of all states in their order.
  .index({ saleId: 1, position: 1 })
  .index({ saleId: 1, state: 1, 'lines.itemId': 1, position: 1 })
  .index({ saleId: 1, pseudonym: 1 }, { partialFilterExpression: { pseudonym: { $exists: true } } })
  .index({ saleId: 1, drawKey: 1 }, { partialFilterExpression: { drawKey: { $exists: true } } });

const placeList = new Schema<PlaceListRecord>(
  {
    _id: text,
    places: number,
    lastPosition: number,
    offers: number,
    writes: number,
    draw: { type: Schema.Types.Mixed, default: null } as never,
  },
  { ...options, collection: 'place_lists' },
);

export function openPlaceCollections(open: OpenCollection) {
  return {
    places: open<PlaceRecord>('Place', place),
    placeLists: open<PlaceListRecord>('PlaceList', placeList),
  };
}
