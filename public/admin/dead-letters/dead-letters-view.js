/** Dead letters: jobs that failed as often as they are tried, and wait for somebody to decide. */

/** @import { DeadLetter } from '../../../sale/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { dateTime, number } from '../../shared/format.js';
import { toast } from '../../shared/toast.js';
import { discardLetter, fetchLetters, republishLetter } from '../api.js';
import { inWords } from '../ask.js';
import { action, heading } from '../parts.js';

export function openDeadLettersView() {
  const list = element('ul', { class: 'letters', 'data-testid': 'letters' });
  const note = element('p', { class: 'muted', role: 'status' });

  async function load() {
    try {
      const { deadLetters: letters, total } = await fetchLetters();
      setText(note, noteOn(letters.length, total));
      list.replaceChildren(...letters.map(lineOf));
    } catch (error) {
      setText(note, inWords(error));
    }
  }

  /** @param {number} shown @param {number} total */
  function noteOn(shown, total) {
    if (shown === 0) return 'None. Everything that was accepted could be settled.';
    return total > shown ? `The newest ${number(shown)} of ${number(total)} are shown.` : '';
  }

  /** @param {DeadLetter} letter */
  function lineOf({ id, reason, attempts, failedAt, data, stacks }) {
    const again = action('Try again', async () => {
      await republishLetter(id);
      toast(`Letter ${id} is back in the queue`);
      await load();
    });
    const discard = action('Discard', async () => {
      if (!confirm('Discard it? Its buyers keep the answer that their order failed.')) return;
      await discardLetter(id);
      await load();
    });
    return element(
      'li',
      { class: 'card-box letter' },
      element('h2', {}, `No. ${id}`),
      element('p', { class: 'gone' }, reason),
      element(
        'p',
        { class: 'muted' },
        `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'} · ${dateTime(failedAt)}`,
      ),
      element(
        'details',
        {},
        element('summary', {}, 'What it carries'),
        element('pre', { tabindex: '0' }, JSON.stringify(data, null, 2)),
        element('pre', { tabindex: '0' }, stacks.at(-1) ?? ''),
      ),
      element('div', { class: 'actions' }, again, discard),
    );
  }

  load();
  return { root: element('div', {}, heading('Dead letters', action('Look again', load)), note, list) };
}
