/** Dead letters: jobs that failed in all their attempts, which an admin republishes or discards. */

/** @import { DeadLetter } from '../../../sale/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { dateTime } from '../../shared/format.js';
import { toast } from '../../shared/toast.js';
import { discardDeadLetter, fetchDeadLetters, republishDeadLetter } from '../api.js';
import { action, heading, technical } from '../components.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';

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
    if (shown === 0) return texts.deadLetters.none;
    return total > shown ? texts.deadLetters.newest(shown, total) : '';
  }

  /** @param {DeadLetter} deadLetter */
  function lineOf({ id, reason, attempts, failedAt, data, stacks }) {
    const again = action(texts.deadLetters.again, async () => {
      await republishDeadLetter(id);
      toast(texts.deadLetters.isBack(id));
      await load();
    });
    const discard = action(texts.deadLetters.discard, async () => {
      if (!confirm(texts.deadLetters.discardConfirm)) return;
      await discardDeadLetter(id);
      await load();
    });
    return element(
      'li',
      { class: 'card-box dead-letter' },
      element('h2', {}, texts.deadLetters.numbered(id)),
      element('p', { class: 'failure' }, technical(reason)),
      element('p', { class: 'muted' }, `${texts.order.attempts(attempts)} · ${dateTime(failedAt)}`),
      element(
        'details',
        {},
        element('summary', {}, texts.deadLetters.content),
        element('pre', { tabindex: '0' }, JSON.stringify(data, null, 2)),
        element('pre', { tabindex: '0' }, stacks.at(-1) ?? ''),
      ),
      element('div', { class: 'actions', 'data-needs': 'admin' }, again, discard),
    );
  }

  load();
  return {
    root: element(
      'div',
      {},
      heading(texts.tabs['dead-letters'], action(texts.words.lookAgain, load)),
      note,
      list,
    ),
  };
}
