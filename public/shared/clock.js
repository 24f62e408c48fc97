/** An estimate of the server's clock, which countdowns and the opening follow. */

let offset = 0;
let uncertainty = Number.POSITIVE_INFINITY;

/** The server's time now, in milliseconds. */
export const serverNow = () => Date.now() + offset;

/**
 * Estimates the offset as NTP does: the server read its clock between request and answer, so the middle is wrong by half
 * the round trip at most. A slower answer replaces a quicker one's estimate only when they contradict each other, because
 * then one of the clocks was set.
 *
 * @param {string} serverTime @param {number} askedAt @param {number} answeredAt
 */
export function syncServerTime(serverTime, askedAt, answeredAt) {
  const half = (answeredAt - askedAt) / 2;
  const guess = Date.parse(serverTime) - (askedAt + half);
  if (half > uncertainty && Math.abs(guess - offset) <= half + uncertainty) return;
  offset = guess;
  uncertainty = half;
}

/** A page that comes from a cache is at most this old. */
const PAGE_AGE_MS = 2_000;

/** Estimates the offset from the time at which the server wrote this page. @param {string} serverTime */
export const syncWithPage = (serverTime) =>
  syncServerTime(serverTime, performance.timeOrigin - PAGE_AGE_MS, Date.now());

/** Milliseconds until the countdown to `at` shows its next second.
 * @param {string} at */
export const untilNextSecond = (at) => {
  const phase = (Date.parse(at) - serverNow()) % 1_000;
  return phase > 0 ? phase : phase + 1_000;
};

/** Adds jitter, so that thousands of tabs that react to the same message do not send their requests at the same moment.
 * @param {number} milliseconds */
export const jittered = (milliseconds) => milliseconds * (0.7 + Math.random() * 0.6);
