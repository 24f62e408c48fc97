import { nanoid } from 'nanoid';
import { inject } from 'vitest';
import { openSystem, type System as Store } from '../../commands/system.ts';
import { type AuditReport, audit } from '../../insight/audit/audit.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { type ScratchSystem, startScratchSystem } from '../../ops/local/scratch-system.ts';
import type {
  AccountRole,
  Order,
  Product,
  PurchaseLine,
  SaleSnapshot,
  Session,
} from '../../sale/contract.ts';
import { openProvider } from '../../sale/payment/open-provider.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { readSamples, valueIn } from './samples.ts';

export interface ApiAnswer<Body> {
  status: number;
  headers: Headers;
  body: Body;
}

interface ApiRequest {
  token?: string | undefined;
  /** Sent as JSON; a string is sent unchanged. */
  body?: unknown;
  headers?: Record<string, string>;
  /** Another base URL than the system's, e.g. that of one server. */
  at?: string;
}

interface SaleOptions {
  name?: string;
  stock?: number;
  /** Several items of the product instead, by label: how many of each. */
  sizes?: Record<string, number>;
  limitPerBuyer?: number;
  paymentWindowSeconds?: number;
  opensAt?: Date;
  closesAt?: Date;
}

/** A scratch system with helpers for tests. */
export interface TestSystem extends ScratchSystem {
  /** Its databases, for checks and for preparing data. */
  store: Store;
  adminToken: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of the body by its assertions.
  api<Body = any>(method: string, path: string, request?: ApiRequest): Promise<ApiAnswer<Body>>;
  /** A token with this role for somebody without an account. */
  tokenOf(role: AccountRole): string;
  /** A token for a buyer without an account, which saves the time of bcrypt. */
  buyerToken(buyerId?: string): string;
  signUp(): Promise<Session & { email: string; password: string }>;
  createSale(options?: SaleOptions): Promise<SaleSnapshot>;
  changeSale(saleId: string, change: object): Promise<SaleSnapshot>;
  buy(
    saleId: string,
    token: string,
    options?: { quantity?: number; lines?: PurchaseLine[]; key?: string; at?: string },
  ): Promise<ApiAnswer<{ orderId: string }>>;
  /** Waits until the order is no longer queued. */
  settled(orderId: string, token: string): Promise<Order>;
  /** Stops every worker, and every server but the first ones: the next test starts its own on the same databases. */
  closeAllBut(kept: { servers: number }): Promise<void>;
  /** Waits until every accepted purchase is settled. */
  quiet(): Promise<void>;
  /** The number of orders that a worker has created, by its metrics. */
  ordersMadeBy(worker: TestSystem['workers'][number]): Promise<number>;
  audit(): Promise<AuditReport>;
  close(): Promise<void>;
}

const hourMs = 3_600_000;

type Options = NonNullable<Parameters<typeof startScratchSystem>[0]> & {
  /** Starts a separate MongoDB, for a test that stops it. */
  ownMongo?: boolean;
};

/** Starts a system on the MongoDB that all test files share. `BCRYPT_COST` is low, because tests sign up often. */
export async function startSystem({ ownMongo = false, ...options }: Options = {}): Promise<TestSystem> {
  // Short waits, so that tests do not wait 5 s for events and 7.5 s for a dead letter.
  const env = {
    BCRYPT_COST: '4',
    // A test that is about audits asks for one.
    AUDIT_INTERVAL_MS: '3600000',
    RELAY_INTERVAL_MS: '500',
    PURCHASE_RETRY_FIRST_MS: '50',
    ...options.env,
  };
  const shared = ownMongo ? {} : { mongoUrl: inject('mongoUrl') };
  const scratch = await startScratchSystem({ ...shared, ...options, env });
  const store = await openSystem({ ...scratch.env, BASE_URL: scratch.url }, { logLevel: 'silent' });
  const tokens = openTokens(scratch.env.JWT_SECRET ?? '', 3_600);
  const adminToken = tokens.issue({ id: 'test-admin', role: 'admin' });

  const system: TestSystem = {
    ...scratch,
    get url() {
      return scratch.url;
    },
    store,
    adminToken,

    async api(method, path, { token, body, headers = {}, at = scratch.url } = {}) {
      const response = await fetch(at + path, {
        method,
        headers: {
          ...(token && { Authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        signal: AbortSignal.timeout(20_000),
      });
      const text = await response.text();
      const isJson = response.headers.get('content-type')?.includes('json') && text !== '';
      return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
    },

    tokenOf: (role) => tokens.issue({ id: nanoid(), role }),

    buyerToken: (buyerId = nanoid()) => tokens.issue({ id: buyerId, role: 'buyer' }),

    async signUp() {
      const account = { email: `${nanoid().toLowerCase()}@example.com`, password: nanoid(), name: 'A buyer' };
      const { status, body } = await system.api<Session>('POST', '/api/users', { body: account });
      if (status !== 201) throw new Error(`sign-up was answered ${status} ${JSON.stringify(body)}`);
      return { ...body, ...account };
    },

    async createSale({
      name = 'A lamp',
      stock = 10,
      sizes,
      limitPerBuyer = 1,
      paymentWindowSeconds = 0,
      opensAt = new Date(Date.now() - hourMs),
      closesAt = new Date(Date.now() + hourMs),
    } = {}) {
      const asAdmin = { token: adminToken };
      const product = await system.api<Product>('POST', '/api/products', { ...asAdmin, body: { name } });
      const price = { amount: 4_900, currency: 'EUR' };
      const item = { productId: product.body.id, price };
      const items = Object.entries(sizes ?? {}).map(([label, left]) => ({ ...item, label, stock: left }));
      const offer = sizes ? { items } : { ...item, stock };
      const body = { ...offer, limitPerBuyer, paymentWindowSeconds, opensAt, closesAt };
      const sale = await system.api<SaleSnapshot>('POST', '/api/sales', { ...asAdmin, body });
      if (sale.status !== 201) throw new Error(`the sale was answered ${JSON.stringify(sale.body)}`);
      return sale.body;
    },

    async changeSale(saleId, change) {
      const path = `/api/sales/${saleId}`;
      const { status, body } = await system.api<SaleSnapshot>('PATCH', path, {
        token: adminToken,
        body: change,
      });
      if (status !== 200) throw new Error(`the change was answered ${JSON.stringify(body)}`);
      return body;
    },

    buy(saleId, token, { quantity = 1, lines, key = nanoid(), at = scratch.url } = {}) {
      const headers = { 'Idempotency-Key': key };
      return system.api('POST', `/api/sales/${saleId}/purchases`, {
        token,
        body: lines ? { lines } : { quantity },
        headers,
        at,
      });
    },

    settled(orderId, token) {
      return waitUntil(
        async () => {
          const { body } = await system.api<Order>('GET', `/api/orders/${orderId}`, { token });
          return body.status === 'queued' ? null : body;
        },
        { deadlineMs: 20_000, what: `order ${orderId} is not settled` },
      );
    },

    async closeAllBut({ servers }) {
      const closing = [...scratch.servers.splice(servers), ...scratch.workers.splice(0)];
      await Promise.all(closing.map((part) => part.close()));
    },

    async quiet() {
      await waitUntil(async () => (await store.gate.countQueued()) === 0, {
        deadlineMs: 60_000,
        what: 'purchases are still queued',
      });
    },

    async ordersMadeBy({ url }) {
      const { body } = await system.api<string>('GET', '/metrics', { at: url });
      return valueIn(readSamples(body), 'stampede_settle_batch_purchases_sum') ?? 0;
    },

    async audit() {
      const { provider } = await openProvider(store.config, store.collections);
      return await audit(store.collections, store.gate, store.queue, { provider });
    },

    async close() {
      await store.collections.connection.dropDatabase();
      await store.close();
      await scratch.close();
    },
  };
  return system;
}
