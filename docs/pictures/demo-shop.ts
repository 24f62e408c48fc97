import { nanoid } from 'nanoid';
import { startScratchSystem } from '../../ops/local/scratch-system.ts';
import type { Product, SaleSnapshot, Session } from '../../sale/contract.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';

const hourMs = 3_600_000;
const radio = {
  name: 'Aurora One',
  description:
    'A portable radio in vermilion enamel with a walnut base. Numbered pieces, made once and never again.',
  image: '/images/demo-product.svg',
};

/** Starts a shop for the pictures, with a buyer, an admin, and `startBuyers`, which presses Buy. */
export async function openDemoShop() {
  const system = await startScratchSystem({ env: { BCRYPT_COST: '4', LIMIT_FACTOR: '0' } });
  const tokens = openTokens(system.env.JWT_SECRET ?? '', 3_600);
  const adminToken = tokens.issue({ id: 'docs-admin', role: 'admin' });

  async function ask<Body>(method: string, path: string, body: object, token = adminToken): Promise<Body> {
    const response = await fetch(system.url + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    return (await response.json()) as Body;
  }

  async function putOnSale({
    name = radio.name,
    image = radio.image,
    stock = 500,
    opensInMs = -1_000,
  } = {}): Promise<SaleSnapshot> {
    const product = await ask<Product>('POST', '/api/products', { ...radio, name, image });
    const opensAt = Date.now() + opensInMs;
    return await ask<SaleSnapshot>('POST', '/api/sales', {
      productId: product.id,
      price: { amount: 14_900, currency: 'EUR' },
      oldAmount: 19_900,
      stock,
      limitPerBuyer: 2,
      opensAt: new Date(opensAt),
      closesAt: new Date(opensAt + 5 * hourMs),
    });
  }

  const buyer = await ask<Session>('POST', '/api/users', {
    email: 'ada@example.com',
    password: nanoid(),
    name: 'Ada',
  });
  const admin = {
    user: { id: 'docs-admin', role: 'admin', name: 'Grace', email: 'grace@example.com' },
    token: adminToken,
  };

  /** Presses Buy about `perSecond` times a second until the returned function is called. */
  function startBuyers(saleId: string, perSecond: number): () => Promise<void> {
    const timer = setInterval(press, 100);
    let last: Promise<unknown> = Promise.resolve();
    function press(): void {
      const presses = Math.round((perSecond / 10) * (0.4 + Math.random() * 1.2));
      last = Promise.allSettled(
        Array.from({ length: presses }, () => {
          const token = tokens.issue({ id: nanoid(), role: 'buyer' });
          return ask('POST', `/api/sales/${saleId}/purchases`, { quantity: 1 }, token);
        }),
      );
    }
    return async () => {
      clearInterval(timer);
      await last;
    };
  }

  return { url: system.url, buyer, admin, putOnSale, startBuyers, close: system.close };
}
