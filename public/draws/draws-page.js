/** Explains a draw, and recomputes it in this browser for who asks, and says whether it agrees. */

/** @import { Draw } from '../../sale/contract.ts' */

import { asBuyer, currentSession, onSessionChange } from '../account/session.js';
import { call, fetchSale, Problem } from '../shared/api.js';
import { jittered, serverNow } from '../shared/clock.js';
import { byId, decoded, element, setText, show } from '../shared/dom.js';
import { countdown, dateTime } from '../shared/format.js';
import { mountShell } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { checkDraw, namedRound } from './check-draw.js';

const saleId = encodeURIComponent(decoded(location.pathname.split('/')[2] ?? ''));
const fileUrl = `/api/sales/${saleId}/draw/file`;
const POLL_MS = 3_000;

mountShell();
document.title = `${texts.draws.title} · ${texts.brand}`;
setText(byId('title'), texts.draws.title);
byId('to-sale').setAttribute('href', `/sales/${saleId}`);
setText(byId('to-sale'), texts.toSale);
setText(byId('recompute'), texts.draws.recompute);
byId('recompute').addEventListener('click', recompute);
byId('file').setAttribute('href', fileUrl);
setText(byId('file'), texts.draws.download);

async function load() {
  try {
    /** @type {Draw} */
    const draw = (await call('GET', `/sales/${saleId}/draw`)).body;
    const steps = texts.draws.explained(dateTime(draw.drawAt), draw.entries);
    const last = draw.beacon ? beaconInWords(draw.beacon, draw.drawAt) : [texts.draws.cannotShow];
    byId('explained').replaceChildren(...[...steps, ...last].map((step) => element('p', {}, step)));
    drawAtMs = Date.parse(draw.drawAt);
    if (draw.state === 'drawn') return offerRecomputing();
    isFrozen = draw.state === 'frozen';
    isLate = draw.beacon?.isLate === true;
    tellWhen();
    setTimeout(load, jittered(POLL_MS));
  } catch (error) {
    const isMissing = error instanceof Problem && !error.isPassing;
    setText(byId('verdict'), isMissing ? texts.draws.missing : texts.loadFailed);
    if (!isMissing) setTimeout(load, jittered(POLL_MS));
  }
}

/** @param {NonNullable<Draw['beacon']>} beacon @param {string} drawAt */
function beaconInWords({ round, at, waivedAt }, drawAt) {
  const { beacon, waived, laterRound } = texts.draws;
  if (waivedAt !== null) return [waived(round, dateTime(waivedAt))];
  const named = namedRound(drawAt);
  return [beacon(round, dateTime(at)), ...(round > named ? [laterRound(named)] : [])];
}

/** When the draw is made, by the server's clock. */
let drawAtMs = 0;
let isFrozen = false;
let isLate = false;

/** Counts down to the draw; a screen reader hears the time of it once, and not every second. */
function tellWhen() {
  const leftMs = drawAtMs - serverNow();
  const isSoon = !isFrozen && leftMs > 0;
  show(byId('countdown'), isSoon);
  setText(byId('countdown'), isSoon ? countdown(leftMs) : '');
  setText(byId('verdict'), isSoon ? texts.draws.notYet : isLate ? texts.draws.late : texts.place.drawing);
}

/** The list may be long, so it is fetched only by who asks for it. */
function offerRecomputing() {
  show(byId('countdown'), false);
  clearInterval(ticking);
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

const ticking = setInterval(() => drawAtMs > 0 && tellWhen(), 1_000);
onSessionChange(showMine);
// For the server's clock, which the countdown follows.
fetchSale(decoded(location.pathname.split('/')[2] ?? '')).catch(() => {});
await Promise.all([load(), showMine()]);
