import { Schema } from 'mongoose';
import type { PurchaseLine } from '../sale/contract.ts';
import type { OpenCollection } from './collections.ts';

/** The collections of people's places: in draws, on waiting lists and in waiting rooms. */

/** The place of one person in one sale. */
export interface PlaceRecord {
  /** `<saleId>:<personId>` */
  _id: string;
  saleId: string;
  personId: string;
  /** The account with which the person came last; it gets the order. */
  buyerId: string;
  /** What is asked for, at most. None in a waiting room, where people choose when they buy. */
  lines: PurchaseLine[];
  /** The id of the code that the person's order redeems. Absent when it needs none. */
  code?: string;
  /** `called` and the next two only in a waiting room: `inside` with a pass to buy, `served` when they have bought. */
  state: 'waiting' | 'offered' | 'left' | 'called' | 'inside' | 'served';
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
  /** Each time that the person was called into a waiting room, the last one last. */
  calls?: RoomCall[];
  /** Whether the person did not come when called, and was sent to the end for it. */
  missed?: true;
  /** When the pass of a person inside ends. */
  passUntil?: Date;
  /** A keyed hash of the network from which the person came; only in a sale that limits the people of one network. */
  networkKey?: string;
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

/** One call of one person into a waiting room. */
export interface RoomCall {
  /** The place from which the person was called. */
  position: number;
  /** Counts all calls of the room. */
  number: number;
  at: Date;
  /** The person has to come before then. */
  answerBy: Date;
  /** Units of the sale that the person had before. */
  units: number;
  /** Whether the person, who did not come at once, got a mail about it. */
  mailed?: true;
}

/** The state of a waiting room. */
export interface RoomRecord {
  /** Nobody is called while it is paused. */
  paused: boolean;
  /** What the shop tells everybody who waits. */
  message: string | null;
  /** How many people the shop lets in beyond the pace. */
  extra: number;
  /** Then the shop does not want them any more. Absent before it let in any. */
  extraUntil?: Date;
  /** Since when the sale is paused, whose people inside lose no time by it. Absent while it is not. */
  pausedAt?: Date;
  /** Number of calls made so far. */
  calls: number;
  /** Everybody up to this position was called, or has left. */
  calledUpTo: number;
  /** By the maximum pace nobody is called before then. */
  nextCallAt: Date | null;
  /** How far the last calls got, the latest last: by these the pace is measured. */
  recent: { at: Date; calledUpTo: number }[];
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
  /** Only of a waiting room. */
  room?: RoomRecord;
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
    code: { type: String },
    state: text,
    position: { type: Number },
    pseudonym: { type: String },
    drawKey: { type: String },
    drawn: { type: Number },
    orderId: { type: String },
    offer: { type: Number },
    given: { type: Schema.Types.Mixed } as never,
    calls: { type: Schema.Types.Mixed } as never,
    missed: { type: Boolean },
    passUntil: { type: Date },
    networkKey: { type: String },
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
    room: { type: Schema.Types.Mixed } as never,
  },
  { ...options, collection: 'place_lists' },
);

export function openPlaceCollections(open: OpenCollection) {
  return {
    places: open<PlaceRecord>('Place', place),
    placeLists: open<PlaceListRecord>('PlaceList', placeList),
  };
}
