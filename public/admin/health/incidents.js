/** Names at the top of the control room what is away, since when, what buyers get meanwhile, and where to read on. */

/** @import { openFigures } from '../live-figures.js' */

import { element, setText, show } from '../../shared/dom.js';
import { duration, time } from '../../shared/format.js';
import { texts } from '../texts.js';

/**
 * @typedef {object} Incident
 * @property {string} what
 * @property {number | null} since Unix ms; null when it is not known
 * @property {string} buyers what they get meanwhile
 * @property {string} paragraph of the runbook
 */

const paragraphs = {
  redis: 'RedisAway',
  'redis-master': 'RedisMasterAway',
  mongodb: 'MongoAway',
  rabbitmq: 'RabbitAway',
};

/** @param {ReturnType<typeof openFigures>} figures @returns {Incident[]} */
function incidentsIn(figures) {
  const unanswered = figures.unansweredSince();
  if (unanswered !== null) return [{ ...texts.incidents.shop, since: unanswered, paragraph: 'TargetDown' }];
  const latest = figures.latest();
  if (!latest) return [];
  const { away = [], living } = latest;
  /** @type {Incident[]} */
  const found = away.map(({ what, since }) => {
    const known = /** @type {keyof typeof paragraphs} */ (what);
    const text = texts.incidents[known] ?? { what, buyers: '' };
    return { ...text, since: Date.parse(since), paragraph: paragraphs[known] ?? 'FiguresUnknown' };
  });
  const hasWorker = living.some(({ role }) => role === 'worker');
  if (!hasWorker && !figures.isStale('processes'))
    found.push({ ...texts.incidents.worker, since: figures.workerSeenAt(), paragraph: 'UnsettledOld' });
  return found;
}

/** @param {ReturnType<typeof openFigures>} figures */
export function openIncidents(figures) {
  const root = element('ul', { class: 'incidents', role: 'status', 'data-testid': 'incidents' });
  root.hidden = true;
  /** @type {Map<string, ReturnType<typeof openLine>>} */
  let lines = new Map();
  return {
    root,
    draw() {
      const incidents = incidentsIn(figures);
      const isSame = incidents.length === lines.size && incidents.every(({ what }) => lines.has(what));
      // Lines stay while they are the same, so that a screen reader does not read them each second.
      if (!isSame) {
        lines = new Map(incidents.map((one) => [one.what, openLine(one)]));
        root.replaceChildren(...[...lines.values()].map((line) => line.root));
      }
      for (const { what, since } of incidents) lines.get(what)?.draw(since, figures.now());
      show(root, incidents.length > 0);
    },
  };
}

/** @param {Incident} incident */
function openLine({ what, buyers, paragraph }) {
  const lasts = element('span', { class: 'incident-since', 'aria-live': 'off' });
  return {
    root: element(
      'li',
      {},
      element('strong', {}, what),
      lasts,
      element('span', { class: 'incident-buyers' }, buyers),
      element('a', { href: `#runbook/${paragraph}` }, texts.whatToDo),
    ),
    /** @param {number | null} since @param {number} now */
    draw(since, now) {
      const seconds = Math.max(1, Math.round((now - (since ?? now)) / 1_000));
      setText(lasts, since === null ? '' : texts.since(time(since), duration(seconds * 1_000)));
    },
  };
}
