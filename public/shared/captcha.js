/** Shows the form of the captcha's provider in a dialog, until it gives a token. It is loaded only when it is needed. */

import { element } from './dom.js';
import { language } from './language.js';
import { texts } from './texts.js';

const scripts = {
  turnstile: 'https://challenges.cloudflare.com/turnstile/v0/api.js?render=explicit',
  hcaptcha: 'https://js.hcaptcha.com/1/api.js?render=explicit',
};
const LOAD_DEADLINE_MS = 10_000;

/** @param {string} src @returns {Promise<unknown>} */
function load(src) {
  return new Promise((resolve, reject) => {
    const script = element('script', { src, async: true });
    script.addEventListener('load', resolve);
    script.addEventListener('error', reject);
    setTimeout(reject, LOAD_DEADLINE_MS);
    document.head.append(script);
  });
}

/**
 * @param {{ provider: 'turnstile' | 'hcaptcha', siteKey: string }} captcha
 * @param {string} about what the token is for: a sale's id, or `sign-up`
 * @returns {Promise<string | null>} the token; null when the person has closed the dialog. Where the form cannot be loaded it is
 *   `unavailable`, upon which the server asks the provider itself.
 */
export async function solveCaptcha({ provider, siteKey }, about) {
  const global = /** @type {Record<string, any>} */ (/** @type {unknown} */ (globalThis));
  try {
    if (!global[provider]) await load(scripts[provider]);
  } catch {
    return 'unavailable';
  }
  const place = element('div');
  const close = element('button', { type: 'button', class: 'close', 'aria-label': texts.close }, '×');
  const title = element('h2', { id: 'captcha-title' }, texts.captcha);
  const dialog = element('dialog', { class: 'dialog', 'aria-labelledby': title.id }, close, title, place);
  document.body.append(dialog);
  dialog.showModal();
  return await new Promise((resolve) => {
    /** @type {string | null} */
    let token = null;
    const end = (/** @type {string | null} */ given) => {
      token = given;
      dialog.close();
    };
    close.addEventListener('click', () => end(null));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(token);
    });
    try {
      global[provider].render(place, {
        sitekey: siteKey,
        ...(provider === 'turnstile' ? { cData: about, language } : { hl: language }),
        callback: end,
        'error-callback': () => end('unavailable'),
      });
    } catch {
      // Some blockers load an empty script in place of the provider's.
      end('unavailable');
    }
  });
}
