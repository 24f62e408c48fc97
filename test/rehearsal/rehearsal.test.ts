import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { byCommand } from '../../commands/system.ts';
import type { RehearsalPart, RehearsalStatus, RehearsalStep } from '../../insight/contract.ts';
import { ROOT } from '../../ops/local/folders.mjs';
import { run, waitUntil } from '../../ops/local/processes/process.mjs';
import { missedIn, verdictOf } from '../../rehearsal/verdict.ts';
import { createSale, type NewSale } from '../../sale/sale.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

const hourMs = 3_600_000;

describe('the verdict', () => {
  const part = (p99Ms: number, failed = 0): RehearsalPart => {
    return { count: 10, failed, faults: [], p50Ms: 1, p99Ms };
  };
  const fine = { browse: part(50), gather: part(50), press: part(50), settle: part(200), pay: part(300) };
  const stepOf = (buyers: number, parts: RehearsalStep['parts'] = {}, playerShare = 0.3): RehearsalStep => {
    return { buyers, stock: 5, parts: { ...fine, ...parts }, outcomes: {}, playerShare };
  };
  const signIns = { ...part(100), perSecond: 40 };

  test('is go when every crowd had what it should', () => {
    const steps = [stepOf(500), stepOf(1_000)];
    expect(verdictOf({ buyers: 1_000, steps, signIns })).toEqual({ go: true, taken: 1_000, weakest: null });
  });

  test('names the part that gave way first on the way of the smallest crowd that was too large', () => {
    const slow = stepOf(1_000, { settle: part(2_500), pay: part(9_000) });
    const steps = [stepOf(500), stepOf(750, { settle: part(2_001) }), slow];
    expect(missedIn(slow).map(({ name }) => name)).toEqual(['settle', 'pay']);
    const verdict = {
      go: false,
      taken: 500,
      weakest: 'settlement: worker and MongoDB',
      weakestPart: 'settle',
    };
    expect(verdictOf({ buyers: 1_000, steps, signIns })).toEqual(verdict);
  });

  test('counts a single failure, sign-ins that take too long, and a player that was too busy', () => {
    const failed = { buyers: 500, steps: [stepOf(500, { press: part(20, 1) })], signIns };
    expect(verdictOf(failed)).toMatchObject({ taken: 0, weakest: 'admission: servers and Redis' });
    const many = { buyers: 20_000, steps: [stepOf(20_000)], signIns };
    expect(verdictOf(many)).toMatchObject({ go: false, taken: 12_000, weakest: /^sign-in/ });
    const elsewhere = { ...part(0), count: 0, perSecond: 0 };
    const unmeasured = { buyers: 20_000, steps: [stepOf(20_000)], signIns: elsewhere };
    expect(verdictOf(unmeasured)).toMatchObject({ go: true, taken: 20_000 });
    const late = { buyers: 500, steps: [stepOf(500, { press: part(900) }, 0.97)], signIns };
    expect(verdictOf(late)).toMatchObject({ go: false, weakest: /^the machine that played/ });
  });
});

describe('with a running shop', () => {
  let system: TestSystem;
  beforeAll(async () => {
    // Vite sets a BASE_URL of its own, which these processes would inherit.
    const env = { REHEARSAL_MAX_BUYERS: '40', AUDIT_INTERVAL_MS: '3600000', BASE_URL: '' };
    system = await startSystem({ env });
  });
  afterAll(() => system.close());

  const rehearse = (...args: string[]) =>
    run(process.execPath, ['run.mjs', 'commands/rehearse.ts', ...args], {
      cwd: ROOT,
      env: { ...process.env, ...system.env },
      deadlineMs: 120_000,
    });
  const anyOrder = () => system.store.collections.orders.findOne({ saleId: /^rehearsal-/ });
  const copies = () => system.store.collections.sales.find({ _id: /^rehearsal-/ }).toArray();

  test('the control room has a draft rehearsed, and nothing of it is seen outside', async () => {
    const token = system.adminToken;
    const product = await system.api('POST', '/api/products', {
      token,
      body: { name: 'Lamp <b>', description: '', image: '' },
    });
    const endpoint = {
      url: 'http://127.0.0.1:9/events',
      types: ['sale.created', 'order.held', 'order.paid'],
    };
    await system.api('POST', '/api/admin/webhooks', { token, body: endpoint });
    const draft = await system.api('POST', '/api/sales', {
      token,
      body: {
        productId: product.body.id,
        price: { amount: 1_000, currency: 'EUR' },
        stock: 1,
        paymentWindowSeconds: 600,
        opensAt: new Date(Date.now() + hourMs),
        closesAt: new Date(Date.now() + 2 * hourMs),
        draft: true,
      },
    });
    const path = `/api/sales/${draft.body.id}`.replace('/api/', '/api/admin/');
    const ask = (buyers: number) =>
      system.api('POST', `${path}/rehearsals`, { token, body: { buyers, withinSeconds: 1 } });
    expect(await ask(41)).toMatchObject({ status: 400, body: { errors: [{ field: 'buyers' }] } });
    // What a killed rehearsal has left.
    const { collections } = system.store;
    const leftover = 'rehearsal-left';
    const left: NewSale = {
      items: [{ productId: product.body.id, amount: 1_000, stock: 3 }],
      ...{ currency: 'EUR', limitPerBuyer: 1 },
      opensAt: new Date(Date.now() + hourMs),
      closesAt: new Date(Date.now() + 2 * hourMs),
    };
    await createSale(collections, left, byCommand('test'), leftover);
    const shown: { saleId: string }[] = [];
    const socket = io(system.url, { transports: ['websocket'], auth: { token: system.buyerToken() } });
    socket.on('stock', (message) => shown.push(message));
    socket.on('sale', ({ id }) => shown.push({ saleId: id }));
    await new Promise<void>((resolve) => socket.emit('browse', () => resolve()));
    const buyers = [system.buyerToken(), system.buyerToken('rehearsal-buyer')];
    const presses = await Promise.all(buyers.map((buyer) => system.buy(leftover, buyer)));
    expect(presses.map(({ status }) => status)).toEqual([404, 409]);
    for (const verb of ['entries', 'waiting-list'])
      expect(
        await system.api('POST', `/api/sales/${leftover}/${verb}`, {
          token: buyers[0],
          body: { quantity: 1 },
        }),
      ).toMatchObject({ status: 404 });
    expect(await ask(2)).toMatchObject({ status: 202 });
    expect(await ask(2)).toMatchObject({ status: 503 });

    const status = async () =>
      (await system.api<RehearsalStatus>('GET', '/api/admin/rehearsals', { token })).body;
    const { last, failure, maxBuyers } = await waitUntil(
      async () => {
        const now = await status();
        return now.state === 'idle' ? now : null;
      },
      { deadlineMs: 120_000, what: 'the rehearsal does not end' },
    );
    expect(failure).toBe(null);
    expect(maxBuyers).toBe(40);
    expect(last).toMatchObject({ saleId: draft.body.id, name: 'Lamp <b>', buyers: 2, mode: 'open' });
    expect(last?.signIns).toMatchObject({ count: 40, failed: 0 });
    // How fast it goes, and so the verdict, depends on the machine.
    expect(last?.steps[0]).toMatchObject({ buyers: 1, stock: 1 });
    for (const { buyers, stock, parts, outcomes } of last?.steps ?? []) {
      expect(stock).toBe(1);
      expect(outcomes['paid for']).toBe(stock);
      expect(parts.press).toMatchObject({ count: buyers, failed: 0 });
      expect(parts.gather).toMatchObject({ count: buyers, failed: 0 });
      expect(parts.browse).toMatchObject({ count: 2 * buyers, failed: 0 });
      expect(parts.pay).toMatchObject({ count: stock, failed: 0 });
    }

    const page = await system.api<string>('GET', '/api/admin/rehearsals/page', { token });
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    expect(page.body).toContain('Rehearsal of Lamp &lt;b&gt;');
    expect(page.body).not.toContain('<b>:');

    socket.close();
    expect(shown.filter(({ saleId }) => saleId.startsWith('rehearsal-'))).toEqual([]);
    const abandoned = await collections.sales.findOne({ _id: leftover });
    expect(abandoned?.calledOffAt).toBeInstanceOf(Date);
    const found = await system.api('GET', `/api/admin/orders?q=${(await anyOrder())?._id}`, { token });
    expect(found.body.orders).toEqual([]);
    const asked = await system.api('GET', '/api/admin/staff-log', { token });
    expect(JSON.stringify(asked.body)).toContain(draft.body.id);

    const played = (await copies()).filter(({ _id }) => _id !== leftover);
    expect(played.length).toBe(last?.steps.length);
    expect(played.every(({ closesAt }) => closesAt <= new Date())).toBe(true);
    const lists = await Promise.all([
      system.api('GET', '/api/sales'),
      system.api('GET', '/api/admin/live', { token }),
      system.api('GET', '/'),
    ]);
    const listed = lists.map(({ body }) => body.sales ?? body);
    expect(JSON.stringify(listed)).not.toContain('rehearsal-');
    expect(await system.store.collections.users.countDocuments({ email: /^rehearsal-/ })).toBe(0);
    await waitUntil(async () => (await system.audit()).ok, {
      deadlineMs: 20_000,
      what: 'an invariant is broken',
    });
    expect(await system.store.collections.deliveries.countDocuments({ 'event.id': /^rehearsal-/ })).toBe(0);
  });

  test('a draw is rehearsed by command; it is refused beside an open sale, above the bound, and twice at once', async () => {
    const at = (minutes: number) => new Date(Date.now() + minutes * 60_000);
    const sale = await system.createSale({
      stock: 4,
      paymentWindowSeconds: 60,
      opensAt: at(1),
      closesAt: at(60),
    });
    const refused = await rehearse('--sale', sale.id, '--buyers', '1');
    expect(refused.stderr).toContain(`The sale ${sale.id} is open or opens within 15 minutes`);
    const values = {
      ...{ productId: sale.product.id, price: sale.price, stock: 4, mode: 'draw' },
      ...{ paymentWindowSeconds: 60, opensAt: at(60), drawAt: at(70), closesAt: at(80), drawBeacon: true },
    };
    const drawn = await system.api('POST', '/api/sales', { token: system.adminToken, body: values });
    expect(drawn.status).toBe(201);
    const args = ['--sale', drawn.body.id, '--within', '1', '--beside-open-sales', '--without-page'];
    const [played, tooMany] = await Promise.all([
      rehearse(...args, '--buyers', '1'),
      rehearse(...args, '--buyers', '41'),
    ]);
    expect(tooMany.stderr).toMatch(/REHEARSAL_MAX_BUYERS|Another rehearsal runs/);
    expect(played.stderr).toContain('buyers: ');
    const report = JSON.parse(played.stdout.trim().split('\n').at(-1) ?? '');
    expect(report).toMatchObject({ mode: 'draw', buyers: 1 });
    expect(report.steps.at(-1).parts.draw).toMatchObject({ count: 1, failed: 0 });
    expect(report.steps[0].outcomes).toMatchObject({ entered: 1, offered: 1, 'paid for': 1 });
    expect(report.notes.join()).toContain('without the public random number');
    const { drawAt: _, drawBeacon: __, ...others } = values;
    const room = await system.api('POST', '/api/sales', {
      token: system.adminToken,
      body: { ...others, mode: 'room' },
    });
    const ofRoom = await system.api('POST', `/api/admin/sales/${room.body.id}/rehearsals`, {
      token: system.adminToken,
      body: { buyers: 1 },
    });
    expect([ofRoom.status, ofRoom.body.detail]).toEqual([400, expect.stringContaining('waiting room')]);
  });
});
