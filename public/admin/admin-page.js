/** The control room: checks access, opens views, and polls the figures that all views show. */

/** @import { LiveFigures } from '../../insight/contract.ts' */

import { openAccount } from '../account/account.js';
import { currentSession, onSessionChange } from '../account/session.js';
import { byId, decoded, element, setText, show } from '../shared/dom.js';
import { relative } from '../shared/format.js';
import { mountShell } from '../shared/shell.js';
import { toast } from '../shared/toast.js';
import { createQueueVisit, fetchLive, startAudit } from './api.js';
import { openDeadLettersView } from './dead-letters/dead-letters-view.js';
import { openIncidents } from './health/incidents.js';
import { openRunbookView } from './health/runbook-view.js';
import { errorText } from './http.js';
import { openFigures } from './live-figures.js';
import { openNowView } from './now/now-view.js';
import { openOrderView } from './orders/order-view.js';
import { openOrdersView } from './orders/orders-view.js';
import { openSuspectsView } from './orders/suspects-view.js';
import { openProductsView } from './products/products-view.js';
import { openDraftView } from './sales/draft-view.js';
import { openSaleDetails } from './sales/sale-details.js';
import { openSalesView } from './sales/sales-view.js';
import { invitationInAddress, openJoinForm } from './staff/join-form.js';
import { openKeysView } from './staff/keys-view.js';
import { openLogView } from './staff/log-view.js';
import { isAtLeast } from './staff/roles.js';
import { openShopView } from './staff/shop-view.js';
import { openStaffView } from './staff/staff-view.js';
import { texts } from './texts.js';

/**
 * @typedef {object} View
 * @property {HTMLElement} root
 * @property {(figures: LiveFigures) => void} [update] receives new figures about once a second
 * @property {() => void} [drawAges] is called twice a second
 * @property {() => void} [close]
 */

/** @type {Map<string, (id: string, figures: ReturnType<typeof openFigures>) => View>} */
const views = new Map(
  Object.entries({
    now: openNowView,
    sales: openSalesView,
    sale: openSaleDetails,
    draft: openDraftView,
    products: openProductsView,
    orders: openOrdersView,
    order: openOrderView,
    suspects: openSuspectsView,
    'dead-letters': openDeadLettersView,
    shop: openShopView,
    staff: openStaffView,
    keys: openKeysView,
    log: openLogView,
    runbook: openRunbookView,
  }),
);

/** The tab of each view that has none of its own. @type {Record<string, string>} */
const tabOf = { sale: 'sales', draft: 'sales', order: 'orders', suspects: 'orders', runbook: 'now' };

/** Views that not every role may open. @type {Map<string, 'desk' | 'admin'>} */
const needs = new Map(
  Object.entries({
    orders: 'desk',
    order: 'desk',
    suspects: 'desk',
    queues: 'admin',
    staff: 'admin',
    keys: 'admin',
    log: 'admin',
  }),
);

const TICK_MS = 1_000;
const AGES_EVERY_MS = 500;
/** An audit that is older says little: the leader of the workers audits every five minutes. */
const AUDIT_OLD_MS = 15 * 60_000;

const figures = openFigures();
const incidents = openIncidents(figures);
/** @type {View | null} */
let view = null;
let hasAccess = false;
/** Whether the first figures have come, or have failed to. */
let hasPolled = false;
/** Whether the form of an invitation is shown, which ends with a new load of the page. */
let isJoining = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let tick;

function enter() {
  const invitation = invitationInAddress();
  if (invitation) {
    // The token leaves the address, so that it is in no history, bookmark or picture of the screen.
    history.replaceState(null, '', location.pathname);
    isJoining = true;
    leave();
    byId('no-access').replaceChildren(openJoinForm(invitation));
    show(byId('room'), false);
    show(byId('no-access'), true);
  }
  if (isJoining) return;
  hasAccess = isAtLeast('viewer');
  document.body.dataset.role = currentSession()?.user.role ?? '';
  show(byId('room'), hasAccess);
  show(byId('no-access'), !hasAccess);
  const text = currentSession() ? texts.onlyStaff : texts.signInAsStaff;
  setText(byId('no-access-text'), text);
  show(byId('no-access-sign-in'), currentSession() === null);
  if (!hasAccess) return leave();
  open();
  poll();
}

function leave() {
  hasAccess = false;
  clearTimeout(tick);
  view?.close?.();
  view = null;
  byId('view').replaceChildren();
}

function open() {
  if (!hasAccess) return;
  const [wanted = 'now', id = ''] = (location.hash.slice(1) || 'now').split('/');
  const name = isAtLeast(needs.get(wanted) ?? 'viewer') ? wanted : 'now';
  if (name === 'queues') return openBullBoard();
  view?.close?.();
  view = (views.get(name) ?? openNowView)(decoded(id), figures);
  byId('view').replaceChildren(view.root);
  const tab = tabOf[name] ?? name;
  for (const link of byId('tabs').querySelectorAll('a')) {
    if (link.hash === `#${tab}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const latest = figures.latest();
  if (latest) view.update?.(latest);
  // What shows figures appears with the first ones, so that nothing moves when they come.
  byId('room').toggleAttribute('data-waiting', !hasPolled && view.update !== undefined);
}

/** Opens Bull's board, a page of its own, which an admin enters with a one-time ticket. */
async function openBullBoard() {
  try {
    const { path } = await createQueueVisit();
    location.replace(path);
  } catch (error) {
    toast(errorText(error));
    location.hash = 'now';
  }
}

async function poll() {
  clearTimeout(tick);
  if (!hasAccess) return;
  try {
    const news = await fetchLive(figures.newestSecond());
    figures.update(news);
    drawDeadLetters(news);
    view?.update?.(news);
  } catch {
    figures.failed();
  }
  drawHealth();
  hasPolled = true;
  byId('room').removeAttribute('data-waiting');
  clearTimeout(tick);
  // A hidden tab stops polling; its next request fetches the seconds that it missed.
  if (hasAccess && !document.hidden) tick = setTimeout(poll, TICK_MS);
}

/** Draws what depends on the age of the figures, also while no answer comes. */
function drawHealth() {
  if (!hasAccess) return;
  incidents.draw();
  drawAuditStatus();
  view?.drawAges?.();
}

/** @param {LiveFigures} news */
function drawDeadLetters({ queue }) {
  if (!queue) return;
  setText(byId('dead-letters-count'), String(queue.failed));
  show(byId('dead-letters-count'), queue.failed > 0);
}

function drawAuditStatus() {
  const latest = figures.latest();
  if (!latest) return;
  const { audit } = latest;
  const light = byId('audit-status');
  const isUnknown = figures.isStale('audit');
  const age = audit.at ? figures.now() - Date.parse(audit.at) : 0;
  const isOld = audit.state === 'ok' && age > AUDIT_OLD_MS;
  light.dataset.state = isUnknown ? 'stale' : isOld ? 'old' : audit.state;
  const ago = audit.at && audit.state !== 'running' ? [texts.auditedAgo(relative(audit.at))] : [];
  const unknown = isUnknown ? [texts.auditUnknown] : [];
  // The orders of a large open sale are read less often than its log and counts.
  const orders = audit.ordersReadAt ? [texts.ordersReadAgo(relative(audit.ordersReadAt))] : [];
  setText(byId('audit-text'), [texts.audit[audit.state], ...ago, ...orders, ...unknown].join(' · '));
  light.title = audit.examples.join('\n');
}

/** Writes the texts that are in the page from the beginning. */
function translate() {
  for (const heading of document.querySelectorAll('#no-access h1')) setText(heading, texts.room);
  setText(byId('no-access-sign-in'), texts.signIn);
  byId('tabs').setAttribute('aria-label', texts.room);
  for (const link of byId('tabs').querySelectorAll('a')) {
    const text = new Map(Object.entries(texts.tabs)).get(link.hash.slice(1));
    if (text) link.firstChild?.replaceWith(`${text} `.slice(0, link.children.length > 0 ? undefined : -1));
  }
  document.title = document.title.replace(/^[^·]*·/, `${texts.room} ·`);
}

mountShell();
translate();
byId('room').prepend(incidents.root);
setInterval(drawHealth, AGES_EVERY_MS);
const auditButton = element(
  'button',
  { type: 'button', class: 'small', 'data-needs': 'admin' },
  texts.checkNow,
);
auditButton.addEventListener('click', () =>
  startAudit().then(
    () => toast(texts.auditRuns),
    (error) => toast(errorText(error)),
  ),
);
byId('audit-status').append(auditButton);
byId('no-access-sign-in').addEventListener('click', () => openAccount());
onSessionChange(enter);
// A link of an invitation may be opened in a tab that shows the control room already.
addEventListener('hashchange', () => (invitationInAddress() ? enter() : open()));
document.addEventListener('visibilitychange', () => document.hidden || poll());
enter();
