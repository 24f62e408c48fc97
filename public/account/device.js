/** Names of browsers and systems in a User-Agent header. The order matters: Edge also calls itself Chrome, and Chrome Safari. */
const browsers = /** @type {const} */ ([
  ['Edge', /\bEdgA?\//],
  ['Opera', /\bOPR\//],
  ['Samsung Internet', /\bSamsungBrowser\//],
  ['Firefox', /\b(Firefox|FxiOS)\//],
  ['Chrome', /\b(Chrome|CriOS|HeadlessChrome)\//],
  ['Safari', /\bSafari\//],
]);
const systems = /** @type {const} */ ([
  ['iPhone', /\biPhone\b/],
  ['iPad', /\biPad\b/],
  ['Android', /\bAndroid\b/],
  ['Windows', /\bWindows\b/],
  ['macOS', /\bMacintosh\b/],
  ['Linux', /\bLinux\b/],
]);

/** A short name of a device, e.g. `Firefox, Windows`; empty when nothing is recognised. @param {string} userAgent */
export function deviceOf(userAgent) {
  const find = (/** @type {typeof browsers | typeof systems} */ names) =>
    names.find(([, pattern]) => pattern.test(userAgent))?.[0];
  return [find(browsers), find(systems)].filter(Boolean).join(', ');
}
