/** Dead letters: jobs that failed in all their attempts, which an admin republishes or discards. */

/** @import { DeadLetter } from '../../../sale/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { dateTime, number } from '../../shared/format.js';
import { toast } from '../../shared/toast.js';
import { discardDeadLetter, fetchDeadLetters, republishDeadLetter } from '../api.js';
import { action, heading } from '../components.js';
import { errorText } from '../http.js';

export function openDeadLettersView() {
  const list = element('ul', { class: 'dead-letters', 'data-testid': 'dead-letters' });
  const note = element('p', { class: 'muted', role: 'status' });

  async function load() {
    try {
      const { deadLetters, total } = await fetchDeadLetters();
      setText(note, noteOn(deadLetters.length, total));
      list.replaceChildren(...deadLetters.map(lineOf));
    } catch (error) {
      setText(note, errorText(error));
    }
  }

  /** @param {number} shown @param {number} total */
  function noteOn(shown, total) {
    if (shown === 0) return 'None. Everything that was accepted could be settled.';
    return total > shown ? `The newest ${number(shown)} of ${number(total)} are shown.` : '';
  }

  /** @param {DeadLetter} deadLetter */
  function lineOf({ id, reason, attempts, failedAt, data, stacks }) {
    const again = action('Try again', async () => {
      await republishDeadLetter(id);
      toast(`Dead letter ${id} is back in the queue`);
      await load();
    });
    const discard = action('Discard', async () => {
      if (!confirm('Discard it? Its buyers keep the answer that their order failed.')) return;
      await discardDeadLetter(id);
      await load();
    });
    return element(
      'li',
      { class: 'card-box dead-letter' },
      element('h2', {}, `No. ${id}`),
      element('p', { class: 'failure' }, reason),
      element(
        'p',
        { class: 'muted' },
        `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'} · ${dateTime(failedAt)}`,
      ),
      element(
        'details',
        {},
        element('summary', {}, 'Content'),
        element('pre', { tabindex: '0' }, JSON.stringify(data, null, 2)),
        element('pre', { tabindex: '0' }, stacks.at(-1) ?? ''),
      ),
      element('div', { class: 'actions', 'data-needs': 'admin' }, again, discard),
    );
  }

  load();
  return { root: element('div', {}, heading('Dead letters', action('Look again', load)), note, list) };
}
