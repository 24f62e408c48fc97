/** Converts between instants and the text of a `datetime-local` input, which is in the reader's time zone. */

import { InputError } from '../shared/money.js';

/** By how much clocks are set back at the end of summer time: used to find local times that occur twice. */
const STEPS_MS = [30, 60, 120].map((minutes) => minutes * 60_000);

/** The text for such an input, to the second. @param {number} at */
export function localText(at) {
  const date = new Date(at);
  const two = (/** @type {number} */ part) => String(part).padStart(2, '0');
  const day = `${String(date.getFullYear()).padStart(4, '0')}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The typed time in ISO 8601. @param {string} text @throws {InputError} */
export function instantOf(text) {
  const [, toTheMinute, seconds = '00'] =
    /^([1-9]\d{3}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:\.0+)?)?$/.exec(text) ?? [];
  if (!toTheMinute) {
    const got = text === '' ? 'nothing' : text.slice(0, 40);
    throw new InputError(`expected a date with a year of four digits and a time, got ${got}`);
  }
  const typed = `${toTheMinute}:${seconds}`;
  const at = new Date(typed).getTime();
  const shown = typed.replace('T', ' ');
  if (Number.isNaN(at) || localText(at) !== typed) {
    const instead = Number.isNaN(at) ? '' : `: did you mean ${localText(at).replace('T', ' ')}?`;
    throw new InputError(`${shown} does not exist in your time zone${instead}`);
  }
  const other = STEPS_MS.flatMap((step) => [at - step, at + step]).find((near) => localText(near) === typed);
  if (other !== undefined) {
    const both = [at, other].sort((one, two) => one - two).map((near) => new Date(near).toISOString());
    throw new InputError(
      `${shown} occurs twice in your time zone: at ${both.join(' and ')}. Choose another time`,
    );
  }
  return new Date(at).toISOString();
}
