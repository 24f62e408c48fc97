import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { dataFolder } from '../embedded/folders.mjs';
import {
  type Collections,
  prepareCollections,
  type SaleRecord,
  type UserRecord,
} from '../sale/collections.ts';
import { createProduct } from '../sale/product.ts';
import { createSale } from '../sale/sale.ts';
import { createUser } from '../sale/user.ts';
import { openSystem, runCommand } from './system.ts';

interface Account {
  email: string;
  /** Null when the account was there before and this folder does not know its password. */
  password: string | null;
  role: UserRecord['role'];
}

const dayMs = 24 * 3_600_000;
const demoProduct = {
  name: 'Aurora One',
  description:
    'A portable radio in vermilion enamel with a walnut base. 500 numbered pieces, made once and never again.',
  image: '/images/demo-product.svg',
};

/**
 * `npm run seed`: a demo product, an open sale, and the accounts admin@example.com and buyer@example.com. The last
 * line it prints is JSON: {saleId, accounts}. With `--if-empty` a shop that has a sale keeps just what it has.
 */
await runCommand(async () => {
  const { values } = parseArgs({ options: { 'if-empty': { type: 'boolean', default: false } } });
  const { collections, config, close } = await openSystem();
  try {
    await prepareCollections(collections);
    const accounts = await seedAccounts(collections, config.BCRYPT_COST);
    const existing = values['if-empty'] ? await newestSaleId(collections) : null;
    console.log(JSON.stringify({ saleId: existing ?? (await seedSale(collections)), accounts }));
  } finally {
    await close();
  }
});

async function newestSaleId({ sales }: Collections): Promise<string | null> {
  const sale = await sales.findOne().sort({ closesAt: -1 }).lean<SaleRecord>();
  return sale?._id ?? null;
}

async function seedSale(collections: Collections): Promise<string> {
  const product = await createProduct(collections, demoProduct);
  const sale = await createSale(collections, {
    productId: product.id,
    price: { amount: 14_900, currency: 'EUR' },
    stock: 500,
    limitPerBuyer: 2,
    opensAt: new Date(),
    closesAt: new Date(Date.now() + 7 * dayMs),
  });
  if (!sale) throw new Error('The demo product vanished while its sale was made.');
  return sale.id;
}

/** Passwords are made up once and kept in a file that only this user can read. */
async function seedAccounts(collections: Collections, bcryptCost: number): Promise<Account[]> {
  const file = join(dataFolder(), 'accounts.json');
  const known: Account[] = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
  const accounts: Account[] = [];
  for (const role of ['admin', 'buyer'] as const) {
    const email = `${role}@example.com`;
    const password =
      known.find((account) => account.email === email)?.password ?? randomBytes(9).toString('base64url');
    const made = await createUser(
      collections,
      { email, password, name: `Demo ${role}` },
      { bcryptCost, role },
    );
    const knew = known.some((account) => account.email === email);
    accounts.push({ email, password: made === 'email_taken' && !knew ? null : password, role });
  }
  mkdirSync(dataFolder(), { recursive: true });
  writeFileSync(file, `${JSON.stringify(accounts, null, 2)}\n`, { mode: 0o600 });
  return accounts;
}
