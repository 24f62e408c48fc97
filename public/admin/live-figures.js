/** Keeps the figures of the last five minutes by second, and knows how old each part of them is. */

/** @import { LiveFigures, SecondFigures } from '../../insight/contract.ts' */

const MAX_SECONDS = 300;
/** A second is complete this long after its end: see insight/figures.ts. */
const COMPLETE_AFTER_MS = 2_000;
/** A part that is older is marked as stale: two answers have brought nothing newer. */
const STALE_AFTER_MS = 2_500;

/** @typedef {keyof LiveFigures['readAt'] | 'seconds' | 'settling'} Part */

/** Parts that are read from Redis and tell what MongoDB does: nothing new is in them while it is away. @type {ReadonlySet<Part>} */
const isOfMongo = new Set(/** @type {const} */ (['settling', 'audit']));

export function openFigures() {
  /** @type {SecondFigures[]} */
  let seconds = [];
  /** @type {LiveFigures | null} */
  let latest = null;
  let receivedAt = 0;
  const openedAt = performance.now();
  /** @type {number | null} */
  let unansweredSince = null;
  /** When a worker was alive last, in Unix ms. @type {number | null} */
  let workerSeenAt = null;

  /** The server's time now, in Unix ms. */
  const now = () => (latest ? Date.parse(latest.serverTime) + performance.now() - receivedAt : Date.now());

  /** @param {Part} part @returns {number | null} Unix ms */
  function readAt(part) {
    const last = seconds.at(-1);
    if (part === 'seconds') return last ? (last.second + 1) * 1_000 + COMPLETE_AFTER_MS : null;
    // A server of the version before reads everything for each answer.
    const at = latest?.readAt ? latest.readAt[part === 'settling' ? 'queue' : part] : latest?.serverTime;
    if (!at) return null;
    const mongo = isOfMongo.has(part) ? latest?.away?.find(({ what }) => what === 'mongodb') : undefined;
    return Math.min(Date.parse(at), mongo ? Date.parse(mongo.since) : Number.POSITIVE_INFINITY);
  }

  return {
    latest: () => latest,
    seconds: () => seconds,
    now,

    /** The newest second received. @returns {number | null} */
    newestSecond: () => seconds.at(-1)?.second ?? null,

    /** How old a part is, in ms; null when it was never read. @param {Part} part @returns {number | null} */
    age(part) {
      const at = readAt(part);
      return at === null ? null : Math.max(0, now() - at);
    },

    /** Whether a part is too old to be taken for the present. @param {Part} part */
    isStale(part) {
      const age = this.age(part);
      return age === null ? performance.now() - openedAt > STALE_AFTER_MS : age > STALE_AFTER_MS;
    },

    /** Since when no answer has come, in Unix ms; null while answers come. */
    unansweredSince: () => unansweredSince,

    workerSeenAt: () => workerSeenAt,

    failed() {
      unansweredSince ??= now();
    },

    /** @param {LiveFigures} received */
    update(received) {
      latest = received;
      receivedAt = performance.now();
      unansweredSince = null;
      if (received.living.some(({ role }) => role === 'worker')) workerSeenAt = now();
      const known = new Set(seconds.map(({ second }) => second));
      seconds = [...seconds, ...received.seconds.filter(({ second }) => !known.has(second))].slice(
        -MAX_SECONDS,
      );
    },
  };
}

/** @param {SecondFigures} second */
const presses = ({ answers }) => Object.entries(answers);

/** Refused purchases: answers that were neither accepted nor a fault. @param {SecondFigures} second */
export function refusedIn(second) {
  const others = new Set(['admitted', 'known', 'busy', 'unconfirmed', 'fault']);
  return presses(second).reduce((sum, [outcome, count]) => sum + (others.has(outcome) ? 0 : count), 0);
}

/** Accepted purchases. @param {SecondFigures} second */
export const acceptedIn = ({ answers }) => (answers.admitted ?? 0) + (answers.known ?? 0);
