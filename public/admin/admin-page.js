/** The control room: who may enter, which view is open, and the one stream of figures that all views draw from. */

/** @import { LiveFigures } from '../../insight/contract.ts' */

import { openAccount } from '../account/account.js';
import { currentSession, onSessionChange } from '../account/session.js';
import { decoded, element, part, setText, show } from '../shared/dom.js';
import { time } from '../shared/format.js';
import { mountShell, tellConnection } from '../shared/shell.js';
import { toast } from '../shared/toast.js';
import { askLive, openQueues, startAudit } from './api.js';
import { inWords } from './ask.js';
import { openDeadLettersView } from './dead-letters/dead-letters-view.js';
import { openFigures } from './figures.js';
import { openNowView } from './now/now-view.js';
import { openOrdersView } from './orders/orders-view.js';
import { openProductsView } from './products/products-view.js';
import { openSaleView } from './sales/one-sale.js';
import { openSalesView } from './sales/sales-view.js';

/**
 * @typedef {object} View
 * @property {HTMLElement} root
 * @property {(figures: LiveFigures) => void} [tell] new figures, about once a second
 * @property {() => void} [close]
 */

/** @type {Map<string, (id: string, figures: ReturnType<typeof openFigures>) => View>} */
const views = new Map(
  Object.entries({
    now: openNowView,
    sales: openSalesView,
    sale: openSaleView,
    products: openProductsView,
    orders: openOrdersView,
    letters: openDeadLettersView,
  }),
);

const TICK_MS = 1_000;
/** The light is worth little when it is old. */
const AUDIT_EVERY_MS = 5 * 60_000;

const figures = openFigures();
/** @type {View | null} */
let view = null;
let isIn = false;
let auditAskedAt = Number.NEGATIVE_INFINITY;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let tick;

const isAdmin = () => currentSession()?.user.role === 'admin';

function enter() {
  isIn = isAdmin();
  show(part('room'), isIn);
  show(part('gate'), !isIn);
  const text = currentSession() ? 'This is for the shop’s own people.' : 'Sign in as an admin of the shop.';
  setText(part('gate-text'), text);
  show(part('gate-sign-in'), currentSession() === null);
  if (!isIn) {
    clearTimeout(tick);
    view?.close?.();
    view = null;
    part('view').replaceChildren();
    return;
  }
  open();
  follow();
}

function open() {
  if (!isIn) return;
  const [name = 'now', id = ''] = (location.hash.slice(1) || 'now').split('/');
  if (name === 'queues') return visitQueues();
  view?.close?.();
  view = (views.get(name) ?? openNowView)(decoded(id), figures);
  part('view').replaceChildren(view.root);
  const tab = name === 'sale' ? 'sales' : name;
  for (const link of part('tabs').querySelectorAll('a')) {
    if (link.hash === `#${tab}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const latest = figures.latest();
  if (latest) view.tell?.(latest);
}

/** Bull's board is a page of its own; an admin is let in by a ticket for one visit. */
async function visitQueues() {
  try {
    const { path } = await openQueues();
    location.replace(path);
  } catch (error) {
    toast(inWords(error));
    location.hash = 'now';
  }
}

async function follow() {
  clearTimeout(tick);
  if (!isIn) return;
  try {
    const news = await askLive(figures.newestSecond());
    figures.learn(news);
    tellConnection(false);
    drawLamp(news);
    view?.tell?.(news);
  } catch {
    tellConnection(true);
  }
  clearTimeout(tick);
  // A hidden tab rests; the seconds it missed come with its next question.
  if (isIn && !document.hidden) tick = setTimeout(follow, TICK_MS);
}

const lampTexts = {
  never: 'Not audited yet',
  running: 'Auditing…',
  ok: 'Every invariant holds',
  breached: 'An invariant is broken',
  failed: 'The audit did not run',
};

/** @param {LiveFigures} news */
function drawLamp({ audit, queue, serverTime }) {
  const lamp = part('lamp');
  lamp.dataset.state = audit.state;
  const checked = audit.at && audit.state !== 'running' ? ` · ${time(audit.at)}` : '';
  setText(part('lamp-text'), lampTexts[audit.state] + checked);
  lamp.title = audit.examples.join('\n');
  setText(part('dead-letters-count'), String(queue.failed));
  show(part('dead-letters-count'), queue.failed > 0);
  const age = audit.at ? Date.parse(serverTime) - Date.parse(audit.at) : Number.POSITIVE_INFINITY;
  const isAsked = performance.now() - auditAskedAt < AUDIT_EVERY_MS;
  if (age > AUDIT_EVERY_MS && audit.state !== 'running' && !isAsked) {
    auditAskedAt = performance.now();
    startAudit().catch(() => {});
  }
}

mountShell();
const again = element('button', { type: 'button', class: 'small' }, 'Check now');
again.addEventListener('click', () =>
  startAudit().then(
    () => toast('The audit runs'),
    (error) => toast(inWords(error)),
  ),
);
part('lamp').append(again);
part('gate-sign-in').addEventListener('click', () => openAccount());
onSessionChange(enter);
addEventListener('hashchange', open);
document.addEventListener('visibilitychange', () => document.hidden || follow());
enter();
