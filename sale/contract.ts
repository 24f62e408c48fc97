/**
 * The glossary, and the schema of everything that crosses a process: HTTP bodies, the job in the queue, the messages of a
 * settled batch, and the socket events. The events' schemas are in log/schemas.ts, those of the admin API in
 * insight/contract.ts.
 *
 * Each shape is one zod schema, from which its type, `/openapi.json`, the validation of input and the enums of MongoDB's
 * schemas are derived. Answers are not validated at run time; a test compares them. The pages in public/ use only the types.
 *
 *   item       what a sale offers: a product, perhaps in one of several sizes, with its price and stock. A sale has 1 to 50.
 *   purchase   a buyer's request for units of one sale, of one or more of its items: all of them or none. It is *admitted*
 *              (202) or *refused* (409).
 *   line       the units of one item in a purchase or an order.
 *   draft      a sale that staff prepare: only they see it, and it has neither gate nor log until it is published.
 *   gate       the count in Redis of the units a sale can still admit. It is fast and approximate; MongoDB is the truth.
 *   flush      a batch of purchases that arrived together, sent to Redis in one round trip (group commit).
 *   job        the admitted purchases of one flush, as one message in the queue.
 *   settle     turn a batch of admitted purchases into orders, in one MongoDB transaction.
 *   order      the final outcome of an admitted purchase, and the truth about it.
 *   person     the owner of an e-mail address, over all their accounts; a sale's limit counts for a person: see person.ts.
 *   allowance  the number of units of a sale that one person has bought, or of orders that one code has let in.
 *   phase      a part of a sale's time, from which on more people may buy: see access/access.ts. A sale's *stage* is whether it has
 *              opened, or ended.
 *   code       lets its holder into a phase; it is *redeemed* by an order.
 *
 * Times are ISO 8601 strings in UTC; money is an integer count of the currency's minor unit.
 */

import { z } from 'zod';

export const instant = z.iso.datetime();
export const count = z.int().min(0);
export const units = z.int().min(1);

/** Each may do all that the ones before it may: a viewer reads the control room, the desk also cares for orders. */
export const role = z.enum(['visitor', 'buyer', 'viewer', 'desk', 'admin']);
export type Role = z.infer<typeof role>;

/** The roles of an account. */
export const accountRole = role.exclude(['visitor']);
export type AccountRole = z.infer<typeof accountRole>;

export const staffRole = accountRole.exclude(['buyer']);
export type StaffRole = z.infer<typeof staffRole>;

/** The languages of the pages and the mails. */
export const language = z.enum(['en', 'de', 'fr']);
export type Language = z.infer<typeof language>;

const user = z.object({
  id: z.string(),
  email: z.string(),
  name: z.string(),
  role,
  language: language
    .exactOptional()
    .describe('Of the mails to this account; a sale’s or English when absent'),
  emailVerified: z.boolean().exactOptional().describe('Whether the owner of the address has confirmed it'),
});
export type User = z.infer<typeof user>;

/** Answer to `GET /api/account`. */
export const account = user.extend({
  createdAt: instant,
  hasPassword: z
    .boolean()
    .describe('Whether it can sign in with one, unlike an account of the identity provider'),
});
export type AccountDetails = z.infer<typeof account>;

/** Answer to `POST /api/users` and `POST /api/sessions`. */
export const session = z.object({
  user,
  token: z.string().describe('For `Authorization: Bearer`; short-lived'),
});
export type Session = z.infer<typeof session>;

/** Answer to `POST /api/visitors`. */
export const visitor = z.object({ token: z.string() });

const money = z.object({
  amount: count.describe('In minor units: 12900 is 129.00 EUR'),
  currency: z.string().describe('ISO 4217'),
});
export type Money = z.infer<typeof money>;

export const product = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  /** Path or URL of a picture; empty when there is none. */
  image: z.string(),
  /** Every picture of it, the first of which is `image`. */
  images: z.array(z.string()),
});
export type Product = z.infer<typeof product>;

const saleStatus = z.enum(['draft', 'scheduled', 'open', 'paused', 'sold_out', 'ended', 'called_off']);
export type SaleStatus = z.infer<typeof saleStatus>;

/**
 * `draw`: people enter, and lots decide who is offered the units. `room`: people gather in a waiting room, get their places by
 * lot at the opening, and are called in turn.
 */
export const saleMode = z.enum(['open', 'room', 'draw']);
export type SaleMode = z.infer<typeof saleMode>;

/** Most people inside at once of a room in front of another site: every round of calls reads them. */
export const maxInside = 2_000;

/** The other site in front of which a waiting room stands: see docs/WAITING-ROOM.md. */
export const roomSite = z.strictObject({
  url: z.string().max(2_000).describe('Where people go with their pass: this address and all below it'),
  inside: z
    .int()
    .min(1)
    .max(maxInside)
    .describe('How many people are inside at once at most, from their call until their pass has ended'),
});
export type RoomSite = z.infer<typeof roomSite>;

/**
 * Whom a phase lets in: everybody, people on the sale's list whose address is confirmed, or whoever redeems a code. A phase lasts until
 * the sale ends.
 */
export const phaseAccess = z.enum(['everybody', 'list', 'code']);
export type PhaseAccess = z.infer<typeof phaseAccess>;

export const maxPhases = 5;
export const salePhase = z.object({ name: z.string(), opensAt: instant, access: phaseAccess });
export type SalePhase = z.infer<typeof salePhase>;

/** The former price; null when the shop gives none. */
const oldPrice = money.nullable().describe('What it cost before');
const unitsLeft = count.describe('Units not yet sold, as settled');

/** The hardest puzzle: a phone takes half a minute for it. */
const difficulty = z.int().min(1).max(22).describe('Zero bits of the hash; each one doubles the work');

/** What a sale demands against bots, before a purchase, a place or an entry. */
export const proofOfWork = z.strictObject({
  bits: difficulty,
  opening: z
    .strictObject({ bits: difficulty, seconds: units.max(3_600) })
    .exactOptional()
    .describe('Harder for so long after the opening, and for answers that could still be used then'),
  load: z
    .strictObject({ bits: difficulty, backlog: units.max(1_000_000) })
    .exactOptional()
    .describe('Harder while so many accepted purchases wait to be settled'),
});
export type ProofOfWork = z.infer<typeof proofOfWork>;

export const networkLimit = z.strictObject({
  people: units.max(10_000),
  of: z
    .enum(['address', 'range'])
    .describe('`address`: an IPv4 address or IPv6 /64; `range`: an IPv4 /24 or IPv6 /48'),
});
export type NetworkLimit = z.infer<typeof networkLimit>;

/** A puzzle for one person in one sale; its answer goes into the header Proof-Of-Work. */
export const puzzle = z.object({
  challenge: z.string(),
  difficultyBits: count,
  expiresAt: instant,
});
export type Puzzle = z.infer<typeof puzzle>;

const saleItem = z.object({
  id: z.string().describe('Within the sale: 1, 2, …'),
  product: product.pick({ id: true, name: true, image: true }),
  label: z.string().describe('What tells it from the other items, such as a size; may be empty'),
  price: money,
  oldPrice,
  stock: unitsLeft,
  /** Every unit of it ever put on sale: sold + left. */
  unitsOnSale: count,
  /** Null when only the sale's own limit counts. */
  limitPerBuyer: units.nullable(),
});
export type SaleItem = z.infer<typeof saleItem>;

/** The largest number of items in a sale, and so of lines in a purchase. */
export const maxItems = 50;

/**
 * Answer to `GET /api/sales/:id`, and what the socket event `sale` carries. Product and prices are those of the first item;
 * stock, units on sale and the limit are those of all items together.
 */
export const saleSnapshot = z.object({
  id: z.string(),
  product,
  price: money,
  oldPrice,
  items: z.array(saleItem).describe('1 to 50'),
  status: saleStatus,
  opensAt: instant,
  closesAt: instant,
  stock: unitsLeft,
  /** A page drops a message whose version is lower than the one it shows. */
  stockVersion: count.describe('Grows with every change of the stock'),
  /** Every unit ever put on sale: sold + left. */
  unitsOnSale: count,
  limitPerBuyer: units,
  phases: z
    .array(salePhase)
    .exactOptional()
    .describe('Who may buy from when on, at most 5, the first one from the opening; absent: everybody'),
  requiresVerifiedEmail: z
    .literal(true)
    .exactOptional()
    .describe('Only buyers who have confirmed their address can buy'),
  mode: saleMode.exactOptional().describe('How units are given out; `open` when absent'),
  site: roomSite
    .exactOptional()
    .describe('Only of a waiting room in front of another site: nothing is bought in such a sale'),
  roomPerMinute: units
    .exactOptional()
    .describe('Only of a waiting room: how many people a minute are let in, at most'),
  drawAt: instant.exactOptional().describe('Only of a draw: people enter from opensAt until then'),
  drawnAt: instant.exactOptional().describe('When the draw was made'),
  drawBeacon: z
    .literal(true)
    .exactOptional()
    .describe('The draw depends on a public random number too, which nobody knows before'),
  waitingList: z
    .literal(true)
    .exactOptional()
    .describe('After a sell-out people can wait for units that come back'),
  proofOfWork: proofOfWork
    .exactOptional()
    .describe('A purchase, a place or an entry needs the answer to a puzzle'),
  networkLimit: networkLimit
    .exactOptional()
    .describe('How many people from one network can buy, join or enter'),
  captcha: z.literal(true).exactOptional().describe('Joining and entering need a captcha'),
  language: language.exactOptional().describe('Of the mails to buyers whose account has no language'),
  paymentWindowSeconds: count.describe(
    'For how long an order is held until it is paid; 0 when nothing is paid here',
  ),
  cancellableUntil: instant
    .nullable()
    .describe('A buyer can cancel an order before this time; null when only the shop can'),
  /** The clock that a page's countdown follows. */
  serverTime: instant,
});
export type SaleSnapshot = z.infer<typeof saleSnapshot>;

export const nextCursor = z
  .string()
  .nullable()
  .describe('Pass as `cursor` to read on; null on the last page');

/** Answer to `GET /api/sales`, sorted by end time, the latest first. */
export const salePage = z.object({ sales: z.array(saleSnapshot), nextCursor });
export type SalePage = z.infer<typeof salePage>;

const orderStatus = z.enum(['queued', 'held', 'paid', 'rejected', 'expired', 'cancelled', 'refunded']);
export type OrderStatus = z.infer<typeof orderStatus>;

/** The statuses of an order in MongoDB. */
export const settledStatus = orderStatus.exclude(['queued']);
export type SettledStatus = z.infer<typeof settledStatus>;

export const rejectionReason = z.enum([
  'sold_out',
  'over_limit',
  'unknown_sale',
  'unknown_item',
  'called_off',
  'code_used',
  'failed',
]);
export type RejectionReason = z.infer<typeof rejectionReason>;

/** Who cancelled or refunded an order. */
export const canceller = z.enum(['buyer', 'staff']);
export type Canceller = z.infer<typeof canceller>;

/** An order knows its money once it is settled. */
const orderAmount = count.nullable().describe('In minor units; null while queued');

const orderLine = z.object({
  itemId: z.string(),
  label: z.string().nullable().describe("The item's; null while queued"),
  quantity: units,
  amount: orderAmount,
});
export type OrderLine = z.infer<typeof orderLine>;

/** The sum of its refunds that are made or on their way. */
export const refundedAmount = count.describe('What of it went back, or is on its way; absent: nothing');

/** Answer to `GET /api/orders/:id`, and what the socket event `order` carries. */
export const order = z.object({
  id: z.string(),
  saleId: z.string(),
  quantity: units.describe('Units of all lines'),
  lines: z.array(orderLine),
  amount: orderAmount,
  currency: z.string().nullable().describe('ISO 4217; null while queued'),
  status: orderStatus,
  /** Why it was rejected; null otherwise. `failed`: it became a dead letter, which the shop sees. */
  reason: rejectionReason.nullable(),
  createdAt: instant,
  settledAt: instant.nullable(),
  holdExpiresAt: instant
    .nullable()
    .describe('Until when it has to be paid; null in a sale without a payment window'),
  cancelledBy: canceller.exactOptional().describe('Only of a cancelled or refunded order, as the next two'),
  cancelledAt: instant.exactOptional(),
  cancelReason: z
    .string()
    .exactOptional()
    .describe(
      'What the shop says about it; `called_off`: all of the sale; `payment_lost`: its money could not be taken after all',
    ),
  refundedAmount: refundedAmount.exactOptional(),
});
export type Order = z.infer<typeof order>;

export const paymentState = z.enum(['started', 'failed', 'authorised', 'voided', 'captured', 'refunded']);

const paymentProgress = {
  paymentId: z.string(),
  provider: z.enum(['simulated', 'stripe', 'external']),
  state: paymentState.describe('`failed`: the last attempt was refused, and another one is possible'),
  isProcessing: z.boolean().exactOptional().describe('An attempt to pay is being processed by the provider'),
  failure: z.string().nullable().exactOptional().describe("The provider's word for why it was refused"),
};

/** Answer to `POST /api/orders/:id/payments`. */
export const paymentStart = z.object({
  ...paymentProgress,
  clientSecret: z.string().nullable().describe("For the provider's form in the page"),
  redirectUrl: z.string().nullable().describe('Where the buyer pays instead'),
  publishableKey: z.string().nullable().describe("Stripe's key for pages"),
});

export type PaymentStart = z.infer<typeof paymentStart>;

/** One attempt to pay an order. */
export const orderPayment = z.object({
  ...paymentProgress,
  amount: count.describe('In minor units'),
  currency: z.string(),
  capturedAmount: count,
  returnedAmount: count.describe('What went back to the buyer, or is on its way'),
  capturedAt: instant.nullable(),
});
export type OrderPayment = z.infer<typeof orderPayment>;

/** Answer to `GET /api/orders`, newest first. */
export const orderPage = z.object({
  orders: z.array(order),
  nextCursor,
  queuedOmitted: z
    .literal(true)
    .exactOptional()
    .describe('So many purchases wait that only the newest were looked at; older ones of yours are left out'),
});
export type OrderPage = z.infer<typeof orderPage>;

/** All data that the shop stores about a user, except the password's hash; the newest orders first. */
export const accountExport = z.object({
  user: user.extend({ createdAt: instant, emailVerifiedAt: instant.nullable() }),
  personId: z.string().describe('Whose limits count; it stays, with a keyed hash of the address'),
  sessions: z.array(
    z.object({
      createdAt: instant,
      expiresAt: instant,
      userAgent: z
        .string()
        .describe('What the browser called itself at the sign-in; empty when it said nothing'),
    }),
  ),
  networks: z
    .array(z.object({ networkKey: z.string(), seenAt: instant }))
    .describe('A keyed hash of each network of a sign-in, for 30 days'),
  notes: z.array(z.object({ orderId: z.string(), text: z.string(), at: instant })).describe('Of staff'),
  marks: z
    .array(z.object({ orderId: z.string(), networkKey: z.string(), markedAt: instant }))
    .describe('Orders that staff looks at before shipping, because several buyers share a network'),
  places: z
    .array(
      z.object({
        saleId: z.string(),
        lines: z.array(z.object({ itemId: z.string(), quantity: units })),
        state: z.string(),
        pseudonym: z.string(),
        networkKey: z.string().exactOptional().describe('A keyed hash of the network from which you came'),
        joinedAt: instant,
      }),
    )
    .describe('In draws and on waiting lists'),
  orders: z.array(order),
});
export type AccountExport = z.infer<typeof accountExport>;

/** Answer to `GET /api/account/sessions`: where an account is signed in, the newest first. */
export const sessionList = z.object({
  sessions: z.array(
    z.object({
      id: z.string(),
      userAgent: z.string(),
      createdAt: instant,
      renewedAt: instant.nullable().describe('When it last got an access token, after the first'),
      expiresAt: instant,
      isCurrent: z.boolean().describe('Whether the access token of this request is of this session'),
    }),
  ),
  more: z.boolean().describe('There are older ones'),
});
export type SessionList = z.infer<typeof sessionList>;

/** Answer 202 to `POST /api/sales/:id/purchases`. */
export const purchaseReceipt = z.object({
  orderId: z.string(),
  status: z.literal(orderStatus.enum.queued),
  pass: z
    .string()
    .exactOptional()
    .describe(
      'In a sale with a waiting room: a pass for sending this purchase again after the other has ended',
    ),
});
export type PurchaseReceipt = z.infer<typeof purchaseReceipt>;

/** The units of one item that a buyer asks for. */
const purchaseLine = z.strictObject({ itemId: z.string().min(1).max(10), quantity: units });
export type PurchaseLine = z.infer<typeof purchaseLine>;

/** An admitted purchase as it travels in the job. `orderId` is derived from (buyerId, saleId, idempotencyKey). */
export const purchase = z
  .strictObject({
    orderId: z.string().length(22),
    saleId: z.string().min(1),
    buyerId: z.string().min(1),
    /** Whose limit counts, when that is not the buyer's own id. */
    personId: z.string().min(1).exactOptional(),
    /** Units of all lines. */
    quantity: units,
    /** Only for a sale with several items: a worker of the version before refuses a purchase with lines. */
    lines: z.array(purchaseLine).min(1).max(maxItems).exactOptional(),
    /** The id of the code that it redeems, only where it needs one: a worker of the version before refuses a purchase with a code. */
    code: z.string().length(22).exactOptional(),
    idempotencyKey: z.string().min(1),
    createdAt: instant,
    /** W3C trace context of the request. */
    traceparent: z.string().max(55).exactOptional(),
  })
  .refine(({ quantity, lines }) => !lines || (unitsIn(lines) === quantity && namesEachItemOnce(lines)), {
    path: ['lines'],
    error: 'expected each item once, and as many units as quantity',
  });
export type Purchase = z.infer<typeof purchase>;

export const unitsIn = (lines: { quantity: number }[]) =>
  lines.reduce((sum, { quantity }) => sum + quantity, 0);

export const namesEachItemOnce = (lines: { itemId: string }[]) =>
  new Set(lines.map(({ itemId }) => itemId)).size === lines.length;

/** The payload of one Bull job: the admitted purchases of one flush, in arrival order. */
export const purchaseJob = z.strictObject({
  purchases: z.array(purchase).min(1),
  /** Set when a dead letter is republished: its orders rejected as `failed` are decided again. */
  again: z.literal(true).exactOptional(),
});
export type PurchaseJob = z.infer<typeof purchaseJob>;

/** Job counts by state. */
export const jobCounts = z.object({ waiting: count, active: count, delayed: count, failed: count });
export type JobCounts = z.infer<typeof jobCounts>;

/** A job that failed in all of its attempts. */
export const deadLetter = z.object({
  id: z.string(),
  reason: z.string(),
  attempts: count,
  failedAt: instant,
  data: z.unknown().describe('What the job carries'),
  /** The stack trace of each attempt, the latest last. */
  stacks: z.array(z.string()),
});
export type DeadLetter = z.infer<typeof deadLetter>;

/** Codes that were made together for one sale. */
export const codeBatch = z.object({
  id: z.string(),
  name: z.string(),
  codes: units.describe('How many codes it has'),
  uses: units.describe('How many orders each of them lets in'),
  used: count.describe('Orders that they have let in and that are not rejected, expired or cancelled'),
  createdAt: instant,
  revokedAt: instant.nullable(),
});
export type CodeBatch = z.infer<typeof codeBatch>;

/** Answer to `POST /api/sales/:id/access`: when a sale with phases opens for the buyer. */
export const saleAccess = z.object({
  opensAt: instant.nullable().describe('When it opens for this buyer; null: never with what was shown'),
  isListed: z.boolean().describe('Whether the buyer is on the list of the sale'),
  code: z
    .enum(['valid', 'used', 'refused'])
    .nullable()
    .describe('What the code is worth; `refused`: it is none of this sale, or was revoked'),
});
export type SaleAccess = z.infer<typeof saleAccess>;

const placeState = z
  .enum(['entered', 'waiting', 'offered', 'left', 'called', 'inside', 'served'])
  .describe(
    '`entered`: in a draw that is not made yet; `offered`: the order says what became of it. In a waiting room: `called`, `inside` with a pass to buy, `served` after buying',
  );

/** A person's place in a draw, on a waiting list or in a waiting room. */
export const place = z.object({
  saleId: z.string(),
  state: placeState,
  lines: z.array(purchaseLine).describe('What is asked for, at most: an offer has what is left of it'),
  position: count.nullable().describe('Units go to lower positions first; null until the draw is made'),
  ahead: count
    .nullable()
    .describe('How many people wait before this one; null while nobody waits here, and in a waiting room'),
  moreAhead: z.literal(true).exactOptional().describe('More people than `ahead` says'),
  pseudonym: z.string().exactOptional().describe('The name of this person in the list of the draw'),
  drawn: count.exactOptional().describe('The number that was drawn'),
  orderId: z.string().nullable().describe('The order that was made for this person when it was their turn'),
  answerBy: instant.exactOptional().describe('Only of a person who is called: until when to come'),
  passUntil: instant.exactOptional().describe('Only of a person inside: until when to buy'),
  missed: z
    .literal(true)
    .exactOptional()
    .describe('Did not come when called, and was sent to the end of the waiting room for it'),
  joinedAt: instant,
});
export type Place = z.infer<typeof place>;

/** The pass of a person who was called into a sale, for the header Room-Pass. */
export const roomPass = z.object({
  pass: z.string(),
  passUntil: instant,
  returnUrl: z
    .string()
    .exactOptional()
    .describe('The site that the person came from, with a pass into it: see docs/WAITING-ROOM.md'),
});

export type RoomPass = z.infer<typeof roomPass>;

const perMinute = z.number().min(0);

/** Answer to `GET /api/sales/:id/room`, and socket event `room`: what everybody who waits needs, once a second for all. */
export const roomStatus = z.object({
  saleId: z.string(),
  state: z
    .enum(['gathering', 'drawing', 'open', 'paused', 'sold_out', 'ended'])
    .describe('`drawing`: the places are being drawn; `paused`: nobody is called now'),
  waiting: count.describe(
    'People who wait, or have gathered; above 10,000 with those who have left the line meanwhile',
  ),
  inside: count.describe('People who are called, or have a pass'),
  calledUpTo: count.describe('Everybody up to this place was called or has left'),
  left: count.describe('Units that are neither sold nor asked for'),
  unitsPerCall: z.number().min(0).describe('How many units each person who was called has taken so far'),
  slowest: perMinute.describe('Places a minute by which the room moved on lately, at the least'),
  fastest: perMinute.describe('The same, at the most'),
  message: z.string().nullable().describe('What the shop tells everybody who waits'),
  at: instant,
});
export type RoomStatus = z.infer<typeof roomStatus>;

const hex = z.string().regex(/^[0-9a-f]{64}$/);

/** Answer to `GET /api/sales/:id/draw`: what anyone needs to check a draw, but for the list of entries. */
export const draw = z.object({
  saleId: z.string(),
  algorithm: z
    .enum(['hmac-sha256-v1', 'hmac-sha256-v2'])
    .describe(
      'The key of the HMAC: the seed (v1), or the seed followed by the randomness of the beacon (v2)',
    ),
  state: z
    .enum(['entering', 'frozen', 'drawn'])
    .describe('`frozen`: nobody can enter any more, and `digest` names the list of entries'),
  opensAt: instant,
  drawAt: instant,
  commitment: hex.describe('SHA-256 of the seed'),
  entries: count,
  digest: hex.nullable().describe('SHA-256 of the pseudonyms, sorted, each with a line feed behind it'),
  frozenAt: instant.nullable(),
  seed: hex.nullable().describe('Secret until the draw is made'),
  drawnAt: instant.nullable(),
  beacon: z
    .object({
      chain: hex.describe('Names the network of drand'),
      round: count.describe('May be a later one until the list is fixed, should that be late'),
      at: instant.describe('When the round is published'),
      randomness: hex.nullable().describe('SHA-256 of the signature'),
      signature: z
        .string()
        .regex(/^[0-9a-f]{96}$/)
        .nullable(),
      isLate: z.boolean().describe('The round should be here, and is not'),
      waivedAt: instant.nullable().describe('When the shop went on without it; then the algorithm is v1'),
    })
    .exactOptional()
    .describe('The public random number of a draw that depends on one'),
});
export type Draw = z.infer<typeof draw>;

const captchaProvider = z.enum(['turnstile', 'hcaptcha']);
export type CaptchaProvider = z.infer<typeof captchaProvider>;

/** RFC 9457 problem details, `application/problem+json`. */
export const problem = z.object({
  type: z.string().describe('`/problems/<name>`, stable'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  /** For bad input: which field, and what was expected of it. */
  errors: z
    .array(
      z.object({
        field: z.string(),
        message: z.string(),
        fault: z
          .enum(['missing', 'tooShort', 'tooLong', 'tooSmall', 'tooBig', 'tooFew', 'tooMany'])
          .exactOptional()
          .describe('What a page can say in the reader’s language, with the limit'),
        limit: z.number().exactOptional(),
      }),
    )
    .exactOptional(),
  /** For `not-open`: when it opens. For `not-admitted`: when it opens for this buyer; absent when it does not. */
  opensAt: instant.exactOptional(),
  /** For `sold-out`: units left, fewer than were asked for. */
  left: count.exactOptional(),
  /** For `sold-out` and `over-limit`: the item of which there are too few, or too many for one buyer; absent for a sale with one item. */
  itemId: z.string().exactOptional(),
  /** For `work-required` and `proof-of-work-required`: the puzzle to answer in the header Proof-Of-Work. */
  challenge: z.string().exactOptional(),
  difficultyBits: count.exactOptional(),
  expiresAt: instant.exactOptional(),
  /** For `captcha-required`: whose captcha to solve for the header Captcha-Token. */
  captcha: z.object({ provider: captchaProvider, siteKey: z.string() }).exactOptional(),
});
export type Problem = z.infer<typeof problem>;

/** Socket event `stock`: at most 20 a second for each sale. */
const stockMessage = z.object({
  saleId: z.string(),
  stock: count,
  stockVersion: count,
  /** Of every item; absent for a sale with one item, whose stock is the sale's. */
  items: z.array(saleItem.pick({ id: true, stock: true })).exactOptional(),
  /** When it was committed. */
  at: instant,
});
export type StockMessage = z.infer<typeof stockMessage>;

/** Socket event `crowd`: how many sockets watch this sale, over all instances. At most one a second. */
const crowdMessage = z.object({ saleId: z.string(), people: count });
export type CrowdMessage = z.infer<typeof crowdMessage>;

/** What the server sends over a socket. `order` reaches only the buyer's own room. */
export interface ServerToClientEvents {
  stock: (message: StockMessage) => void;
  sale: (snapshot: SaleSnapshot) => void;
  order: (order: Order) => void;
  crowd: (message: CrowdMessage) => void;
  room: (status: RoomStatus) => void;
}

/**
 * What a page sends over a socket. `watch` replaces the sale that the socket watched before; `browse` asks for the
 * stock and the changes of every sale, at a slower pace, for the list of them.
 */
export interface ClientToServerEvents {
  browse: (acknowledge?: (answer: { ok: boolean }) => void) => void;
  watch: (
    request: { saleId: string },
    acknowledge?: (answer: { ok: boolean; detail?: string }) => void,
  ) => void;
}
