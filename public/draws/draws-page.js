/** Explains a draw, and recomputes it in this browser for who asks, and says whether it agrees. */

/** @import { Draw } from '../../sale/contract.ts' */

import { asBuyer, currentSession, onSessionChange } from '../account/session.js';
import { call, fetchSale, Problem } from '../shared/api.js';
import { jittered, serverNow } from '../shared/clock.js';
import { byId, decoded, element, setText, show } from '../shared/dom.js';
import { countdown, dateTime } from '../shared/format.js';
import { mountShell } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { checkDraw } from './check-draw.js';
import { drawInWords } from './draw-words.js';

const saleId = encodeURIComponent(decoded(location.pathname.split('/')[2] ?? ''));
const fileUrl = `/api/sales/${saleId}/draw/file`;
const POLL_MS = 3_000;
/** @type {Draw | null} */
let draw = null;

mountShell();
byId('recompute').addEventListener('click', recompute);
byId('file').setAttribute('href', fileUrl);

async function load() {
  try {
    /** @type {Draw} */
    const found = (await call('GET', `/sales/${saleId}/draw`)).body;
    draw = found;
    const { steps } = drawInWords(found, serverNow(), { texts, dateTime });
    const drawn = element('div', {}, ...steps.map((step) => element('p', {}, step)));
    if (byId('explained').innerHTML !== drawn.innerHTML) byId('explained').replaceChildren(...drawn.children);
    if (found.state === 'drawn') return offerRecomputing();
    tellWhen();
    setTimeout(load, jittered(POLL_MS));
  } catch (error) {
    const isMissing = error instanceof Problem && !error.isPassing;
    setText(byId('verdict'), isMissing ? texts.draws.missing : texts.loadFailed);
    if (!isMissing) setTimeout(load, jittered(POLL_MS));
  }
}

/** Counts down to the draw; a screen reader hears the time of it once, and not every second. */
function tellWhen() {
  if (!draw) return;
  const { leftMs, verdict } = drawInWords(draw, serverNow(), { texts, dateTime });
  show(byId('countdown'), leftMs > 0);
  setText(byId('countdown'), leftMs > 0 ? countdown(leftMs) : '');
  setText(byId('verdict'), verdict);
}

/** The list may be long, so it is fetched only by who asks for it. */
function offerRecomputing() {
  clearInterval(ticking);
  show(byId('countdown'), false);
  // Browsers have it only over an encrypted connection.
  const canRecompute = globalThis.crypto?.subtle !== undefined;
  setText(byId('verdict'), canRecompute ? '' : texts.draws.notHere);
  show(byId('recompute'), canRecompute);
  show(byId('file'), true);
}

async function recompute() {
  show(byId('recompute'), false);
  setText(byId('verdict'), texts.draws.computing);
  try {
    const answer = await fetch(fileUrl);
    if (!answer.ok) throw new Error(`The file was answered ${answer.status}`);
    const checks = await checkDraw(await answer.json());
    byId('checks').replaceChildren(
      ...Object.entries(checks).map(([name, holds]) => {
        const claim = texts.draws.checks[/** @type {keyof typeof texts.draws.checks} */ (name)];
        return element('li', {}, `${holds ? '✓' : '✗'} ${claim}`);
      }),
    );
    const agrees = Object.values(checks).every(Boolean);
    setText(byId('verdict'), agrees ? texts.draws.agrees : texts.draws.differs);
  } catch {
    setText(byId('verdict'), texts.noAnswer);
    show(byId('recompute'), true);
  }
}

async function showMine() {
  const mine = currentSession()
    ? await asBuyer((token) => call('GET', `/sales/${saleId}/entries/mine`, { token })).catch(() => null)
    : null;
  const { pseudonym, drawn } = mine?.body ?? {};
  setText(byId('mine'), pseudonym ? texts.draws.mine(pseudonym, drawn ?? null) : '');
}

const ticking = setInterval(tellWhen, 1_000);
onSessionChange(showMine);
// For the server's clock, which the countdown follows.
fetchSale(decoded(location.pathname.split('/')[2] ?? '')).catch(() => {});
await Promise.all([load(), showMine()]);
