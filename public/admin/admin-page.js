/** The control room: checks access, opens views, and polls the figures that all views show. */

/** @import { LiveFigures } from '../../insight/contract.ts' */

import { openAccount } from '../account/account.js';
import { showRole } from '../account/role.js';
import { currentSession, onSessionChange } from '../account/session.js';
import { byId, decoded, element, setText, show } from '../shared/dom.js';
import { relative } from '../shared/format.js';
import { mountShell } from '../shared/shell.js';
import { toast } from '../shared/toast.js';
import { createQueueVisit, fetchLive, startAudit } from './api.js';
import { heading } from './components.js';
import { openIncidents } from './health/incidents.js';
import { errorText } from './http.js';
import { openFigures } from './live-figures.js';
import { openNowView } from './now/now-view.js';
import { isAtLeast } from './staff/roles.js';
import { texts } from './texts.js';

/**
 * @typedef {object} View
 * @property {HTMLElement} root
 * @property {(figures: LiveFigures) => void} [update] receives new figures about once a second
 * @property {() => void} [drawAges] is called twice a second
 * @property {() => void} [close]
 *
 * @typedef {(id: string, figures: ReturnType<typeof openFigures>) => View} OpenView
 */

/** The views that are not the first one load with the first of them that is opened. */
const loadViews = () => import('./views.js');

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

/** The token in the address of an invitation; null in any other address. */
const invitationInAddress = () => /^#join=([\w.-]+)$/.exec(location.hash)?.[1] ?? null;

const TICK_MS = 1_000;
const AGES_EVERY_MS = 500;
/** An audit that is older says little: the leader of the workers audits every five minutes. */
const AUDIT_OLD_MS = 15 * 60_000;

const figures = openFigures();
const incidents = openIncidents(figures);
/** @type {View | null} */
let view = null;
/** Counts what was opened, so that a view that comes late is not shown over a later one. */
let opening = 0;
let hasAccess = false;
/** Whether the first figures have come, or have failed to. */
let hasPolled = false;
let polls = 0;
/** Whether the form of an invitation is shown, which ends with a new load of the page. */
let isJoining = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let tick;

function enter() {
  const invitation = invitationInAddress();
  if (invitation) {
    isJoining = true;
    leave();
    show(byId('room'), false);
    show(byId('no-access'), true);
    join(invitation);
  }
  if (isJoining) return;
  hasAccess = isAtLeast('viewer');
  showRole();
  show(byId('room'), hasAccess);
  show(byId('no-access'), !hasAccess);
  const text = currentSession() ? texts.onlyStaff : texts.signInAsStaff;
  setText(byId('no-access-text'), text);
  show(byId('no-access-sign-in'), currentSession() === null);
  if (!hasAccess) return leave();
  open();
  poll();
}

/** @param {string} invitation */
async function join(invitation) {
  const text = element('p', { role: 'status' }, texts.staff.moment);
  byId('no-access').replaceChildren(text);
  try {
    const { openJoinForm } = await loadViews();
    text.replaceWith(openJoinForm(invitation));
    // The token leaves the address, so that it is in no history, bookmark or picture of the screen.
    history.replaceState(null, '', location.pathname);
  } catch {
    byId('no-access').replaceChildren(openMissingView().root);
  }
}

function leave() {
  hasAccess = false;
  opening += 1;
  clearTimeout(tick);
  view?.close?.();
  view = null;
  byId('view').replaceChildren();
}

async function open() {
  if (!hasAccess) return;
  const [wanted = 'now', id = ''] = (location.hash.slice(1) || 'now').split('/');
  const name = isAtLeast(needs.get(wanted) ?? 'viewer') ? wanted : 'now';
  opening += 1;
  const mine = opening;
  // The heading that came with the page is of the first view.
  if (name !== 'now' && !view) byId('view').replaceChildren();
  if (name === 'queues') return openBullBoard();
  const tab = tabOf[name] ?? name;
  for (const link of byId('tabs').querySelectorAll('a')) {
    if (link.hash !== `#${tab}`) link.removeAttribute('aria-current');
    else {
      link.setAttribute('aria-current', 'page');
      // Without the count that may stand behind it.
      setText(byId('tab-name'), (link.querySelector('span') ?? link).textContent);
    }
  }
  if (name !== 'now') byId('view').setAttribute('aria-busy', 'true');
  const openView = name === 'now' ? openNowView : await loadView(name);
  byId('view').removeAttribute('aria-busy');
  // Another view was opened, or access was lost, while this one loaded.
  if (mine !== opening) return;
  view?.close?.();
  view = openView(decoded(id), figures);
  byId('view').replaceChildren(view.root);
  const latest = figures.latest();
  if (latest) view.update?.(latest);
  // What shows figures appears with the first ones, so that nothing moves when they come.
  byId('room').toggleAttribute('data-waiting', !hasPolled && view.update !== undefined);
}

/** @param {string} name @returns {Promise<OpenView>} */
async function loadView(name) {
  try {
    const { views } = await loadViews();
    return views.get(name) ?? openNowView;
  } catch {
    return openMissingView;
  }
}

/** Shown when a view could not be loaded. Only a reload tries again, because a browser may keep a failed import. */
function openMissingView() {
  const again = element('button', { type: 'button', class: 'small' }, texts.words.lookAgain);
  again.addEventListener('click', () => location.reload());
  const alert = element('div', { role: 'alert' }, element('p', {}, texts.noAnswer), again);
  return { root: element('div', {}, heading(texts.room), alert) };
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
  polls += 1;
  try {
    const news = await fetchLive(figures.newestSecond());
    // A server that has just started lacks parts of its first answer; a part that is away is not waited for.
    hasPolled ||= polls > 1 || (news.figures !== null && news.money !== null);
    figures.update(news);
    drawDeadLetters(news);
    view?.update?.(news);
  } catch {
    hasPolled = true;
    figures.failed();
  }
  drawHealth();
  if (hasPolled) byId('room').removeAttribute('data-waiting');
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
  // The orders of large open sales and of closed ones are read less often than their logs and counts.
  const orders = audit.ordersReadAt ? [texts.ordersReadAgo(relative(audit.ordersReadAt))] : [];
  const closed = audit.closedReadAt ? [texts.closedReadAgo(relative(audit.closedReadAt))] : [];
  const parts = [texts.audit[audit.state], ...ago, ...orders, ...closed, ...unknown];
  setText(byId('audit-text'), parts.join(' · '));
  light.title = audit.examples.join('\n');
}

mountShell();
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
byId('tab-list').addEventListener('click', () => byId('tab-list').hidePopover());
byId('no-access-sign-in').addEventListener('click', () => openAccount());
onSessionChange(enter);
// A link of an invitation may be opened in a tab that shows the control room already.
addEventListener('hashchange', () => (invitationInAddress() ? enter() : open()));
document.addEventListener('visibilitychange', () => document.hidden || poll());
enter();
