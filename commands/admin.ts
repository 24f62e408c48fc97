import { randomBytes } from 'node:crypto';
import { Emitter } from '@socket.io/redis-emitter';
import { z } from 'zod';
import { emailAddress } from '../accounts/email-address.ts';
import { openTokenSecrets } from '../accounts/one-time-token.ts';
import { changeRole, invite, listStaff } from '../accounts/staff.ts';
import { appendStaffEntry } from '../accounts/staff-log.ts';
import { createUser, findUserByEmail } from '../accounts/user.ts';
import { type AccountRole, accountRole, type StaffRole, staffRole } from '../sale/contract.ts';
import { prepareCollections } from '../store/collections.ts';
import { byCommand, openSystem, runCommand, type System } from './system.ts';

const usage = `expected one of
  npm run admin -- list                who runs the shop, one JSON line each
  npm run admin -- create EMAIL        an admin with a random password, which is shown once
  npm run admin -- invite EMAIL ROLE   a link with which they join the staff; ROLE is viewer, desk or admin
  npm run admin -- role EMAIL ROLE     another role for somebody of the staff; buyer removes them from it`;

const by = byCommand('npm run admin');

const arguments_ = z.union([
  z.tuple([z.literal('list')]),
  z.tuple([z.literal('create'), emailAddress]),
  z.tuple([z.literal('invite'), emailAddress, staffRole]),
  z.tuple([z.literal('role'), emailAddress, accountRole]),
]);

/** `npm run admin`: lists, creates, invites and changes the staff. */
await runCommand(async () => {
  const given = arguments_.safeParse(process.argv.slice(2));
  if (!given.success) throw new Error(usage);
  const [action, email, role] = given.data;
  const system = await openSystem();
  try {
    await prepareCollections(system.collections);
    if (action === 'list') await list(system);
    else if (action === 'create') await create(system, email);
    else if (action === 'invite') await printLink(system, email, role);
    else await change(system, email, role);
  } finally {
    await system.close();
  }
});

async function list({ collections }: System): Promise<void> {
  const { staff, invitations, more } = await listStaff(collections);
  for (const entry of [...staff, ...invitations]) console.log(JSON.stringify(entry));
  if (more) console.log(JSON.stringify({ more }));
}

async function create({ collections, config }: System, email: string): Promise<void> {
  const password = randomBytes(15).toString('base64url');
  const made = await createUser(
    collections,
    { email, password, name: 'Admin' },
    {
      bcryptCost: config.BCRYPT_COST,
      role: 'admin',
      alongside: (id, session) =>
        appendStaffEntry(collections, session, {
          ...by,
          action: 'staff.created',
          subject: { kind: 'account', id },
          after: { email, role: 'admin' },
        }),
    },
  );
  if (made === 'email_taken') throw new Error(`An account ${email} already exists`);
  console.log(JSON.stringify({ email: made.user.email, password }));
}

async function printLink(
  { collections, config, baseUrl }: System,
  email: string,
  role: StaffRole,
): Promise<void> {
  const secretsOf = openTokenSecrets(config.JWT_SECRET);
  const token = await invite(collections, { email, role }, { mails: null, secretsOf }, by);
  console.log(JSON.stringify({ email, role, link: `${baseUrl ?? config.PUBLIC_URL}/admin#join=${token}` }));
}

async function change({ collections, redis }: System, email: string, role: AccountRole): Promise<void> {
  const user = await findUserByEmail(collections, email);
  const changed = user ? await changeRole(collections, user._id, role, by) : 'unknown';
  if (changed === 'unknown') throw new Error(`${email} is not on the staff`);
  if (changed === 'of_provider') throw new Error(`Change the role of ${email} at the identity provider`);
  if (changed === 'last_admin') throw new Error('No admin would be left: make somebody else an admin first');
  // The servers learn it from MongoDB as well, within a second.
  if (changed.revocation) new Emitter(redis).serverSideEmit('expelled', changed.revocation);
  console.log(JSON.stringify({ email, role }));
}
