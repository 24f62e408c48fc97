/** Explains a draw, recomputes it in this browser, and says whether it agrees. */

/** @import { Draw } from '../../sale/contract.ts' */

import { asBuyer, currentSession, onSessionChange } from '../account/session.js';
import { call, Problem } from '../shared/api.js';
import { byId, decoded, element, setText, show } from '../shared/dom.js';
import { dateTime } from '../shared/format.js';
import { mountShell } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { checkDraw } from './check-draw.js';

const saleId = encodeURIComponent(decoded(location.pathname.split('/')[2] ?? ''));
const fileUrl = `/api/sales/${saleId}/draw/file`;
const pollMs = 3_000;

mountShell();
document.title = `${texts.draws.title} · ${texts.brand}`;
setText(byId('title'), texts.draws.title);
byId('to-sale').setAttribute('href', `/sales/${saleId}`);
setText(byId('to-sale'), texts.toSale);

async function load() {
  try {
    /** @type {Draw} */
    const draw = (await call('GET', `/sales/${saleId}/draw`)).body;
    const steps = texts.draws.explained(dateTime(draw.drawAt), draw.entries);
    byId('explained').replaceChildren(...steps.map((step) => element('p', {}, step)));
    if (draw.state !== 'drawn') {
      setText(byId('verdict'), draw.state === 'frozen' ? texts.place.drawing : texts.draws.notYet);
      setTimeout(load, pollMs);
    } else await recompute();
  } catch (error) {
    const isMissing = error instanceof Problem && error.status < 500;
    setText(byId('verdict'), isMissing ? texts.draws.missing : texts.loadFailed);
    if (!isMissing) setTimeout(load, pollMs);
  }
}

async function recompute() {
  setText(byId('verdict'), texts.draws.computing);
  const answer = await fetch(fileUrl);
  if (!answer.ok) throw new Error(`The file was answered ${answer.status}`);
  const checks = await checkDraw(await answer.json());
  byId('checks').replaceChildren(
    ...Object.entries(checks).map(([name, holds]) => {
      const claim = texts.draws.checks[/** @type {keyof typeof checks} */ (name)];
      return element('li', {}, `${holds ? '✓' : '✗'} ${claim}`);
    }),
  );
  const agrees = Object.values(checks).every(Boolean);
  setText(byId('verdict'), agrees ? texts.draws.agrees : texts.draws.differs);
  const file = byId('file');
  file.setAttribute('href', fileUrl);
  setText(file, texts.draws.download);
  show(file, true);
}

async function showMine() {
  const mine = currentSession()
    ? await asBuyer((token) => call('GET', `/sales/${saleId}/entries/mine`, { token })).catch(() => null)
    : null;
  const { pseudonym, drawn } = mine?.body ?? {};
  setText(byId('mine'), pseudonym ? texts.draws.mine(pseudonym, drawn ?? null) : '');
}

onSessionChange(showMine);
await Promise.all([load(), showMine()]);
