/** Keeps the figures of the last five minutes by second. */

/** @import { LiveFigures, SecondFigures } from '../../insight/contract.ts' */

const MAX_SECONDS = 300;

export function openFigures() {
  /** @type {SecondFigures[]} */
  let seconds = [];
  /** @type {LiveFigures | null} */
  let latest = null;

  return {
    latest: () => latest,
    seconds: () => seconds,

    /** The newest second received. @returns {number | null} */
    newestSecond: () => seconds.at(-1)?.second ?? null,

    /** @param {LiveFigures} received */
    update(received) {
      latest = received;
      const known = new Set(seconds.map(({ second }) => second));
      seconds = [...seconds, ...received.seconds.filter(({ second }) => !known.has(second))].slice(
        -MAX_SECONDS,
      );
    },
  };
}

/** Refused purchases: answers that were neither `admitted` nor `known`. @param {SecondFigures} second */
export function refusedIn({ answers }) {
  const { admitted: _, known: __, ...refused } = answers;
  return Object.values(refused).reduce((sum, count) => sum + count, 0);
}
