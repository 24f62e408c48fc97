/** A dialog with a form. What is wrong with a field, or is asked about it, is said beside the field. */

import { Problem } from '../shared/api.js';
import { element, setText } from '../shared/dom.js';
import { timeZone } from '../shared/language.js';
import { InputError } from '../shared/money.js';
import { errorText } from './http.js';
import { instantOf, localText, UnclearTime } from './local-time.js';
import { faultsIn } from './problem-text.js';
import { texts } from './texts.js';

/**
 * What keeps a field from being accepted.
 * @typedef {object} Fault
 * @property {string} field
 * @property {string} message
 * @property {boolean} [isQuestion] a tick beside the field answers it
 * @property {{ at: string, text: string }[]} [choices] times of which one may be meant
 */

/** The form is not accepted, so nothing is sent. */
class FormError extends Error {
  /** @param {Fault[]} faults */
  constructor(faults) {
    super(texts.someFields);
    this.faults = faults;
  }
}

/** Reads the fields of a form, and collects what is wrong with all of them. @param {HTMLFormElement} form */
function openReader(form) {
  const values = new FormData(form);
  /** @type {Fault[]} */
  const faults = [];
  const textOf = (/** @type {string} */ name) => String(values.get(name) ?? '').trim();

  return {
    textOf,

    /** @param {string} field @param {string} message */
    refuse: (field, message) => faults.push({ field, message }),

    /** Asks unless the tick beside the field is set. @param {string} field @param {string} question */
    ask(field, question) {
      if (!values.has(sureOf(field))) faults.push({ field, message: question, isQuestion: true });
    },

    /**
     * @template Value
     * @param {string} name @param {string} label
     * @param {(text: string) => Value} parse throws `InputError`
     * @returns {Value | undefined} undefined when it is refused
     */
    read(name, label, parse) {
      try {
        return parse(textOf(name));
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        const choices = error instanceof UnclearTime ? error.choices : [];
        faults.push({ field: name, message: texts.faultOf(label, errorText(error)), choices });
      }
    },

    /** A time in ISO 8601. @param {string} name @param {string} label */
    readTime(name, label) {
      return this.read(name, label, (text) => {
        const chosen = textOf(chosenOf(name));
        if (chosen && localText(Date.parse(chosen), timeZone).startsWith(text)) return chosen;
        return instantOf(text, timeZone);
      });
    },

    /** @throws FormError */
    done() {
      if (faults.length > 0) throw new FormError(faults);
    },
  };
}

/** @typedef {ReturnType<typeof openReader>} Reader */

const sureOf = (/** @type {string} */ field) => `${field}-sure`;
const chosenOf = (/** @type {string} */ field) => `${field}-chosen`;

/**
 * @template Result
 * @param {string} title
 * @param {HTMLElement[]} lines
 * @param {(read: Reader) => Promise<Result>} save
 * @param {{ submit?: string, back?: string }} [labels] of the buttons
 * @returns {Promise<Result | null>} null when the dialog was closed without saving
 */
export function openForm(
  title,
  lines,
  save,
  { submit: submitText = texts.words.save, back = texts.words.cancel } = {},
) {
  const errorLine = element('p', { class: 'error', role: 'alert' });
  const submit = element('button', { class: 'primary compact' }, submitText);
  const cancel = element('button', { type: 'button', class: 'small' }, back);
  const form = element(
    'form',
    { class: 'form', 'data-testid': 'form', novalidate: true },
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
        saved = await save(openReader(form));
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
  /** @type {Fault[]} */
  const faults = error instanceof FormError ? error.faults : error instanceof Problem ? faultsIn(error) : [];
  /** @type {Set<Fault>} */
  const shown = new Set();
  /** @type {HTMLElement | null} */
  let first = null;
  for (const input of inputsOf(form)) {
    const name = input.getAttribute('name') ?? '';
    const own = faults.filter(({ field }) => field === name || field.startsWith(`${name}.`));
    for (const fault of own) shown.add(fault);
    if (own.length > 0) first ??= input;
    markField(input, own);
  }
  // Each field says its own; what belongs to none is said at the end of the form.
  const isSaid = faults.length > 0 && faults.every((fault) => shown.has(fault));
  setText(errorLine, isSaid ? '' : errorText(error));
  first?.focus();
}

/** @param {HTMLElement} form @returns {NodeListOf<HTMLElement>} */
const inputsOf = (form) => form.querySelectorAll('.field :is(input, textarea, select)[name]');

/** @param {HTMLElement} input @param {Fault[]} faults */
function markField(input, faults) {
  const beside = input.closest('.field')?.querySelector('.beside');
  if (!beside || beside.contains(input)) return;
  input.setAttribute('aria-invalid', String(faults.some(({ isQuestion }) => !isQuestion)));
  // A tick that was set stays until the field changes.
  if (faults.length === 0 && beside.querySelector(':checked')) return;
  beside.replaceChildren(...faults.flatMap((fault) => noteOf(input, fault)));
}

/** @param {HTMLElement} input @param {Fault} fault @returns {Node[]} */
function noteOf(input, { field, message, isQuestion, choices = [] }) {
  if (isQuestion) {
    const tick = element('input', { type: 'checkbox', name: sureOf(field) });
    return [element('div', { role: 'alert' }, element('label', { class: 'question' }, tick, message))];
  }
  const buttons = choices.map(({ at, text }) => {
    const button = element('button', { type: 'button', class: 'small' }, text);
    button.addEventListener('click', () => chooseTime(/** @type {HTMLInputElement} */ (input), at, text));
    return button;
  });
  return [element('span', { class: 'error', role: 'alert' }, message), ...buttons];
}

/** @param {HTMLInputElement} input @param {string} at @param {string} text */
function chooseTime(input, at, text) {
  input.value = localText(Date.parse(at), timeZone);
  input.setAttribute('aria-invalid', 'false');
  const chosen = element('input', { type: 'hidden', name: chosenOf(input.name), value: at });
  const note = element('span', { class: 'hint', role: 'status' }, text);
  input.closest('.field')?.querySelector('.beside')?.replaceChildren(chosen, note);
  input.focus();
}

/**
 * @param {string} label @param {string} name @param {Record<string, string | boolean | undefined>} [attributes]
 * @param {string} [hint]
 */
export const field = (label, name, attributes = {}, hint = '') =>
  fieldOf(label, element('input', { name, ...attributes }), hint);

/** @param {string} label @param {HTMLElement} input with a name @param {string} [hint] */
export function fieldOf(label, input, hint = '') {
  const beside = element('div', { class: 'beside' });
  // An answer to a question about the old text says nothing about the new one.
  input.addEventListener('input', () => beside.replaceChildren());
  return element(
    'div',
    { class: 'field' },
    element('label', {}, label, input, hint ? element('span', { class: 'hint' }, hint) : ''),
    beside,
  );
}

/** A field for a time in the shop's zone. @param {string} label @param {string} name @param {number} at */
export function timeField(label, name, at) {
  const attributes = { type: 'datetime-local', step: '1', max: '9999-12-31T23:59:59' };
  const root = field(label, name, { ...attributes, value: localText(at, timeZone) }, texts.inZone(timeZone));
  // A text that is not changed means this very moment, also in an hour that clocks show twice.
  const value = new Date(at).toISOString();
  root.querySelector('.beside')?.append(element('input', { type: 'hidden', name: chosenOf(name), value }));
  return root;
}

/** @param {...HTMLElement} fields shown side by side if there is room */
export const row = (...fields) => element('div', { class: 'row' }, ...fields);

/** @param {...HTMLElement} fields with labels that need more room */
export const longRow = (...fields) => element('div', { class: 'row long' }, ...fields);
