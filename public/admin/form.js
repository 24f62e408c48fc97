/** A dialog with a form, which marks the fields that the server reports as invalid. */

import { Problem } from '../shared/api.js';
import { element, setText } from '../shared/dom.js';
import { InputError } from '../shared/money.js';
import { errorText } from './http.js';

/** A field's text is invalid, so nothing is sent. */
class FieldError extends Error {
  /** @param {string} field @param {string} message */
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/**
 * Parses a field of a form.
 * @template Value
 * @param {FormData} values @param {string} name @param {string} label
 * @param {(text: string) => Value} parse throws `InputError`
 */
export function readField(values, name, label, parse) {
  try {
    return parse(String(values.get(name) ?? '').trim());
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new FieldError(name, `${label}: ${error.message}`);
  }
}

/**
 * @template Result
 * @param {string} title
 * @param {HTMLElement[]} lines
 * @param {(values: FormData) => Promise<Result>} save
 * @param {{ submit: string, back: string }} [labels] of the buttons
 * @returns {Promise<Result | null>} null when the dialog was closed without saving
 */
export function openForm(title, lines, save, labels = { submit: 'Save', back: 'Cancel' }) {
  const errorLine = element('p', { class: 'error', role: 'alert' });
  const submit = element('button', { class: 'primary compact' }, labels.submit);
  const cancel = element('button', { type: 'button', class: 'small' }, labels.back);
  const form = element(
    'form',
    { class: 'form', 'data-testid': 'form' },
    ...lines,
    errorLine,
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
      setText(errorLine, '');
      try {
        saved = await save(new FormData(form));
        dialog.close();
      } catch (error) {
        showErrors(form, errorLine, error);
      } finally {
        submit.disabled = false;
      }
    });
  });
}

/** @param {HTMLFormElement} form @param {HTMLElement} errorLine @param {unknown} error */
function showErrors(form, errorLine, error) {
  const wrong =
    error instanceof FieldError ? [error] : error instanceof Problem ? (error.details.errors ?? []) : [];
  for (const input of form.querySelectorAll('input, textarea, select')) {
    const name = input.getAttribute('name') ?? '';
    const isWrong = wrong.some(({ field }) => field === name || field.startsWith(`${name}.`));
    input.setAttribute('aria-invalid', String(name !== '' && isWrong));
  }
  setText(errorLine, error instanceof FieldError ? error.message : errorText(error));
}

/**
 * @param {string} label @param {string} name @param {Record<string, string | boolean | undefined>} [attributes]
 * @param {string} [hint]
 */
export function field(label, name, attributes = {}, hint = '') {
  const input = element('input', { name, ...attributes });
  return element('label', {}, label, input, hint ? element('span', { class: 'hint' }, hint) : '');
}

/** @param {...HTMLElement} fields shown side by side if there is room */
export const row = (...fields) => element('div', { class: 'row' }, ...fields);
