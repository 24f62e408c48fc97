import { randomBytes } from 'node:crypto';
import { emailAddress } from '../accounts/email-address.ts';
import { createUser } from '../accounts/user.ts';
import { prepareCollections } from '../store/collections.ts';
import { openSystem, runCommand } from './system.ts';

const usage = 'expected: npm run admin -- create EMAIL';

/** `npm run admin -- create EMAIL`: creates an admin account with a random password, which is shown once. */
await runCommand(async () => {
  const [action, given, ...rest] = process.argv.slice(2);
  const email = emailAddress.safeParse(given);
  if (action !== 'create' || rest.length > 0 || !email.success) throw new Error(usage);
  const { collections, config, close } = await openSystem();
  try {
    await prepareCollections(collections);
    const password = randomBytes(15).toString('base64url');
    const made = await createUser(
      collections,
      { email: email.data, password, name: 'Admin' },
      { bcryptCost: config.BCRYPT_COST, role: 'admin' },
    );
    if (made === 'email_taken') throw new Error(`An account ${email.data} already exists`);
    console.log(JSON.stringify({ email: made.user.email, password }));
  } finally {
    await close();
  }
});
