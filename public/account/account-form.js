/** A form that signs in or up, and shows validation errors beside its fields. */

/** @import { Session } from '../../sale/contract.ts' */

import { Problem } from '../shared/api.js';
import { element, setText } from '../shared/dom.js';
import { texts } from '../shared/texts.js';

/** @typedef {Record<string, string | boolean | undefined> & { name: string, label: string }} Field an input's attributes and its label */

/**
 * @param {string} view
 * @param {object} parts
 * @param {string} parts.action the label of the submit button
 * @param {Field[]} parts.fields
 * @param {string} parts.other the label of the button to the other form
 * @param {() => void} parts.showOther
 * @param {(values: Record<string, string>) => Promise<Session>} parts.send
 * @param {(session: Session) => void} parts.done
 */
export function accountForm(view, { action, fields, other, showOther, send, done }) {
  const submit = element('button', { class: 'primary' }, action);
  const otherButton = element('button', { type: 'button', class: 'quiet' }, other);
  const errorLine = element('p', { class: 'error', role: 'alert' });
  const inputs = fields.map((field) => fieldLine(view, field));
  const form = element(
    'form',
    { class: 'form', 'data-testid': `${view}-form` },
    ...inputs,
    errorLine,
    submit,
    otherButton,
  );

  otherButton.addEventListener('click', showOther);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (submit.disabled) return;
    submit.disabled = true;
    showErrors(form, errorLine, null);
    try {
      const values = Object.fromEntries(new FormData(form).entries());
      const session = await send(/** @type {Record<string, string>} */ (values));
      form.reset();
      done(session);
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
  const wrong = error instanceof Problem ? (error.details.errors ?? []) : [];
  for (const input of form.querySelectorAll('input')) {
    const message = wrong.find(({ field }) => field === input.name)?.message ?? '';
    input.setAttribute('aria-invalid', String(message !== ''));
    if (input.nextElementSibling) setText(input.nextElementSibling, message);
  }
  form.querySelector('input[aria-invalid="true"]')?.closest('label')?.querySelector('input')?.focus();
  setText(errorLine, wrong.length > 0 ? '' : errorText(error));
}

/** @param {unknown} error */
function errorText(error) {
  if (!error) return '';
  if (!(error instanceof Problem)) return texts.noAnswer;
  if (error.status === 401) return texts.wrongPassword;
  if (error.name === 'email-taken') return texts.emailTaken;
  if (error.status === 429) return texts.tooMany;
  return error.status >= 500 ? texts.noAnswer : error.message;
}
