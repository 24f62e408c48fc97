import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { appendStaffEntry } from '../accounts/staff-log.ts';
import { createUser, findUserByPassword } from '../accounts/user.ts';
import { createProduct } from '../catalogue/product.ts';
import { readPrivately, readText, writePrivately } from '../ops/local/files/private-file.mjs';
import { dataFolder } from '../ops/local/folders.mjs';
import { createSale } from '../sale/sale.ts';
import { type Collections, prepareCollections, type UserRecord } from '../store/collections.ts';
import { byCommand, openSystem, runCommand } from './system.ts';

interface Account {
  email: string;
  /** Null when the account exists with another password than the one stored in this folder. */
  password: string | null;
  role: UserRecord['role'];
}

const demoRoles = ['admin', 'buyer'] as const;
const emailOf = (role: string) => `${role}@example.com`;
const by = byCommand('npm run seed');
const dayMs = 24 * 3_600_000;
const demoProduct = {
  name: 'Aurora One',
  description:
    'A portable radio in vermilion enamel with a walnut base. 500 numbered pieces, made once and never again.',
  image: '/images/demo-product.svg',
};

/**
 * `npm run seed`: creates a demo product, an open sale, and the accounts admin@example.com and buyer@example.com. The last
 * line it prints is JSON: {saleId, accounts}. With `--if-empty` it changes nothing in a shop that has a sale, so that a
 * restored shop gets no demo admin.
 */
await runCommand(async () => {
  const { values } = parseArgs({ options: { 'if-empty': { type: 'boolean', default: false } } });
  const { collections, config, close } = await openSystem();
  try {
    await prepareCollections(collections);
    const existing = values['if-empty'] ? await newestSaleId(collections) : null;
    const accounts = await seedAccounts(collections, config.BCRYPT_COST, existing === null);
    console.log(JSON.stringify({ saleId: existing ?? (await seedSale(collections)), accounts }));
  } finally {
    await close();
  }
});

async function newestSaleId({ sales }: Collections): Promise<string | null> {
  const sale = await sales.findOne({}, { sort: { closesAt: -1 } });
  return sale?._id ?? null;
}

async function seedSale(collections: Collections): Promise<string> {
  const product = await createProduct(collections, demoProduct, by);
  const demoSale = {
    items: [{ productId: product.id, amount: 14_900, stock: 500 }],
    currency: 'EUR',
    limitPerBuyer: 2,
    opensAt: new Date(),
    closesAt: new Date(Date.now() + 7 * dayMs),
  };
  const sale = await createSale(collections, demoSale, by);
  if ('noProduct' in sale) throw new Error('The demo product was deleted while its sale was created.');
  return sale.id;
}

/**
 * Random passwords are stored in a file that only this user can read, before the accounts are created, so that an
 * interrupted seed leaves no account with an unknown password.
 * @returns the existing accounts; none is created unless `mayCreate`.
 */
async function seedAccounts(
  collections: Collections,
  bcryptCost: number,
  mayCreate: boolean,
): Promise<Account[]> {
  mkdirSync(dataFolder(), { recursive: true });
  const file = join(dataFolder(), 'accounts.json');
  const known = knownPasswords(file);
  const email = { $in: demoRoles.map(emailOf) };
  const present = await collections.users.find({ email }).toArray();
  const there = new Set(present.map((user) => user.email));
  const missing = demoRoles.filter((role) => mayCreate && !there.has(emailOf(role)));
  for (const role of missing) {
    if (!known.has(emailOf(role))) known.set(emailOf(role), randomBytes(9).toString('base64url'));
  }
  if (missing.length > 0) {
    const accounts = demoRoles.flatMap((role) => {
      const [email, password] = [emailOf(role), known.get(emailOf(role))];
      return password === undefined ? [] : [{ email, password, role }];
    });
    writePrivately(file, accounts);
  }
  for (const role of missing) {
    const account = { email: emailOf(role), password: known.get(emailOf(role)) ?? '', name: `Demo ${role}` };
    const entry = { ...by, action: 'account.created', after: { email: account.email, role } };
    await createUser(collections, account, {
      bcryptCost,
      role,
      alongside: (id, session) =>
        appendStaffEntry(collections, session, { ...entry, subject: { kind: 'account', id } }),
    });
  }
  const accounts: Account[] = [];
  for (const role of demoRoles) {
    const [email, password] = [emailOf(role), known.get(emailOf(role)) ?? null];
    if (!there.has(email) && !missing.includes(role)) continue;
    const isIts = password && (await findUserByPassword(collections, { email, password }, { bcryptCost }));
    accounts.push({ email, password: isIts ? password : null, role });
  }
  if (!Array.isArray(readPrivately(file)) && readText(file) !== null) {
    console.error(`${file} is damaged, so the demo accounts' passwords are not known; delete it.`);
  }
  return accounts;
}

/** Passwords by e-mail address. */
function knownPasswords(file: string): Map<string, string> {
  const content: unknown = readPrivately(file);
  const accounts: Partial<Account>[] = Array.isArray(content) ? content.filter((one) => one) : [];
  return new Map(
    accounts.flatMap(({ email, password }) =>
      typeof email === 'string' && typeof password === 'string' && password ? [[email, password]] : [],
    ),
  );
}
