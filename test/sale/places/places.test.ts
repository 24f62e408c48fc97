import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { checkDraw } from '../../../public/draws/check-draw.js';
import type { Draw, Order, Place, Problem, SaleSnapshot } from '../../../sale/contract.ts';
import type { Round } from '../../../sale/places/beacon.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { recordedChain, recordedRound } from '../../support/recorded-beacon.ts';

const run = promisify(execFile);

let system: TestSystem;
let dir: string;
/** Stands in for a server of drand: it answers with this, or 500. */
let drand: Server;
let served: Round | null = null;
/** The recorded network, as if it had begun so that its recorded round was a minute ago. */
const roundAt = new Date(Math.floor(Date.now() / 1_000 - 60) * 1_000);
const genesisSeconds = roundAt.getTime() / 1_000 - (recordedRound.round - 1) * recordedChain.periodSeconds;
const chain = { ...recordedChain, genesisSeconds };
const DRAND_CHAIN = Object.values(chain).join(':');
const asked: string[] = [];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-draw-'));
  drand = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(served ? 200 : 500).end(JSON.stringify(served));
  }).listen(0, '127.0.0.1');
  await once(drand, 'listening');
  const { port } = drand.address() as AddressInfo;
  const env = { DRAND_URL: `http://127.0.0.1:${port}`, DRAND_CHAIN, DRAND_RETRY_MS: '200' };
  system = await startSystem({ servers: 2, nginx: false, env });
});
afterAll(async () => {
  await system?.close();
  drand.close();
  await rm(dir, { recursive: true, force: true });
});

const hourMs = 3_600_000;

interface Options {
  stock?: number;
  sizes?: number[];
  limitPerBuyer?: number;
  paymentWindowSeconds?: number;
  waitingList?: boolean;
  isDraw?: boolean;
  drawBeacon?: boolean;
}

async function putOnSale({ stock = 1, sizes, isDraw, ...terms }: Options): Promise<SaleSnapshot> {
  const { product } = await system.createSale();
  const price = { amount: 1_000, currency: 'EUR' };
  const items = (sizes ?? [stock]).map((units, n) => {
    return { productId: product.id, label: sizes ? `Size ${n + 1}` : '', price, stock: units };
  });
  const now = Date.now();
  const body = {
    items,
    ...terms,
    ...(isDraw && { mode: 'draw', drawAt: new Date(now + hourMs / 2) }),
    opensAt: new Date(now - 1_000),
    closesAt: new Date(now + hourMs),
  };
  const { status, body: sale } = await system.api<SaleSnapshot>('POST', '/api/sales', {
    token: system.adminToken,
    body,
  });
  expect(status, JSON.stringify(sale)).toBe(201);
  return sale;
}

const at = (n: number) => system.servers[n % system.servers.length]?.url ?? '';
const ask = (
  verb: 'entries' | 'waiting-list',
  saleId: string,
  token: string,
  { quantity = 1, lines, server = 0 }: { quantity?: number; lines?: object[]; server?: number } = {},
) =>
  system.api<Place & Problem>('POST', `/api/sales/${saleId}/${verb}`, {
    token,
    body: lines ? { lines } : { quantity },
    at: at(server),
  });
const placeOf = async (saleId: string, token: string) =>
  (await system.api<Place>('GET', `/api/sales/${saleId}/waiting-list/mine`, { token })).body;
const leave = (saleId: string, token: string) =>
  system.api<Problem>('DELETE', `/api/sales/${saleId}/waiting-list/mine`, { token });
const read = async (saleId: string) => (await system.api<SaleSnapshot>('GET', `/api/sales/${saleId}`)).body;
const drawOf = async (saleId: string) => (await system.api<Draw>('GET', `/api/sales/${saleId}/draw`)).body;
/** Ends the entering. */
const close = (saleId: string) =>
  system.store.collections.sales.updateOne({ _id: saleId }, { $set: { drawAt: new Date() } });
const drawn = (saleId: string) =>
  waitUntil(
    async () => {
      const draw = await drawOf(saleId);
      return draw.state === 'drawn' ? draw : null;
    },
    { deadlineMs: 30_000, what: 'the draw is not made' },
  );
const offered = (saleId: string, token: string) =>
  waitUntil(
    async () => {
      const place = await placeOf(saleId, token);
      return place.state === 'offered' ? place : null;
    },
    { deadlineMs: 40_000, what: 'the person is not offered anything' },
  );
const orderOf = async ({ orderId }: Place, token: string) =>
  (await system.api<Order>('GET', `/api/orders/${orderId}`, { token })).body;
const cancel = (orderId: string, token: string) =>
  system.api<Order>('DELETE', `/api/orders/${orderId}`, { token });
const tokens = (count: number) => Array.from({ length: count }, () => system.buyerToken());

async function sellOut(sale: SaleSnapshot, units = 1): Promise<{ token: string; order: Order }[]> {
  return await Promise.all(
    tokens(units).map(async (token) => {
      const { status, body } = await system.buy(sale.id, token, { lines: [{ itemId: '1', quantity: 1 }] });
      expect(status).toBe(202);
      return { token, order: await system.settled(body.orderId, token) };
    }),
  );
}

/** The numbers in drawn order, by what Python's own libraries make of the file. */
const python = `
import hashlib, hmac, json, sys
draw = json.load(open(sys.argv[1]))
seed = bytes.fromhex(draw['seed'])
names = [name for name, _ in draw['list']]
assert hashlib.sha256(seed).hexdigest() == draw['commitment']
assert hashlib.sha256(''.join(name + chr(10) for name in sorted(names)).encode()).hexdigest() == draw['digest']
names.sort(key=lambda name: hmac.new(seed, name.encode(), hashlib.sha256).digest())
print(json.dumps(names))
`;

test('500 people enter a draw at once; anyone can check it; units go down the drawn order', async () => {
  const sale = await putOnSale({ stock: 20, isDraw: true, paymentWindowSeconds: 600 });
  const before = await drawOf(sale.id);
  expect(before).toMatchObject({ state: 'entering', seed: null, digest: null, drawnAt: null });
  const people = tokens(500);
  const entered = await Promise.all(people.map((token, n) => ask('entries', sale.id, token, { server: n })));
  expect(entered.filter(({ status }) => status !== 200)).toEqual([]);
  expect(entered[0]?.body).toMatchObject({ state: 'entered', position: null, ahead: null, orderId: null });
  // One person has one entry, however often they come, and can take it back.
  const [first = '', second = ''] = people;
  await Promise.all(Array.from({ length: 50 }, (_, n) => ask('entries', sale.id, first, { server: n })));
  expect((await leave(sale.id, second)).status).toBe(204);
  expect((await leave(sale.id, second)).status).toBe(204);
  expect((await system.api('GET', `/api/sales/${sale.id}/entries/mine`, { token: second })).status).toBe(404);
  const pressed = await system.buy(sale.id, first);
  expect([pressed.status, (pressed.body as unknown as Problem).type]).toEqual([409, '/problems/draw']);
  expect((await ask('entries', sale.id, first, { quantity: 2 })).body.type).toBe('/problems/over-limit');
  expect((await drawOf(sale.id)).entries).toBe(499);

  await close(sale.id);
  const draw = await drawn(sale.id);
  expect(draw).toMatchObject({ entries: 499, commitment: before.commitment });
  expect((await ask('entries', sale.id, second)).body.type).toBe('/problems/entries-closed');
  const { body: file } = await system.api('GET', `/api/sales/${sale.id}/draw/file`);
  const path = join(dir, 'draw.json');
  await writeFile(path, JSON.stringify(file));
  const numbers = new Map<string, number>(file.list);
  const { stdout } = await run('python3', ['-c', python, path]);
  const order: string[] = JSON.parse(stdout);
  expect(order.map((name) => numbers.get(name))).toEqual(order.map((_, n) => n + 1));
  expect((await run('node', ['commands/verify-draw.mjs', path])).stdout).toContain('as it should be');
  const [one, other, ...rest] = file.list as [string, number][];
  const swapped = [[one?.[0], other?.[1]], [other?.[0], one?.[1]], ...rest];
  await writeFile(path, JSON.stringify({ ...file, list: swapped }));
  await expect(run('node', ['commands/verify-draw.mjs', path])).rejects.toMatchObject({ code: 1 });

  const byNumber = new Map<number | undefined, string>();
  for (const token of people) byNumber.set((await placeOf(sale.id, token)).drawn, token);
  const winners = Array.from({ length: 20 }, (_, n) => byNumber.get(n + 1) ?? '');
  const won = await Promise.all(winners.map((token) => offered(sale.id, token)));
  const orders = await Promise.all(won.map((place, n) => orderOf(place, winners[n] ?? '')));
  expect(orders.every(({ status }) => status === 'held')).toBe(true);
  const next = byNumber.get(21) ?? '';
  expect(await placeOf(sale.id, next)).toMatchObject({ state: 'waiting', position: 21, ahead: 0 });
  // Who turns a unit down makes room for the next, and nobody can press for it.
  await cancel(orders[3]?.id ?? '', winners[3] ?? '');
  expect(await offered(sale.id, next)).toMatchObject({ drawn: 21 });
  expect(await system.audit()).toMatchObject({ ok: true, I8: { breaches: 0 } });

  const { placeLists, places } = system.store.collections;
  const breached = async (what: string) => {
    const { ok, I8 } = await system.audit();
    expect({ ok, examples: I8.examples.join() }).toEqual({
      ok: false,
      examples: expect.stringContaining(what),
    });
  };
  const saleId = sale.id;
  const drew = (number: number) => places.findOne({ saleId, drawn: number });
  const [loser, winner] = [await drew(400), await drew(1)];
  const give = (id = '', number = 0) => places.updateOne({ _id: id }, { $set: { drawn: number } });
  await Promise.all([give(loser?._id, 1), give(winner?._id, 400)]);
  await breached('has number');
  await Promise.all([give(loser?._id, 400), give(winner?._id, 1)]);
  const seed = draw.seed ?? '';
  await placeLists.updateOne({ _id: saleId }, { $set: { 'draw.seed': seed.replace(/^../, '00') } });
  await breached('not the one committed to');
  await placeLists.updateOne({ _id: saleId }, { $set: { 'draw.seed': seed } });
  await places.updateOne({ _id: loser?._id ?? '' }, { $set: { pseudonym: '0'.repeat(32) } });
  await breached('not the published one');
  await places.updateOne({ _id: loser?._id ?? '' }, { $set: { pseudonym: loser?.pseudonym ?? '' } });
  await places.updateOne(
    { saleId, drawn: 30 },
    { $set: { state: 'offered', offer: 1, given: [{ itemId: '1', quantity: 1 }] } },
  );
  await breached('out of turn');
  await places.updateOne(
    { saleId, drawn: 30 },
    { $set: { state: 'waiting' }, $unset: { offer: 1, given: 1 } },
  );
  expect(await system.audit()).toMatchObject({ ok: true });
}, 120_000);

test('a draw waits for the round of drand that it named, takes no forged one, and says when the shop goes on without', async () => {
  const { placeLists } = system.store.collections;
  // So many that the order with the beacon is another one than without it.
  const people = tokens(8);
  const asAdmin = { token: system.adminToken };
  const waive = (id: string) =>
    system.api<Draw & Problem>('POST', `/api/sales/${id}/draw/without-beacon`, asAdmin);
  const frozen = async () => {
    const sale = await putOnSale({ isDraw: true, drawBeacon: true });
    expect(sale.drawBeacon).toBe(true);
    for (const token of people) expect((await ask('entries', sale.id, token)).status).toBe(200);
    const { algorithm, beacon: named } = await drawOf(sale.id);
    expect(algorithm).toBe('hmac-sha256-v2');
    expect(Date.parse(named?.at ?? '')).toBeGreaterThan(Date.parse(sale.drawAt ?? ''));
    await close(sale.id);
    const { beacon } = await waitUntil(
      async () => {
        const draw = await drawOf(sale.id);
        return draw.state === 'frozen' ? draw : null;
      },
      { deadlineMs: 30_000, what: 'the list is not fixed' },
    );
    expect(Date.parse(beacon?.at ?? '')).toBeGreaterThan(Date.now());
    expect((await waive(sale.id)).body.type).toBe('/problems/beacon-not-late');
    return sale.id;
  };
  /** As if the minute before the round, which was a recorded one, and another one were over. */
  const letPass = async (id: string) => {
    const named = { 'draw.beacon.round': recordedRound.round, 'draw.beacon.at': roundAt };
    const frozenAt = new Date(roundAt.getTime() - 60_000);
    await system.store.collections.sales.updateOne({ _id: id }, { $set: { drawAt: frozenAt } });
    await placeLists.updateOne({ _id: id }, { $set: { ...named, 'draw.frozenAt': frozenAt } });
  };
  const [first, second] = [await frozen(), await frozen()];
  await letPass(first);
  const failed = (id: string) =>
    waitUntil(async () => (await placeLists.findOne({ _id: id }))?.draw?.beacon?.error, {
      deadlineMs: 20_000,
      what: 'the failure is known',
    });
  expect(await failed(first)).toContain('answered 500');
  expect((await drawOf(first)).beacon).toMatchObject({ isLate: true, randomness: null });
  await letPass(second);
  expect((await waive(second)).body.beacon).toMatchObject({ waivedAt: expect.any(String), isLate: false });
  expect((await waive(second)).status).toBe(200);
  expect(await drawn(second)).toMatchObject({ algorithm: 'hmac-sha256-v1', beacon: { randomness: null } });

  served = { ...recordedRound, randomness: `00${recordedRound.randomness.slice(2)}` };
  await waitUntil(async () => (await failed(first)).includes('not valid'), {
    deadlineMs: 20_000,
    what: 'the forged round is refused',
  });
  served = recordedRound;
  const draw = await drawn(first);
  expect(draw).toMatchObject({ algorithm: 'hmac-sha256-v2', beacon: { ...recordedRound, isLate: false } });
  expect(new Set(asked)).toEqual(new Set([`/${recordedChain.hash}/public/${recordedRound.round}`]));

  for (const id of [first, second]) {
    const { body: file } = await system.api('GET', `/api/sales/${id}/draw/file`);
    const path = join(dir, `${id}.json`);
    await writeFile(path, JSON.stringify(file));
    const env = { ...process.env, DRAND_CHAIN };
    const verified = run('node', ['commands/verify-draw.mjs', path], { env });
    expect((await verified).stdout).toContain('as it should be');
    expect(Object.values(await checkDraw(file, chain)).every(Boolean)).toBe(true);
    const proof = run('node', ['run.mjs', 'commands/verify-beacon.ts', path], { env });
    if (id === second) await expect(proof).rejects.toMatchObject({ code: 1 });
    else expect((await proof).stdout).toContain('round 38 is signed');
    const other = { ...file, algorithm: id === first ? 'hmac-sha256-v1' : 'hmac-sha256-v2' };
    await writeFile(path, JSON.stringify(other));
    await expect(run('node', ['commands/verify-draw.mjs', path], { env })).rejects.toMatchObject({ code: 1 });
    // A round that was known before the list was closed, and says that it is later.
    const known = { ...file, drawAt: new Date(roundAt.getTime() + 1_000) };
    if (id === second) continue;
    await writeFile(path, JSON.stringify(known));
    for (const program of [['commands/verify-draw.mjs'], ['run.mjs', 'commands/verify-beacon.ts']])
      await expect(run('node', [...program, path], { env })).rejects.toMatchObject({ code: 1 });
    expect(await checkDraw(known, chain)).toMatchObject({ beacon: false, order: true });
  }
  expect(await system.audit()).toMatchObject({ ok: true, I8: { breaches: 0 } });
  await placeLists.updateOne({ _id: first }, { $set: { 'draw.beacon.randomness': '00'.repeat(32) } });
  expect(await system.audit()).toMatchObject({ ok: false });
  const { randomness } = recordedRound;
  await placeLists.updateOne({ _id: first }, { $set: { 'draw.beacon.randomness': randomness } });
}, 120_000);

test('200 people wait after a sell-out; what comes back goes to them in order, and to nobody else', async () => {
  const sale = await putOnSale({ stock: 3, waitingList: true, paymentWindowSeconds: 600 });
  const people = tokens(200);
  const [early = ''] = people;
  expect((await ask('waiting-list', sale.id, early)).body.type).toBe('/problems/still-on-sale');
  const [a, b, c] = await sellOut(sale, 3);
  const joined = await Promise.all(
    people.map((token, n) => ask('waiting-list', sale.id, token, { server: n })),
  );
  expect(joined.filter(({ status }) => status !== 200)).toEqual([]);
  const positions = joined.map(({ body }) => body.position ?? 0);
  expect([...positions].sort((one, other) => one - other)).toEqual(people.map((_, n) => n + 1));
  const inOrder = positions.map((_, n) => people[positions.indexOf(n + 1)] ?? '');
  const [first = '', second = '', third = '', fourth = '', fifth = ''] = inOrder;
  // Again is the same place.
  expect((await ask('waiting-list', sale.id, fourth)).body).toMatchObject({ position: 4, ahead: 3 });
  expect((await leave(sale.id, third)).status).toBe(204);

  const told: Order[] = [];
  const socket = io(at(1), { transports: ['websocket'], auth: { token: first } });
  socket.on('order', (order) => told.push(order));
  await new Promise<void>((resolve) => socket.on('connect', resolve));
  let isPressing = true;
  const pressed: number[] = [];
  const pressing = (async () => {
    while (isPressing) pressed.push((await system.buy(sale.id, system.buyerToken())).status);
  })();
  await cancel(a?.order.id ?? '', a?.token ?? '');
  const place = await offered(sale.id, first);
  await waitUntil(() => told.at(-1)?.status === 'held', { deadlineMs: 5_000, what: 'nobody told the page' });
  socket.disconnect();
  expect(told.at(-1)?.id).toBe(place.orderId);
  // Turned down, it goes to the next, past whoever has left.
  await cancel(place.orderId ?? '', first);
  await offered(sale.id, second);
  await system.changeSale(sale.id, { addStock: 1 });
  await offered(sale.id, fourth);
  await Promise.all([b, c].map((sold) => cancel(sold?.order.id ?? '', sold?.token ?? '')));
  await offered(sale.id, fifth);
  isPressing = false;
  await pressing;
  expect(new Set(pressed)).toEqual(new Set([409]));
  expect(await read(sale.id)).toMatchObject({ stock: 0, status: 'sold_out', unitsOnSale: 4 });
  expect((await leave(sale.id, fifth)).body.type).toBe('/problems/place-offered');
  expect(await system.audit()).toMatchObject({ ok: true, I8: { breaches: 0 } });
});

test('an unpaid hold goes to the next, also when Redis was emptied; the rest is on sale again', async () => {
  const sale = await putOnSale({ sizes: [1, 5], waitingList: true, paymentWindowSeconds: 2 });
  const [one = '', two = ''] = tokens(2);
  await sellOut(sale);
  const wanted = { lines: [{ itemId: '1', quantity: 1 }] };
  await ask('waiting-list', sale.id, one, wanted);
  await ask('waiting-list', sale.id, two, wanted);
  const other = await ask('waiting-list', sale.id, two, { lines: [{ itemId: '2', quantity: 1 }] });
  expect(other.body.type).toBe('/problems/still-on-sale');
  await system.store.redis.flushall();
  const held = await offered(sale.id, one);
  const { holdExpiresAt } = await orderOf(held, one);
  expect(Date.parse(holdExpiresAt ?? '')).toBeGreaterThan(0);
  const next = await offered(sale.id, two);
  expect((await orderOf(held, one)).status).toBe('expired');
  await cancel(next.orderId ?? '', two);
  // Nobody waits any more, so the unit is for everybody.
  await waitUntil(async () => (await read(sale.id)).items[0]?.stock === 1, {
    deadlineMs: 10_000,
    what: 'the unit is not on sale',
  });
  const token = system.buyerToken();
  const bought = await waitUntil(
    async () => {
      const answer = await system.buy(sale.id, token, { lines: wanted.lines as never });
      return answer.status === 202 ? answer.body : null;
    },
    { deadlineMs: 10_000, what: 'the gate is still closed' },
  );
  expect((await system.settled(bought.orderId, token)).status).toBe('held');
  expect(await system.audit()).toMatchObject({ ok: true, I8: { breaches: 0 } });
});

test('a worker that is killed at any step of a draw leaves the rest to the next, and nothing happens twice', async () => {
  await system.closeAllBut({ servers: 2 });
  const sale = await putOnSale({ stock: 2, isDraw: true, paymentWindowSeconds: 600 });
  const people = tokens(6);
  // Makes the gate.
  expect((await system.buy(sale.id, people[0] ?? '')).status).toBe(409);
  await Promise.all(people.map((token) => ask('entries', sale.id, token)));
  await close(sale.id);
  const seen: Draw[] = [];
  for (const point of ['closing', 'frozen', 'drawing', 'drawn', 'offering', 'offered']) {
    const doomed = await system.startWorker({ FAILPOINTS: `${point}@1=kill` });
    expect(await doomed.ended).toBe('SIGKILL');
    // The next one leads at once, instead of when this lease has run out.
    await system.store.redis.del('lease:lead');
    seen.push(await drawOf(sale.id));
  }
  expect(seen.map(({ state }) => state)).toEqual([
    ...['entering', 'frozen', 'frozen'],
    ...['drawn', 'drawn', 'drawn'],
  ]);
  expect(seen[1]?.digest).toBe(seen.at(-1)?.digest);
  expect(seen[2]?.seed).toBeNull();
  await system.startWorker();
  const places = await Promise.all(people.map((token) => placeOf(sale.id, token)));
  const inOrder = places.toSorted((one, other) => (one.drawn ?? 0) - (other.drawn ?? 0));
  expect(inOrder.map(({ drawn, state }) => [drawn, state])).toEqual(
    people.map((_, n) => [n + 1, n < 2 ? 'offered' : 'waiting']),
  );
  expect(await system.store.collections.orders.countDocuments({ saleId: sale.id })).toBe(2);
  // The gate, which nobody told of the offers, is corrected.
  await waitUntil(
    async () => {
      const { gates } = await system.store.gate.read([sale.id], { queuedMax: 0 });
      return gates.get(sale.id)?.left === 0;
    },
    { deadlineMs: 15_000, what: 'the gate still counts units' },
  );
  expect(await system.audit()).toMatchObject({ ok: true, I8: { breaches: 0 } });
}, 180_000);

test('a draft becomes a draw; its terms are fixed at the opening; nobody is offered anything after the end', async () => {
  const { product } = await system.createSale();
  const asAdmin = { token: system.adminToken };
  const [opensAt, closesAt] = [new Date(Date.now() + hourMs), new Date(Date.now() + 3 * hourMs)];
  const price = { amount: 1_000, currency: 'EUR' };
  const body = { productId: product.id, price, stock: 1, opensAt, closesAt };
  const drawAt = new Date(Date.now() + 2 * hourMs);
  const create = (more: object) =>
    system.api('POST', '/api/sales', { ...asAdmin, body: { ...body, ...more } });
  for (const wrong of [{ mode: 'draw' }, { drawAt }, { mode: 'draw', drawAt: closesAt }])
    expect((await create(wrong)).body.errors?.[0]?.field).toBe('drawAt');
  const draft = await create({ draft: true, waitingList: true });
  const { id } = draft.body;
  const change = (more: object) => system.api('PATCH', `/api/sales/${id}`, { ...asAdmin, body: more });
  expect((await change({ drawBeacon: true })).body.errors?.[0]?.field).toBe('drawBeacon');
  const withBeacon = { mode: 'draw', drawAt, drawBeacon: true };
  expect((await change(withBeacon)).body).toMatchObject({ ...withBeacon, drawAt: drawAt.toISOString() });
  expect((await change({ mode: 'open' })).body.drawBeacon).toBeUndefined();
  expect((await change(withBeacon)).body.drawBeacon).toBe(true);
  const without = await change({ drawBeacon: false });
  expect(without.body).toMatchObject({ mode: 'draw', waitingList: true });
  expect(without.body.drawBeacon).toBeUndefined();
  expect((await system.api('POST', `/api/sales/${id}/publication`, asAdmin)).status).toBe(200);
  const copy = await system.api<SaleSnapshot>('POST', `/api/sales/${id}/duplicates`, asAdmin);
  expect(copy.body).toMatchObject({ mode: 'draw', drawAt: drawAt.toISOString(), waitingList: true });
  expect((await change({ mode: 'open' })).body.type).toBe('/problems/already-published');
  expect((await change({ drawBeacon: true })).body.type).toBe('/problems/already-published');
  const later = new Date(drawAt.getTime() + 60_000);
  expect((await change({ drawAt: later, waitingList: false })).status).toBe(200);
  expect(await read(id)).toMatchObject({ drawAt: later.toISOString() });
  const token = system.buyerToken();
  expect((await ask('entries', id, token)).body.type).toBe('/problems/not-open');
  await system.store.collections.sales.updateOne({ _id: id }, { $set: { opensAt: new Date(0) } });
  expect((await change({ drawAt })).body.type).toBe('/problems/already-open');
  expect((await ask('waiting-list', id, token)).body.type).toBe('/problems/no-waiting-list');
  expect((await ask('entries', id, token)).status).toBe(200);
  // It ends before it could be drawn: the draw is still made, so that everybody can check it.
  const past = { drawAt: new Date(Date.now() - 2_000), closesAt: new Date(Date.now() - 1_000) };
  await system.store.collections.sales.updateOne({ _id: id }, { $set: past });
  await drawn(id);
  await waitUntil(async () => (await read(id)).drawnAt, { deadlineMs: 5_000, what: 'it is not drawn' });
  expect(await placeOf(id, token)).toMatchObject({ state: 'waiting', drawn: 1, orderId: null });
  expect((await system.api('GET', '/api/sales/no-such-sale/draw')).status).toBe(409);
});
