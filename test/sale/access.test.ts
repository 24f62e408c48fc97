import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { entryOf, firstEntryMs, phasesFault } from '../../sale/access/access.ts';
import { codeIdOf } from '../../sale/access/codes.ts';
import { readList } from '../../sale/access/list.ts';
import type {
  CodeBatch,
  Order,
  Place,
  Problem,
  SaleAccess,
  SalePhase,
  SaleSnapshot,
  Session,
} from '../../sale/contract.ts';
import { allowanceKey, codeHolderOf } from '../../sale/settlement/decide.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  const env = { LIMIT_FACTOR: '0', RECONCILE_INTERVAL_MS: '200', ROOM_ANSWER_SECONDS: '60' };
  system = await startSystem({ servers: 2, workers: 2, nginx: false, env });
});
afterAll(() => system?.close());

const hourMs = 3_600_000;
const soon = { deadlineMs: 60_000, everyMs: 30 };
const at = (n: number) => system.servers[n % 2]?.url ?? '';

type Phases = { access: SalePhase['access']; inMs: number }[];

/** The phases begin so long from now; the first one is the opening. */
async function putOnSale(phases: Phases, terms: object = {}): Promise<SaleSnapshot> {
  const { product } = await system.createSale();
  const now = Date.now();
  const timed = phases.map(({ access, inMs }, n) => {
    return { name: `Phase ${n + 1}`, access, opensAt: new Date(now + inMs) };
  });
  const price = { amount: 1_000, currency: 'EUR' };
  const sale = { productId: product.id, price, stock: 500, limitPerBuyer: 5, phases: timed, ...terms };
  const window = { opensAt: timed[0]?.opensAt, closesAt: new Date(now + 3 * hourMs) };
  const { status, body } = await system.api('POST', '/api/sales', {
    token: system.adminToken,
    body: { ...sale, ...window },
  });
  expect([status, body.detail]).toEqual([201, undefined]);
  return body;
}

const makeCodes = async (saleId: string, body: object) =>
  (
    await system.api<{ batch: CodeBatch; codes: string[] }>('POST', `/api/admin/sales/${saleId}/codes`, {
      token: system.adminToken,
      body,
    })
  ).body;
const batchesOf = async (saleId: string): Promise<CodeBatch[]> =>
  (await system.api('GET', `/api/admin/sales/${saleId}/codes`, { token: system.adminToken })).body.batches;
const upload = (saleId: string, text: string, type = 'text/csv') =>
  system.api<{ people: number } & Problem>('POST', `/api/admin/sales/${saleId}/list`, {
    token: system.adminToken,
    body: text,
    headers: { 'Content-Type': type },
  });
const buy = (saleId: string, token: string, code?: string, { key = nanoid(), server = 0 } = {}) =>
  system.api<{ orderId: string } & Problem>('POST', `/api/sales/${saleId}/purchases`, {
    token,
    body: { quantity: 1, ...(code !== undefined && { code }) },
    headers: { 'Idempotency-Key': key },
    at: at(server),
  });
const access = async (saleId: string, token: string, code?: string) =>
  (await system.api<SaleAccess>('POST', `/api/sales/${saleId}/access`, { token, body: code ? { code } : {} }))
    .body;
const typeOf = ({ status, body }: { status: number; body: Partial<Problem> }) =>
  body.type?.split('/').at(-1) ?? status;
const usesOf = async (saleId: string, code: string) => {
  const _id = allowanceKey(saleId, codeHolderOf(codeIdOf(saleId, code) ?? ''));
  return (await system.store.collections.allowances.findOne({ _id }))?.units ?? 0;
};
const usesInGate = async (saleId: string, code: string) => {
  const { redis, gate } = system.store;
  const field = `b:${codeHolderOf(codeIdOf(saleId, code) ?? '')}`;
  return Number((await redis.hget(gate.keyOf(saleId), field)) ?? 0);
};
const paidOf = (saleId: string) =>
  system.store.collections.orders.countDocuments({ saleId, status: { $in: ['paid', 'held'] } });

/** An account with a confirmed address. */
async function member(email = `${nanoid().toLowerCase()}@example.com`) {
  const account = { email, password: nanoid(), name: 'A member' };
  const { body: made } = await system.api<Session>('POST', '/api/users', { body: account });
  const confirmed = { $set: { emailVerifiedAt: new Date() } };
  await system.store.collections.users.updateOne({ _id: made.user.id }, confirmed);
  const credentials = { email, password: account.password };
  const { body } = await system.api<Session>('POST', '/api/sessions', { body: credentials });
  return { email, token: body.token, unconfirmed: made.token };
}

test('a buyer comes in with the first phase that lets them in, and a code is not asked of whom another one lets in', () => {
  const phases = [
    { opensMs: 100, access: 'list' as const },
    { opensMs: 200, access: 'code' as const },
    { opensMs: 300, access: 'everybody' as const },
  ];
  const code = { id: 'a', uses: 1 };
  expect(entryOf(phases, { isMember: true, code })).toEqual({ opensMs: 100, withCodeMs: 200 });
  expect(entryOf(phases, { isMember: false, code })).toEqual({ opensMs: 300, withCodeMs: 200 });
  const stranger = entryOf(phases.slice(0, 2), { isMember: false, code: null });
  expect([stranger, firstEntryMs(stranger)]).toEqual([{ opensMs: null, withCodeMs: null }, null]);

  const [opensAt, closesAt] = [new Date(100), new Date(400)];
  const fault = (...times: number[]) =>
    phasesFault(
      times.map((time) => ({ opensAt: new Date(time) })),
      { opensAt, closesAt },
    );
  expect([fault(), fault(100), fault(100, 200, 399)]).toEqual([null, null, null]);
  expect(fault(150)).toContain('first phase');
  expect([fault(100, 100), fault(100, 300, 200)].map((text) => text?.includes('after the one'))).toEqual([
    true,
    true,
  ]);
  expect(fault(100, 400)).toContain('before the end');
});

test('a list is read from pasted lines and from CSV, and says which lines are no addresses', async () => {
  expect(
    await readList('\ufeffName;E-Mail\r\nAnn;"Ann@Example.com"\r\n\r\nBob;bob@BÜCHER.example;x'),
  ).toEqual({
    addresses: ['ann@example.com', 'bob@xn--bcher-kva.example'],
  });
  expect(await readList('ann@example.com\nANN@example.com ')).toEqual({ addresses: ['ann@example.com'] });
  expect(await readList('')).toEqual({ addresses: [] });
  const whole = Array.from({ length: 100_001 }, (_, n) => `Person ${n};p${n}@example.com`).join('\r');
  const slices: number[] = [];
  let sliceAt = performance.now();
  const others = setInterval(() => {
    slices.push(performance.now() - sliceAt);
    sliceAt = performance.now();
  });
  expect(await readList(whole)).toMatchObject({ addresses: { length: 100_001 } });
  clearInterval(others);
  // Others have their turn again and again, also on a machine that is busy.
  expect(slices.length).toBeGreaterThan(5);
  expect(slices.toSorted((one, other) => one - other)[Math.floor(slices.length / 2)]).toBeLessThan(20);
  const many = await readList(
    ['ann@example.com', ...Array.from({ length: 9 }, () => 'no @ address')].join('\n'),
  );
  expect(many).toMatchObject({
    faults: [{ line: 2, text: 'no @ address' }, ...Array(4).fill({})],
    more: true,
  });
  expect(codeIdOf('a-sale', ' abcd-efgh-jkmn-pqrs')).toBe(codeIdOf('a-sale', 'ABCDEFGHJKMNPQRS'));
  expect(codeIdOf('a-sale', 'o000-1111-lI11-0000')).toBe(codeIdOf('a-sale', '0000111111110000'));
  expect(codeIdOf('a-sale', '0000111111110000')).not.toBe(codeIdOf('b-sale', '0000111111110000'));
  for (const wrong of ['', '0000', '00001111111100000', '000011111111000ü'])
    expect(codeIdOf('a-sale', wrong)).toBeNull();
});

test('200 parallel redemptions of a one-use code give one order, also when no gate counts', async () => {
  const sale = await putOnSale([{ access: 'code', inMs: -hourMs }]);
  const { codes, batch } = await makeCodes(sale.id, { name: 'News', codes: 3, uses: 1 });
  const [first = '', second = '', third = ''] = codes;
  expect(batch).toMatchObject({ name: 'News', codes: 3, uses: 1, used: 0, revokedAt: null });
  const crowd = Array.from({ length: 200 }, () => system.buyerToken());
  const answers = await Promise.all(
    crowd.map((token, n) =>
      buy(sale.id, token, n % 2 ? first.toLowerCase() : ` ${first} `, { server: n, key: 'the-same' }),
    ),
  );
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(1);
  expect(new Set(answers.filter(({ status }) => status !== 202).map(typeOf))).toEqual(new Set(['code-used']));
  await system.quiet();
  expect([await paidOf(sale.id), await usesOf(sale.id, first)]).toEqual([1, 1]);

  // Everybody passes the gate, so the settling transactions alone decide.
  const stop = new AbortController();
  const forgetting = (async () => {
    const { redis, gate } = system.store;
    const field = `b:${codeHolderOf(codeIdOf(sale.id, second) ?? '')}`;
    while (!stop.signal.aborted) await redis.hdel(gate.keyOf(sale.id), field);
  })();
  const passed = await Promise.all(crowd.map((token, n) => buy(sale.id, token, second, { server: n })));
  stop.abort();
  await forgetting;
  await system.quiet();
  const accepted = passed.filter(({ status }) => status === 202).map(({ body }) => body.orderId);
  expect(accepted.length).toBeGreaterThan(1);
  const { orders } = system.store.collections;
  const settled = await orders.find({ _id: { $in: accepted } }).toArray();
  expect(settled.filter(({ status }) => status === 'paid')).toHaveLength(1);
  const rejected = settled.filter(({ status }) => status !== 'paid');
  expect(new Set(rejected.map(({ status, reason }) => `${status} ${reason}`))).toEqual(
    new Set(['rejected code_used']),
  );

  // A request that is repeated redeems once, and another code with its key is another request.
  const [token, key] = [system.buyerToken(), nanoid()];
  const repeated = await Promise.all(
    [0, 1, 2, 3].map((server) => buy(sale.id, token, third, { key, server })),
  );
  expect(new Set(repeated.map(({ body }) => body.orderId)).size).toBe(1);
  expect(typeOf(await buy(sale.id, token, first, { key }))).toBe('key-reused');
  await system.quiet();
  expect(typeOf(await buy(sale.id, token, third, { key }))).toBe(202);
  expect(await usesOf(sale.id, third)).toBe(1);
  expect((await batchesOf(sale.id))[0]).toMatchObject({ codes: 3, used: 3 });
  expect((await system.audit()).ok).toBe(true);
});

test('a use comes back with a cancelled and an expired order, and an emptied Redis counts on from MongoDB', async () => {
  const sale = await putOnSale([{ access: 'code', inMs: -hourMs }], { paymentWindowSeconds: 600 });
  const { codes } = await makeCodes(sale.id, { codes: 1, uses: 2 });
  const [code = ''] = codes;
  const [ann, bob, cy] = [system.buyerToken(), system.buyerToken(), system.buyerToken()];
  const ofAnn = await buy(sale.id, ann, code);
  const ofBob = await buy(sale.id, bob, code);
  await system.settled(ofAnn.body.orderId, ann);
  await system.settled(ofBob.body.orderId, bob);
  expect(typeOf(await buy(sale.id, cy, code))).toBe('code-used');
  expect(await access(sale.id, cy, code)).toEqual({ opensAt: null, isListed: false, code: 'used' });

  const cancelled = await system.api<Order>('DELETE', `/api/orders/${ofAnn.body.orderId}`, { token: ann });
  expect(cancelled.body.status).toBe('cancelled');
  const again = await waitUntil(
    async () => {
      const answer = await buy(sale.id, cy, code, { server: 1 });
      return answer.status === 202 ? answer : null;
    },
    { ...soon, what: 'the use of a cancelled order does not come back' },
  );
  await system.settled(again.body.orderId, cy);
  const { orders } = system.store.collections;
  await orders.updateOne({ _id: ofBob.body.orderId }, { $set: { holdExpiresAt: new Date(0) } });
  await waitUntil(async () => (await usesOf(sale.id, code)) === 1, {
    ...soon,
    what: 'an expired order does not give its use back',
  });
  expect((await batchesOf(sale.id))[0]).toMatchObject({ used: 1 });

  await system.store.redis.flushall();
  expect(typeOf(await buy(sale.id, ann, code))).toBe(202);
  await waitUntil(async () => (await usesInGate(sale.id, code)) === 2, {
    ...soon,
    what: 'the new gate does not count the uses of before',
  });
  expect(typeOf(await buy(sale.id, bob, code))).toBe('code-used');
  const field = `b:${codeHolderOf(codeIdOf(sale.id, code) ?? '')}`;
  await system.store.redis.hincrby(system.store.gate.keyOf(sale.id), field, 5);
  await waitUntil(async () => (await usesInGate(sale.id, code)) === 2, {
    ...soon,
    what: 'a wrong count of a code is not repaired',
  });
  await system.quiet();
  expect((await system.audit()).ok).toBe(true);

  // The audit finds an order that a code should not have let in.
  const order = await orders.findOne({ saleId: sale.id, status: 'held' });
  await system.store.collections.codes.updateOne({ saleId: sale.id }, { $set: { uses: 1 } });
  const found = await system.audit();
  expect(found.I4.examples.join()).toContain('code:');
  await system.store.collections.codes.updateOne({ saleId: sale.id }, { $set: { uses: 2 } });
  expect(order?.code).toBe(codeIdOf(sale.id, code));
});

test('a phase begins at its moment, and each buyer is told when it opens for them', async () => {
  const sale = await putOnSale([
    { access: 'list', inMs: -1_000 },
    { access: 'code', inMs: 2_500 },
    { access: 'everybody', inMs: 5_000 },
  ]);
  const [, withCode = '', everybody = ''] = (sale.phases ?? []).map(({ opensAt }) => opensAt);
  const { codes } = await makeCodes(sale.id, { codes: 1, uses: 1 });
  const [code = ''] = codes;
  const ann = await member();
  expect(await upload(sale.id, ann.email.toUpperCase())).toMatchObject({ status: 200, body: { people: 1 } });
  expect(await access(sale.id, ann.token)).toMatchObject({ opensAt: sale.opensAt, isListed: true });
  expect(typeOf(await buy(sale.id, ann.token))).toBe(202);
  // Whoever is on the list spends no code, and an address that is not confirmed may be anybody's.
  expect(typeOf(await buy(sale.id, ann.token, code))).toBe(202);
  const unconfirmed = await buy(sale.id, ann.unconfirmed);
  expect([typeOf(unconfirmed), unconfirmed.body.opensAt]).toEqual(['not-admitted', everybody]);

  const stranger = system.buyerToken();
  const early = await buy(sale.id, stranger);
  expect([typeOf(early), early.body.opensAt]).toEqual(['not-admitted', everybody]);
  const earlyCode = await buy(sale.id, stranger, code);
  expect([typeOf(earlyCode), earlyCode.body.opensAt]).toEqual(['not-admitted', withCode]);
  expect(typeOf(await buy(sale.id, stranger, '0000-0000-0000-0000'))).toBe('code-refused');
  expect(typeOf(await buy(sale.id, stranger, 'anything'))).toBe('code-refused');
  expect(await access(sale.id, stranger, code)).toEqual({
    opensAt: withCode,
    isListed: false,
    code: 'valid',
  });

  /** Presses until it is accepted, and checks that no press before the moment was. */
  async function pressUntil(opensAt: string, token: string, ...with_: string[]) {
    const key = nanoid();
    await waitUntil(
      async () => {
        const { status } = await buy(sale.id, token, with_[0], { key });
        if (status === 202) expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(opensAt));
        return status === 202;
      },
      { ...soon, what: `it does not open at ${opensAt}` },
    );
  }
  await Promise.all([pressUntil(withCode, stranger, code), pressUntil(everybody, system.buyerToken())]);
  // From then on nobody needs a code, and none is spent.
  expect(typeOf(await buy(sale.id, system.buyerToken(), code))).toBe(202);
  expect(typeOf(await buy(sale.id, system.buyerToken(), 'anything'))).toBe(202);
  await system.quiet();
  expect(await usesOf(sale.id, code)).toBe(1);
  expect((await system.audit()).ok).toBe(true);
});

test('a phase for everybody that has begun looks nobody up', async () => {
  const list = { access: 'list', inMs: -2 * hourMs } as const;
  const open = await putOnSale([list, { access: 'everybody', inMs: -hourMs }]);
  const listed = await putOnSale([list]);
  const ann = await member();
  // The look-up fails for these lists alone.
  const { listParts } = system.store.collections;
  const ofBoth = { saleId: { $in: [open.id, listed.id] } };
  await upload(open.id, ann.email);
  await upload(listed.id, ann.email);
  const before = await buy(listed.id, ann.token, undefined, { key: 'before' });
  await listParts.updateMany(ofBoth, [{ $set: { keys: 'unreadable' } }], { bypassDocumentValidation: true });
  await waitUntil(async () => (await buy(listed.id, ann.token)).status >= 500, {
    ...soon,
    what: 'the list can be read',
  });
  // A purchase that was accepted before is known all the same.
  const again = await buy(listed.id, ann.token, undefined, { key: 'before' });
  expect([before.status, again.status, again.body.orderId]).toEqual([202, 202, before.body.orderId]);
  for (const server of [0, 1, 0, 1])
    expect(typeOf(await buy(open.id, ann.token, 'any', { server }))).toBe(202);
  await system.quiet();
  expect(await paidOf(open.id)).toBe(4);
  await listParts.deleteMany(ofBoth);
});

test('before the opening everybody is told when it opens for them', async () => {
  const sale = await putOnSale([
    { access: 'list', inMs: hourMs },
    { access: 'everybody', inMs: 2 * hourMs },
  ]);
  const ann = await member();
  await upload(sale.id, ann.email);
  const [ofAnn, ofBob] = [await buy(sale.id, ann.token), await buy(sale.id, system.buyerToken())];
  expect([typeOf(ofAnn), ofAnn.body.opensAt]).toEqual(['not-open', sale.opensAt]);
  expect([typeOf(ofBob), ofBob.body.opensAt]).toEqual(['not-admitted', sale.phases?.[1]?.opensAt]);
});

test('whoever is on a list stays on it with another account, under the same limit; a list is replaced as a whole', async () => {
  const sale = await putOnSale([{ access: 'list', inMs: -hourMs }], { limitPerBuyer: 1 });
  const ann = await member();
  expect(typeOf(await buy(sale.id, ann.token))).toBe('not-admitted');
  await upload(sale.id, `E-Mail\n${ann.email}\nbob@example.com`);
  const bought = await waitUntil(
    async () => {
      const answer = await buy(sale.id, ann.token);
      return answer.status === 202 ? answer : null;
    },
    { ...soon, what: 'an address that was added is not let in' },
  );
  await system.settled(bought.body.orderId, ann.token);
  expect((await system.api('DELETE', '/api/account', { token: ann.token })).status).toBe(204);
  const back = await member(ann.email);
  expect((await access(sale.id, back.token)).isListed).toBe(true);
  expect(typeOf(await buy(sale.id, back.token))).toBe('over-limit');

  const parts = await system.store.collections.listParts.find({ saleId: sale.id }).toArray();
  expect(JSON.stringify(parts)).not.toContain('@');
  expect(await upload(sale.id, 'cy@example.com')).toMatchObject({ body: { people: 1 } });
  await waitUntil(async () => !(await access(sale.id, back.token)).isListed, {
    ...soon,
    what: 'an address that was removed stays',
  });
  const all = Array.from({ length: 100_000 }, (_, n) => `someone-${n}@example.com`);
  expect(await upload(sale.id, all.join('\n'))).toMatchObject({ status: 200, body: { people: 100_000 } });
  const token = system.adminToken;
  const log = await system.api('GET', `/api/admin/staff-log?action=list.replaced`, { token });
  expect(log.body.entries[0]).toMatchObject({ before: { people: 1 }, after: { people: 100_000 } });
});

test('codes can be revoked one by one and together; their orders stay', async () => {
  const sale = await putOnSale([{ access: 'code', inMs: -hourMs }]);
  const shared = await makeCodes(sale.id, { name: 'Shared', codes: 1, uses: 100 });
  const single = await makeCodes(sale.id, { codes: 2 });
  const [[all = ''], [one = '', other = '']] = [shared.codes, single.codes];
  const token = system.adminToken;
  const revoke = (code: string) =>
    system.api('POST', `/api/admin/sales/${sale.id}/code-revocations`, { token, body: { code } });
  const bought = await buy(sale.id, system.buyerToken(), all);
  expect(typeOf(bought)).toBe(202);
  await system.quiet();
  expect((await revoke(one)).body).toEqual({ uses: 1, used: 0 });
  expect((await revoke(all)).body).toEqual({ uses: 100, used: 1 });
  for (const code of [one, all])
    await waitUntil(async () => typeOf(await buy(sale.id, system.buyerToken(), code)) === 'code-refused', {
      ...soon,
      what: 'a revoked code is not refused',
    });
  const path = `/api/admin/sales/${sale.id}/codes/${single.batch.id}`;
  expect((await system.api('DELETE', path, { token })).status).toBe(204);
  expect((await system.api('DELETE', path, { token })).status).toBe(204);
  expect((await access(sale.id, system.buyerToken(), other)).code).toBe('refused');
  await system.quiet();
  expect(await batchesOf(sale.id)).toMatchObject([{ revokedAt: expect.any(String) }, { used: 1 }]);
  const kept = JSON.stringify(await system.store.collections.codes.find({ saleId: sale.id }).toArray());
  expect([one, other, all].some((code) => kept.includes(code))).toBe(false);
  expect((await system.audit()).ok).toBe(true);
});

test('a draw and a waiting room let in at their door whom the phases let in, and an offer redeems the code', async () => {
  const drawn = await putOnSale(
    [
      { access: 'code', inMs: -1_000 },
      { access: 'everybody', inMs: hourMs },
    ],
    { mode: 'draw', drawAt: new Date(Date.now() + 2_000) },
  );
  const { codes } = await makeCodes(drawn.id, { codes: 1, uses: 1 });
  const [code = ''] = codes;
  const enter = (token: string, more: object = {}) =>
    system.api<Place & Problem>('POST', `/api/sales/${drawn.id}/entries`, {
      token,
      body: { quantity: 1, ...more },
    });
  const ann = system.buyerToken();
  const refused = await enter(ann);
  expect([typeOf(refused), refused.body.opensAt]).toEqual(['not-admitted', drawn.phases?.[1]?.opensAt]);
  expect(typeOf(await enter(ann, { code: 'wrong' }))).toBe('code-refused');
  expect((await enter(ann, { code })).body.state).toBe('entered');
  // It is redeemed when the draw is made, by the first one in its order.
  expect((await enter(system.buyerToken(), { code })).body.state).toBe('entered');

  const room = await putOnSale(
    [
      { access: 'list', inMs: hourMs },
      { access: 'everybody', inMs: 2 * hourMs },
    ],
    { mode: 'room' },
  );
  const bob = await member();
  await upload(room.id, bob.email);
  const join = (token: string) =>
    system.api<Place & Problem>('POST', `/api/sales/${room.id}/places`, { token });
  const early = await join(system.buyerToken());
  expect([typeOf(early), early.body.opensAt]).toEqual(['not-admitted', room.phases?.[1]?.opensAt]);
  expect((await join(bob.token)).body.state).toBe('entered');

  const { orders } = system.store.collections;
  const outcomes = await waitUntil(
    async () => {
      const made = await orders.find({ saleId: drawn.id }).toArray();
      return made.length === 2 ? made.map(({ status, reason }) => reason ?? status) : null;
    },
    { ...soon, what: 'the draw offers nothing' },
  );
  expect(outcomes.sort()).toEqual(['code_used', 'paid']);
  expect(typeOf(await enter(system.buyerToken(), { code }))).toBe('code-used');
  expect((await system.audit()).ok).toBe(true);
});

test('bad input gets a problem that says what was expected', async () => {
  const sale = await putOnSale([{ access: 'code', inMs: hourMs }]);
  const admin = { token: system.adminToken };
  const said = ({ status, body }: { status: number; body: Problem }) =>
    `${status} ${body.errors?.map(({ field, message }) => `${field}: ${message}`).join('; ') ?? body.detail}`;
  const change = async (body: object) =>
    said(await system.api('PATCH', `/api/sales/${sale.id}`, { ...admin, body }));
  const phase = (access: string, opensAt: string = sale.opensAt) => ({ name: 'A phase', access, opensAt });
  expect(await change({ phases: [phase('friends')] })).toMatch(/^400 phases.0.access/);
  expect(await change({ phases: Array(6).fill(phase('code')) })).toMatch(/^400 phases/);
  expect(await change({ phases: [phase('code', sale.closesAt)] })).toMatch(
    /^400 phases: expected the first phase/,
  );
  expect(await change({ opensAt: new Date(Date.now() + 2 * hourMs) })).toMatch(
    /^400 phases: .*send them with opensAt/,
  );
  const { product, price, opensAt, closesAt } = sale;
  const unread = { productId: product.id, price, stock: 1, opensAt, closesAt, phases: [phase('code', '')] };
  const made = await system.api('POST', '/api/sales', { ...admin, body: unread });
  expect(said(made)).toMatch(/^400 phases.0.opensAt: expected a date/);
  expect(await change({ phases: [phase('everybody')] })).toMatch(/^200/);
  expect(await change({ phases: [] })).toMatch(/^200/);

  const codes = async (body: object, id = sale.id) =>
    said(await system.api('POST', `/api/admin/sales/${id}/codes`, { ...admin, body }));
  expect(await codes({ codes: 10_001 })).toMatch(/^400 codes/);
  expect(await codes({ codes: 1, uses: 0 })).toMatch(/^400 uses/);
  expect(await codes({ codes: 1, code: 'MINE' })).toMatch(/^400 code: not expected/);
  expect(await codes({ codes: 1 }, 'no-such-sale')).toMatch(/^404/);
  const revoke = (body: object) =>
    system.api('POST', `/api/admin/sales/${sale.id}/code-revocations`, { ...admin, body });
  expect([typeOf(await revoke({ code: 'none' })), typeOf(await revoke({}))]).toEqual([
    'not-found',
    'invalid-input',
  ]);
  const batch = await system.api('DELETE', `/api/admin/sales/${sale.id}/codes/no-such-batch`, admin);
  expect(typeOf(batch)).toBe('not-found');

  expect(said(await upload(sale.id, 'ann@example.com\nbob(at)example.com'))).toBe(
    '400 line 2: expected an address like ann@example.com, got bob(at)example.com',
  );
  expect(typeOf(await upload(sale.id, 'ann@example.com', 'text/plain'))).toBe('unsupported-media-type');
  expect(typeOf(await upload('no-such-sale', 'ann@example.com'))).toBe('not-found');
  const tooMany = Array.from({ length: 100_001 }, (_, n) => `a${n}@example.com`).join('\n');
  expect(said(await upload(sale.id, tooMany))).toMatch(/^400 list: expected at most 100000/);
  expect(typeOf(await upload(sale.id, 'x'.repeat(9_000_000)))).toBe('body-too-large');

  const token = system.buyerToken();
  const asks = (body: object) => system.api('POST', `/api/sales/${sale.id}/access`, { token, body });
  expect([typeOf(await asks({ code: 1 })), typeOf(await asks({ code: 'x'.repeat(65) }))]).toEqual([
    'invalid-input',
    'invalid-input',
  ]);
  expect(typeOf(await buy(sale.id, token, ''))).toBe('invalid-input');
  for (const [method, path, body] of [
    ['GET', 'codes'],
    ['POST', 'codes', { codes: 1 }],
    ['GET', 'list'],
  ] as const) {
    const answer = await system.api(method, `/api/admin/sales/${sale.id}/${path}`, { token, body });
    expect(answer.status).toBe(403);
  }
});

test('20 requests at once make no more codes than a sale may have, and a deleted draft takes its own with it', async () => {
  const { product } = await system.createSale();
  const [opensAt, closesAt] = [new Date(Date.now() + hourMs), new Date(Date.now() + 2 * hourMs)];
  const terms = { productId: product.id, price: { amount: 1, currency: 'EUR' }, stock: 1, opensAt, closesAt };
  const token = system.adminToken;
  const draft = await system.api<SaleSnapshot>('POST', '/api/sales', {
    token,
    body: { ...terms, draft: true },
  });
  const saleId = draft.body.id;
  const { codes, codeBatches } = system.store.collections;
  const full = Array.from({ length: 99 }, () => {
    const batch = { _id: nanoid(), saleId, name: '', codes: 1, uses: 1 };
    return { ...batch, createdAt: new Date(), revokedAt: null };
  });
  await codeBatches.insertMany(full);
  const path = `/api/admin/sales/${saleId}/codes`;
  const made = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      system.api('POST', path, { token, body: { codes: 1 }, at: at(n) }).then(typeOf),
    ),
  );
  expect(made.sort()).toEqual([201, ...Array(19).fill('too-many-codes')]);
  expect(await codes.countDocuments({ saleId })).toBe(1);
  expect((await system.api('DELETE', `/api/sales/${saleId}`, { token })).status).toBe(204);
  expect(await codes.countDocuments({ saleId })).toBe(0);
});
