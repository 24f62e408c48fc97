/** Dates and times as a `datetime-local` input has them: in the reader's own zone, without saying which that is. */

import { Misread } from '../shared/money.js';

/** Farther than any zone goes back when its summer ends. */
const STEPS_MS = [30, 60, 120].map((minutes) => minutes * 60_000);

/** As such an input wants it, to the second. @param {number} at */
export function localText(at) {
  const date = new Date(at);
  const two = (/** @type {number} */ part) => String(part).padStart(2, '0');
  const day = `${String(date.getFullYear()).padStart(4, '0')}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The moment that was typed, in ISO 8601. @param {string} text @throws {Misread} */
export function instantOf(text) {
  const [, toTheMinute, seconds = '00'] =
    /^([1-9]\d{3}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:\.0+)?)?$/.exec(text) ?? [];
  if (!toTheMinute) {
    const got = text === '' ? 'nothing' : text.slice(0, 40);
    throw new Misread(`expected a date with a year of four digits and a time, got ${got}`);
  }
  const typed = `${toTheMinute}:${seconds}`;
  const at = new Date(typed).getTime();
  const shown = typed.replace('T', ' ');
  if (Number.isNaN(at) || localText(at) !== typed) {
    const instead = Number.isNaN(at) ? '' : `: did you mean ${localText(at).replace('T', ' ')}?`;
    throw new Misread(`${shown} does not exist in your time zone${instead}`);
  }
  const other = STEPS_MS.flatMap((step) => [at - step, at + step]).find((near) => localText(near) === typed);
  if (other !== undefined) {
    const both = [at, other].sort((one, two) => one - two).map((near) => new Date(near).toISOString());
    throw new Misread(
      `${shown} comes twice in your time zone: at ${both.join(' and ')}. Choose another time`,
    );
  }
  return new Date(at).toISOString();
}
