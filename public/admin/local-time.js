/** Converts between instants and the text of a `datetime-local` input, which is in the shop's time zone. */

import { InputError } from '../shared/money.js';

const DAY_MS = 86_400_000;

/** @typedef {{ at: string, text: string }} Choice an instant in ISO 8601, and how the zone's clocks show it */

/** A local time that does not exist or occurs twice, and the two instants that may have been meant. */
export class UnclearTime extends InputError {
  /** @param {'skippedTime' | 'doubleTime'} fault @param {string} typed @param {string} zone @param {Choice[]} choices */
  constructor(fault, typed, zone, choices) {
    super(fault, typed, zone, ...choices.map(({ text }) => text));
    this.choices = choices;
  }
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const clocks = new Map();

/** @param {string} zone */
function clockIn(zone) {
  const known = clocks.get(zone);
  if (known) return known;
  const made = new Intl.DateTimeFormat('en-u-ca-iso8601-nu-latn', {
    ...{ year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit' },
    ...{ second: '2-digit', hourCycle: 'h23', timeZone: zone, timeZoneName: 'longOffset' },
  });
  clocks.set(zone, made);
  return made;
}

/** @param {number} at @param {string} zone */
function partsOf(at, zone) {
  const parts = new Map(
    clockIn(zone)
      .formatToParts(at)
      .map(({ type, value }) => [type, value]),
  );
  const [year, month, day, hour, minute, second] = [
    ...['year', 'month', 'day', 'hour', 'minute', 'second'].map(
      (type) => parts.get(/** @type {never} */ (type)) ?? '',
    ),
  ];
  const text = `${(year ?? '').padStart(4, '0')}-${month}-${day}T${hour}:${minute}:${second}`;
  const offset = (parts.get('timeZoneName') ?? '').replace('GMT', 'UTC');
  return { text, offset: offset === 'UTC' ? 'UTC+00:00' : offset };
}

/** The text for such an input, to the second. @param {number} at @param {string} zone */
export const localText = (at, zone) => partsOf(at, zone).text;

/** @param {number} at @param {string} zone @returns {Choice} */
function choiceOf(at, zone) {
  const { text, offset } = partsOf(at, zone);
  return { at: new Date(at).toISOString(), text: `${text.replace('T', ' ')} (${offset})` };
}

/** The typed time in ISO 8601. @param {string} text @param {string} zone @throws {InputError} */
export function instantOf(text, zone) {
  const [, toTheMinute, seconds = '00'] =
    /^([1-9]\d{3}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:\.0+)?)?$/.exec(text) ?? [];
  if (!toTheMinute) {
    throw new InputError('time', text.slice(0, 40));
  }
  const typed = `${toTheMinute}:${seconds}`;
  const shown = typed.replace('T', ' ');
  const asUtc = Date.parse(`${typed}Z`);
  const onCalendar = Number.isNaN(asUtc) ? '' : new Date(asUtc).toISOString().slice(0, 19);
  if (onCalendar !== typed) {
    throw new InputError('noSuchTime', shown, onCalendar.replace('T', ' '));
  }
  // The zone's offsets a day before and after: they differ if clocks are changed in between.
  const offsets = [asUtc - DAY_MS, asUtc + DAY_MS].map((at) => Date.parse(`${localText(at, zone)}Z`) - at);
  const readings = [...new Set(offsets)].map((offset) => asUtc - offset).sort((one, other) => one - other);
  const [only, ...others] = readings.filter((at) => localText(at, zone) === typed);
  if (only !== undefined && others.length === 0) return new Date(only).toISOString();
  const choices = readings.map((at) => choiceOf(at, zone));
  throw new UnclearTime(only === undefined ? 'skippedTime' : 'doubleTime', shown, zone, choices);
}
