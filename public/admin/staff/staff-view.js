/** The staff: who has which role, and who is invited. */

/** @import { StaffInvitation, StaffMember } from '../../../insight/contract.ts' */

import { currentSession } from '../../account/session.js';
import { element, setText, show } from '../../shared/dom.js';
import { dateTime } from '../../shared/format.js';
import { toast } from '../../shared/toast.js';
import { action, heading, replaceRows, subheading, table } from '../components.js';
import { field, openForm } from '../form.js';
import { errorText } from '../http.js';
import { roleOptions, roleTexts } from './roles.js';
import { shownOnce } from './shown-once.js';
import { changeRole, fetchStaff, invite, removeStaff, withdrawInvitation } from './staff-api.js';

export function openStaffView() {
  const members = table('staff', ['Name', 'E-mail', 'Role', 'Actions']);
  const invited = table('invitations', ['Invited', 'Role', 'Until', 'Actions']);
  const pending = element('section', {}, subheading('Invitations'), invited.root);
  const note = element('p', { class: 'muted', role: 'status' });
  const link = element('div');
  pending.hidden = true;

  async function load() {
    try {
      const { staff, invitations, more } = await fetchStaff();
      replaceRows(members.body, staff.map(memberLine));
      replaceRows(invited.body, invitations.map(invitationLine));
      show(pending, invitations.length > 0);
      setText(note, more ? 'There are more, which are not shown.' : '');
    } catch (error) {
      setText(note, errorText(error));
    }
  }

  /** @param {StaffMember} member */
  function memberLine({ id, email, name, role, ofProvider }) {
    const you = id === currentSession()?.user.id ? ' (you)' : '';
    if (ofProvider) return [name + you, email, roleTexts[role], 'Changed at the identity provider'];
    const change = action(
      'Change role',
      async () => {
        const select = element('label', {}, 'Role', roleSelect(role, { name: 'role' }));
        const note = element('p', { class: 'hint' }, 'It takes effect at once, and ends their sessions.');
        const changed = await openForm(`Role of ${email}`, [select, note], async ({ textOf }) => {
          await changeRole(id, textOf('role'));
          return true;
        });
        if (!changed) return;
        toast(`${name} signs in again with the new role`);
        await load();
      },
      { 'aria-label': `Change the role of ${email}` },
    );
    const remove = action(
      'Remove',
      async () => {
        if (!confirm(`Remove ${email} from the staff? It takes effect at once.`)) return;
        await removeStaff(id);
        toast(`${name} is no longer on the staff`);
        await load();
      },
      { 'aria-label': `Remove ${email}`, class: 'small danger' },
    );
    return [name + you, email, role, element('div', { class: 'actions' }, change, remove)];
  }

  /** @param {StaffInvitation} invitation */
  function invitationLine({ id, email, role, expiresAt }) {
    const withdraw = action(
      'Withdraw',
      async () => {
        await withdrawInvitation(id);
        await load();
      },
      { 'aria-label': `Withdraw the invitation of ${email}` },
    );
    return [email, role, dateTime(expiresAt), withdraw];
  }

  const add = action(
    'Invite',
    async () => {
      const role = element('label', {}, 'Role', roleSelect('viewer', { name: 'role' }));
      const email = field('E-mail', 'email', { type: 'email', required: true, autocomplete: 'off' });
      const sent = await openForm('Invite somebody', [email, role], async ({ textOf }) => {
        const invitation = { email: textOf('email'), role: textOf('role') };
        return { ...invitation, ...(await invite(invitation)) };
      });
      if (!sent) return;
      if (sent.token === null) toast(`An invitation was mailed to ${sent.email}`);
      else {
        const text = `Send this link to ${sent.email}. It works once and for three days, and is not shown again.`;
        link.replaceChildren(shownOnce(text, `${location.origin}/admin#join=${sent.token}`));
      }
      await load();
    },
    { class: 'primary compact', 'data-testid': 'invite' },
  );
  load();
  return {
    root: element('div', { class: 'stacked' }, heading('Staff', add), link, note, members.root, pending),
  };
}

/** @param {string} role @param {Record<string, string>} attributes */
function roleSelect(role, attributes) {
  const options = roleOptions().map(([value, label]) =>
    element('option', { value, selected: value === role }, label),
  );
  return element('select', attributes, ...options);
}
