/** The last five minutes, second by second, as they came from the shop. */

/** @import { LiveFigures, SecondFigures } from '../../insight/contract.ts' */

const KEPT_SECONDS = 300;

export function openFigures() {
  /** @type {SecondFigures[]} */
  let seconds = [];
  /** @type {LiveFigures | null} */
  let latest = null;

  return {
    latest: () => latest,
    seconds: () => seconds,

    /** The newest second that is known. @returns {number | null} */
    newestSecond: () => seconds.at(-1)?.second ?? null,

    /** @param {LiveFigures} news */
    learn(news) {
      latest = news;
      const known = new Set(seconds.map(({ second }) => second));
      seconds = [...seconds, ...news.seconds.filter(({ second }) => !known.has(second))].slice(-KEPT_SECONDS);
    },
  };
}

/** Answers that were neither `admitted` nor a repeat. @param {SecondFigures} second */
export function refusedIn({ answers }) {
  const { admitted: _, known: __, ...refused } = answers;
  return Object.values(refused).reduce((sum, count) => sum + count, 0);
}
