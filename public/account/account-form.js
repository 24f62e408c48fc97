/** A form about an account, which shows validation errors beside its fields. */

import { Problem } from '../shared/api.js';
import { element, setText } from '../shared/dom.js';
import { texts } from '../shared/texts.js';

/** @typedef {Record<string, string | boolean | undefined> & { name: string, label: string }} Field an input's attributes and its label */

/**
 * @template Answer
 * @param {string} view
 * @param {object} parts
 * @param {string} parts.action the label of the submit button
 * @param {Field[]} parts.fields
 * @param {{ label: string, show: () => void }[]} [parts.others] the buttons to other forms
 * @param {(values: Record<string, string>) => Promise<Answer>} parts.send
 * @param {(answer: Answer) => void} parts.done
 */
export function accountForm(view, { action, fields, others = [], send, done }) {
  const submit = element('button', { class: 'primary' }, action);
  const otherButtons = others.map(({ label, show }) => {
    const button = element('button', { type: 'button', class: 'quiet' }, label);
    button.addEventListener('click', show);
    return button;
  });
  const errorLine = element('p', { class: 'error', role: 'alert' });
  const inputs = fields.map((field) => fieldLine(view, field));
  const form = element(
    'form',
    { class: 'form', 'data-testid': `${view}-form` },
    ...inputs,
    errorLine,
    submit,
    ...otherButtons,
  );

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (submit.disabled) return;
    submit.disabled = true;
    showErrors(form, errorLine, null);
    try {
      const values = Object.fromEntries(new FormData(form).entries());
      const answer = await send(/** @type {Record<string, string>} */ (values));
      form.reset();
      done(answer);
    } catch (error) {
      showErrors(form, errorLine, error);
    } finally {
      submit.disabled = false;
    }
  });
  return form;
}

/** @param {string} view @param {Field} field */
function fieldLine(view, { label, ...attributes }) {
  const wrong = element('span', { class: 'error', id: `${view}-${attributes.name}-wrong` });
  const input = element('input', { ...attributes, 'aria-describedby': wrong.id });
  return element('label', {}, label, input, wrong);
}

/** @param {HTMLFormElement} form @param {HTMLElement} errorLine @param {unknown} error null clears the errors */
function showErrors(form, errorLine, error) {
  const wrong = wrongFieldsOf(error);
  for (const input of form.querySelectorAll('input')) {
    const message = wrong.find(({ field }) => field === input.name)?.message ?? '';
    input.setAttribute('aria-invalid', String(message !== ''));
    if (input.nextElementSibling) setText(input.nextElementSibling, message);
  }
  form.querySelector('input[aria-invalid="true"]')?.closest('label')?.querySelector('input')?.focus();
  setText(errorLine, wrong.length > 0 ? '' : errorText(error));
}

/** @param {unknown} error @returns {{ field: string, message: string }[]} */
function wrongFieldsOf(error) {
  if (!(error instanceof Problem)) return [];
  if (error.name === 'wrong-password') return [{ field: 'oldPassword', message: texts.wrongOldPassword }];
  return (error.details.errors ?? []).map(({ field }) => ({ field, message: faultOf(field) }));
}

/** What is expected in a field, because the server says it in English and for programs. @param {string} field */
const faultOf = (field) =>
  Object.hasOwn(texts.fieldFaults, field)
    ? texts.fieldFaults[/** @type {keyof typeof texts.fieldFaults} */ (field)]
    : texts.notAccepted;

/** What a failed request means. @param {unknown} error */
export function errorText(error) {
  if (!error) return '';
  if (!(error instanceof Problem)) return texts.noAnswer;
  if (error.name === 'link-expired') return texts.linkExpired;
  if (error.name === 'no-mail') return texts.noMail;
  if (error.name === 'no-passwords') return texts.noPasswords;
  if (error.status === 401) return texts.wrongPassword;
  if (error.name === 'email-taken') return texts.emailTaken;
  if (error.name === 'captcha-required' || error.name === 'captcha-unavailable')
    return texts.place.refused[error.name];
  if (error.status === 429) return texts.tooMany;
  return error.status >= 500 ? texts.noAnswer : texts.notAccepted;
}

/** @returns {Field} */
export function emailField() {
  return { name: 'email', label: texts.email, type: 'email', autocomplete: 'username', required: true };
}

/** @param {'current-password' | 'new-password'} autocomplete @returns {Field} */
export function passwordField(autocomplete) {
  const ofNew = autocomplete === 'new-password' ? { placeholder: texts.passwordHint, minlength: '8' } : {};
  return {
    name: 'password',
    label: texts.password,
    type: 'password',
    autocomplete,
    ...ofNew,
    required: true,
  };
}
