/** Decides what is said about a waiting room and a person's place in it. Pure. */

/** @import { Place, RoomStatus, SaleStatus } from '../../sale/contract.ts' */
/** @import { BuyState } from './buy-state.js' */
/** @import { english } from '../texts/en.js' */

/**
 * @typedef {'join' | 'come' | null} RoomAction what the button does; null when there is none
 *
 * @typedef {{ from: number, to: number | null }} Wait in milliseconds; `to` is null when nobody can say
 *
 * @typedef {object} RoomView
 * @property {string} kind changes when something happens that a person has to know of
 * @property {string} text
 * @property {string} note
 * @property {string} message of the shop
 * @property {RoomAction} action
 * @property {boolean} mayLeave
 */

const MINUTE_MS = 60_000;
/** The pace of the next minutes differs from that of the last ones by about so much. */
const [SOONER, LATER] = [0.8, 1.25];
/** A new estimate is at most so much longer than the one before. */
const MOST_GROWTH = 1.1;

const [ASK_FIRST_MS, ASK_LAST_MS] = [2_000, 30_000];

/**
 * The wait before the person's place is requested again: exponential backoff.
 * @param {number} unchanged how many requests in a row had the same answer, at least 1
 */
export const askAgainMs = (unchanged) => Math.min(ASK_LAST_MS, ASK_FIRST_MS * 2 ** (unchanged - 1));

/** The states of an order that says all itself. @type {ReadonlySet<BuyState>} */
const isBuying = new Set(['sending', 'queued', 'busy', 'stalled', 'held', 'paid']);

/** At most so many people are ahead: some of them may have left. @param {number} position @param {RoomStatus} status */
export const aheadOf = (position, { calledUpTo }) => Math.max(0, position - calledUpTo - 1);

/**
 * How long it will take until as many places are called, by the pace of the last quarter of a minute and of the last minute.
 * @param {number} ahead @param {Pick<RoomStatus, 'slowest' | 'fastest'>} status @returns {Wait | null} null when it is not known
 */
export function waitOf(ahead, { slowest, fastest }) {
  if (fastest <= 0) return null;
  const after = (/** @type {number} */ perMinute) => ((ahead + 1) / perMinute) * MINUTE_MS;
  return { from: after(fastest) * SOONER, to: slowest > 0 ? after(slowest) * LATER : null };
}

/** An estimate that does not jump upwards. @param {Wait | null} before @param {Wait | null} next @returns {Wait | null} */
export function steady(before, next) {
  if (!before || !next) return next ?? before;
  const from = Math.min(next.from, before.from * MOST_GROWTH);
  if (before.to === null) return { from, to: next.to };
  return { from, to: Math.min(next.to ?? Number.POSITIVE_INFINITY, before.to * MOST_GROWTH) };
}

/**
 * Whether those who come first will probably take what is left; where nobody takes anything they never will.
 * @param {number} ahead @param {Pick<RoomStatus, 'inside' | 'left' | 'unitsPerCall'>} status
 */
export const isUnlikely = (ahead, { inside, left, unitsPerCall }) =>
  unitsPerCall > 0 && (ahead + inside) * unitsPerCall >= left;

/**
 * @param {{ sale: { site?: unknown }, status: SaleStatus, now: number, buy?: BuyState }} view `buy` is absent before the page knows its reader
 * @param {Place | null} place
 * @param {RoomStatus | null} room null before anything is known of it
 * @param {Wait | null} wait
 * @param {{ texts: Pick<typeof english, 'room' | 'place'>, clock: (milliseconds: number) => string }} words
 * @returns {RoomView | null} null when there is nothing to say
 */
export function roomView({ sale, status, now, buy }, place, room, wait, { texts, clock }) {
  const t = texts.room;
  const message = room?.message ? t.message(room.message) : '';
  /** @param {string} kind @param {string} text @param {Partial<RoomView>} [more] @returns {RoomView} */
  const say = (kind, text, more = {}) => {
    return { kind, text, note: '', message, action: null, mayLeave: false, ...more };
  };
  if (status === 'ended' || status === 'called_off' || (buy && isBuying.has(buy))) return null;
  if (status === 'scheduled') {
    const note = room ? t.gathered(room.waiting) : '';
    return place
      ? say('entered', t.entered, { note, mayLeave: true })
      : say('rules', t.rules, { note, action: 'join' });
  }
  const left = (/** @type {string | undefined} */ until) => clock(Math.max(0, Date.parse(until ?? '') - now));
  if (status === 'paused' && (place?.state === 'called' || place?.state === 'inside'))
    return say('held', t.held, { mayLeave: place.state === 'called' });
  if (place?.state === 'called')
    return say('called', t.called(left(place.answerBy)), { action: 'come', mayLeave: true });
  if (place?.state === 'inside')
    return say('inside', (sale.site ? t.insideSite : t.inside)(left(place.passUntil)));
  const isSoldOut = status === 'sold_out' || room?.state === 'sold_out';
  if (place?.state === 'entered' || place?.state === 'waiting') {
    if (place.state === 'entered' || !room || room.state === 'drawing' || room.state === 'gathering')
      return say('drawing', texts.place.drawing);
    const position = place.position ?? 0;
    const ahead = aheadOf(position, room);
    const where = [place.missed ? t.missed : '', t.place(position, ahead)].filter(Boolean).join(' ');
    const mine = { note: waitIn(wait, t), mayLeave: true };
    if (isSoldOut) return say('sold-out', t.soldOut, { ...mine, note: where });
    if (room.state === 'paused' || status === 'paused')
      return say('paused', where, { ...mine, note: t.paused });
    if (!sale.site && isUnlikely(ahead, room)) return say('unlikely', `${where} ${t.unlikely}`, mine);
    return say('waiting', where, mine);
  }
  if (isSoldOut) return say('sold-out', t.soldOut, { action: 'join' });
  const passed = place?.state === 'left' && place.position !== null ? t.passed : t.late;
  const note = room && room.waiting > 0 ? t.waiting(room.waiting) : '';
  return say('late', passed, { note, action: 'join' });
}

/** @param {Wait | null} wait @param {typeof english['room']} t */
function waitIn(wait, t) {
  if (!wait) return t.waitUnknown;
  const minutes = (/** @type {number} */ ms) => Math.max(1, Math.ceil(ms / MINUTE_MS));
  if (wait.to === null) return t.waitLonger(minutes(wait.from));
  const [from, to] = [Math.max(0, Math.floor(wait.from / MINUTE_MS)), minutes(wait.to)];
  return from === 0 ? t.waitWithin(to) : t.waitRange(from, Math.max(to, from + 1));
}
