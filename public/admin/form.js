/** A dialog with a form that saves something, and tells at its fields what the shop says is wrong with them. */

import { Problem } from '../shared/api.js';
import { element, setText } from '../shared/dom.js';
import { Misread } from '../shared/money.js';
import { inWords } from './ask.js';

/** A field holds something that cannot be taken: nothing is sent. */
class Mistyped extends Error {
  /** @param {string} field @param {string} message */
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/**
 * What a field of a form means.
 * @template Value
 * @param {FormData} values @param {string} name @param {string} label
 * @param {(text: string) => Value} parse which throws `Misread`
 */
export function readField(values, name, label, parse) {
  try {
    return parse(String(values.get(name) ?? '').trim());
  } catch (error) {
    if (!(error instanceof Misread)) throw error;
    throw new Mistyped(name, `${label}: ${error.message}`);
  }
}

/**
 * @template Result
 * @param {string} title
 * @param {HTMLElement[]} lines
 * @param {(values: FormData) => Promise<Result>} save
 * @returns {Promise<Result | null>} null when it was closed without saving
 */
export function openForm(title, lines, save) {
  const trouble = element('p', { class: 'trouble', role: 'alert' });
  const submit = element('button', { class: 'primary compact' }, 'Save');
  const cancel = element('button', { type: 'button', class: 'small' }, 'Cancel');
  const form = element(
    'form',
    { class: 'form', 'data-testid': 'form' },
    ...lines,
    trouble,
    element('div', { class: 'actions' }, cancel, submit),
  );
  const heading = element('h2', { id: 'form-title' }, title);
  const dialog = element('dialog', { class: 'dialog wide', 'aria-labelledby': 'form-title' }, heading, form);
  document.body.append(dialog);
  dialog.showModal();
  form.querySelector('input')?.focus();

  return new Promise((resolve) => {
    /** @type {Result | null} */
    let saved = null;
    cancel.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(saved);
    });
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      if (submit.disabled) return;
      submit.disabled = true;
      setText(trouble, '');
      try {
        saved = await save(new FormData(form));
        dialog.close();
      } catch (error) {
        tell(form, trouble, error);
      } finally {
        submit.disabled = false;
      }
    });
  });
}

/** @param {HTMLFormElement} form @param {HTMLElement} trouble @param {unknown} error */
function tell(form, trouble, error) {
  const wrong =
    error instanceof Mistyped ? [error] : error instanceof Problem ? (error.details.errors ?? []) : [];
  for (const input of form.querySelectorAll('input, textarea, select')) {
    const name = input.getAttribute('name') ?? '';
    const isWrong = wrong.some(({ field }) => field === name || field.startsWith(`${name}.`));
    input.setAttribute('aria-invalid', String(name !== '' && isWrong));
  }
  setText(trouble, error instanceof Mistyped ? error.message : inWords(error));
}

/**
 * @param {string} label @param {string} name @param {Record<string, string | boolean | undefined>} [attributes]
 * @param {string} [hint]
 */
export function field(label, name, attributes = {}, hint = '') {
  const input = element('input', { name, ...attributes });
  return element('label', {}, label, input, hint ? element('span', { class: 'hint' }, hint) : '');
}

/** @param {...HTMLElement} fields side by side where there is room */
export const row = (...fields) => element('div', { class: 'row' }, ...fields);
