/** The form with which somebody who was invited joins the staff. */

import { beginSession } from '../../account/session.js';
import { element, setText } from '../../shared/dom.js';
import { field } from '../form.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';
import { acceptInvitation, readInvitation } from './staff-api.js';

/** @param {string} token */
export function openJoinForm(token) {
  const text = element('p', { role: 'status' }, texts.staff.moment);
  const root = element('div', { 'data-testid': 'join' }, element('h1', {}, texts.staff.join), text);
  readInvitation(token).then(
    ({ email, role, hasAccount }) => {
      const what = texts.roles[/** @type {keyof typeof texts.roles} */ (role)] ?? role;
      setText(text, `${email} · ${what}`);
      root.append(formOf(token, email, hasAccount));
    },
    (error) => setText(text, errorText(error)),
  );
  return root;
}

/** @param {string} token @param {string} email @param {boolean} hasAccount */
function formOf(token, email, hasAccount) {
  const error = element('p', { class: 'error', role: 'alert' });
  const submit = element('button', { class: 'primary' }, texts.staff.joinNow);
  const password = hasAccount
    ? field(texts.staff.ownPassword, 'password', { autocomplete: 'current-password' })
    : field(
        texts.staff.password,
        'password',
        { autocomplete: 'new-password', minlength: '8' },
        texts.staff.passwordHint,
      );
  const input = password.querySelector('input');
  input?.setAttribute('type', 'password');
  input?.setAttribute('required', '');
  const name = field(texts.words.name, 'name', { autocomplete: 'name', required: true, maxlength: '100' });
  const form = element(
    'form',
    { class: 'form' },
    // Password managers store the password under this address.
    element('input', { type: 'hidden', name: 'email', autocomplete: 'username', value: email }),
    ...(hasAccount ? [] : [name]),
    password,
    error,
    submit,
  );
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.disabled = true;
    setText(error, '');
    try {
      const values = new FormData(form);
      const answer = { token, password: String(values.get('password')) };
      const named = hasAccount ? answer : { ...answer, name: String(values.get('name')) };
      beginSession(await acceptInvitation(named));
      location.replace('/admin');
    } catch (problem) {
      setText(error, errorText(problem));
    } finally {
      submit.disabled = false;
    }
  });
  return form;
}
