import { momentsIn } from '../shared/formats.js';

/** Writes when a sale opens in the time zone of this device, where it is another one than the shop's. */
export function renderOpeningHere() {
  const { documentElement: root } = document;
  const line = document.getElementById('opening-here');
  const { at, sentence = '' } = line?.dataset ?? {};
  if (!line || !at) return;
  const { locale = root.lang, timeZone } = root.dataset;
  const [here, there] = [undefined, timeZone].map((zone) => momentsIn(locale, zone).format(new Date(at)));
  const text = here && here !== there ? sentence.replace('{}', here) : '';
  if (line.textContent !== text) line.textContent = text;
}
