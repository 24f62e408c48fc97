/** The server's clock, as far as this page can know it: countdowns and the opening follow it. */

let offset = 0;
let uncertainty = Number.POSITIVE_INFINITY;

/** The server's time now, in milliseconds. */
export const serverNow = () => Date.now() + offset;

/**
 * The server read its clock somewhere between asking and being answered; the middle is the best guess, and it is
 * wrong by half the round trip at most. A slower answer therefore never replaces a quicker one's guess, unless the
 * two can't both be true: then one of the clocks was set.
 *
 * @param {string} serverTime @param {number} askedAt @param {number} answeredAt
 */
export function learnServerTime(serverTime, askedAt, answeredAt) {
  const half = (answeredAt - askedAt) / 2;
  const guess = Date.parse(serverTime) - (askedAt + half);
  if (half > uncertainty && Math.abs(guess - offset) <= half + uncertainty) return;
  offset = guess;
  uncertainty = half;
}

/** Milliseconds until the server's clock is a whole number of seconds away from `at`: when its countdown moves on.
 * @param {string} at */
export const untilNextSecond = (at) => {
  const phase = (Date.parse(at) - serverNow()) % 1_000;
  return phase > 0 ? phase : phase + 1_000;
};

/** Thousands of tabs see the same thing in the same moment; they must not all ask in the same later moment.
 * @param {number} milliseconds */
export const jittered = (milliseconds) => milliseconds * (0.7 + Math.random() * 0.6);
