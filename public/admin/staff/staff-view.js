/** The staff: who has which role, and who is invited. */

/** @import { StaffInvitation, StaffMember } from '../../../insight/contract.ts' */

import { currentSession } from '../../account/session.js';
import { element, setText, show } from '../../shared/dom.js';
import { dateTime } from '../../shared/format.js';
import { toast } from '../../shared/toast.js';
import { action, heading, replaceRows, subheading, table } from '../components.js';
import { field, openForm } from '../form.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';
import { roleOptions } from './roles.js';
import { shownOnce } from './shown-once.js';
import { changeRole, fetchStaff, invite, removeStaff, withdrawInvitation } from './staff-api.js';

export function openStaffView() {
  const { staff: t, words } = texts;
  const members = table('staff', t.columns);
  const invited = table('invitations', t.invitedColumns);
  const pending = element('section', {}, subheading(t.invitations), invited.root);
  const note = element('p', { class: 'muted', role: 'status' });
  const link = element('div');
  pending.hidden = true;

  async function load() {
    try {
      const { staff, invitations, more } = await fetchStaff();
      replaceRows(members.body, staff.map(memberLine));
      replaceRows(invited.body, invitations.map(invitationLine));
      show(pending, invitations.length > 0);
      setText(note, more ? t.more : '');
    } catch (error) {
      setText(note, errorText(error));
    }
  }

  /** @param {StaffMember} member */
  function memberLine({ id, email, name, role, ofProvider }) {
    const shown = id === currentSession()?.user.id ? t.you(name) : name;
    if (ofProvider) return [shown, email, texts.roleNames[role], t.ofProvider];
    const change = action(
      t.changeRole,
      async () => {
        const select = element('label', {}, words.role, roleSelect(role, { name: 'role' }));
        const note = element('p', { class: 'hint' }, t.atOnce);
        const changed = await openForm(t.roleOf(email), [select, note], async ({ textOf }) => {
          await changeRole(id, textOf('role'));
          return true;
        });
        if (!changed) return;
        toast(t.roleChanged(name));
        await load();
      },
      { 'aria-label': t.changeRoleOf(email) },
    );
    const remove = action(
      words.remove,
      async () => {
        if (!confirm(t.removeConfirm(email))) return;
        await removeStaff(id);
        toast(t.removed(name));
        await load();
      },
      { 'aria-label': t.removeOf(email), class: 'small danger' },
    );
    return [shown, email, texts.roleNames[role], element('div', { class: 'actions' }, change, remove)];
  }

  /** @param {StaffInvitation} invitation */
  function invitationLine({ id, email, role, expiresAt }) {
    const withdraw = action(
      t.withdraw,
      async () => {
        await withdrawInvitation(id);
        await load();
      },
      { 'aria-label': t.withdrawOf(email) },
    );
    return [email, texts.roleNames[role], dateTime(expiresAt), withdraw];
  }

  const add = action(
    t.invite,
    async () => {
      const role = element('label', {}, words.role, roleSelect('viewer', { name: 'role' }));
      const email = field(words.email, 'email', { type: 'email', required: true, autocomplete: 'off' });
      const sent = await openForm(t.inviteTitle, [email, role], async ({ textOf }) => {
        const invitation = { email: textOf('email'), role: textOf('role') };
        return { ...invitation, ...(await invite(invitation)) };
      });
      if (!sent) return;
      if (sent.token === null) toast(t.mailed(sent.email));
      else {
        link.replaceChildren(shownOnce(t.link(sent.email), `${location.origin}/admin#join=${sent.token}`));
      }
      await load();
    },
    { class: 'primary compact', 'data-testid': 'invite' },
  );
  load();
  return {
    root: element(
      'div',
      { class: 'stacked' },
      heading(texts.tabs.staff, add),
      link,
      note,
      members.root,
      pending,
    ),
  };
}

/** @param {string} role @param {Record<string, string>} attributes */
function roleSelect(role, attributes) {
  const options = roleOptions().map(([value, label]) =>
    element('option', { value, selected: value === role }, label),
  );
  return element('select', attributes, ...options);
}
