import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nanoid } from 'nanoid';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deleteAccount } from '../../../accounts/account.ts';
import { sendAll } from '../../../bench/load/send-all.ts';
import { readKeys, verifyPass } from '../../../clients/pass-verifier/pass-verifier.mjs';
import { byCommand } from '../../../commands/system.ts';
import type { CloudEvent } from '../../../log/schemas.ts';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type {
  Draw,
  Place,
  Problem,
  RoomPass,
  RoomSite,
  RoomStatus,
  SaleSnapshot,
} from '../../../sale/contract.ts';
import { findRooms } from '../../../sale/room/calls.ts';
import { openPasses } from '../../../sale/room/passes.ts';
import { storeDrawMails } from '../../../subscribers/mail/draw-mails.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { watchShardKeys } from '../../support/shard-keys.ts';

const run = promisify(execFile);

let system: TestSystem;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stampede-room-'));
  const keys = { ROOM_PASS_KEYS: `first:${nanoid(40)}` };
  const env = { ...keys, ROOM_ANSWER_SECONDS: '4', ROOM_PASS_SECONDS: '60', LIMIT_FACTOR: '0' };
  system = await startSystem({ servers: 2, nginx: false, ownMongo: true, env });
});
afterAll(async () => {
  await system?.close();
  await rm(dir, { recursive: true, force: true });
});

const hourMs = 3_600_000;

interface Terms {
  stock: number;
  limitPerBuyer?: number;
  roomPerMinute?: number;
  site?: RoomSite;
  phases?: object[];
  draft?: true;
}

async function postRoom(terms: Terms) {
  const { product } = await system.createSale();
  const [opensAt, closesAt] = [new Date(Date.now() + hourMs), new Date(Date.now() + 2 * hourMs)];
  const price = { amount: 1_000, currency: 'EUR' };
  const body = { productId: product.id, price, ...terms, opensAt, closesAt, mode: 'room' };
  const asAdmin = { token: system.adminToken };
  return await system.api<SaleSnapshot & Pick<Problem, 'detail' | 'errors'>>('POST', '/api/sales', {
    ...asAdmin,
    body,
  });
}

async function openRoom(terms: Terms) {
  const { status, body: sale } = await postRoom(terms);
  expect(status, JSON.stringify(sale)).toBe(201);
  return sale;
}

const at = (n: number) => system.servers[n % system.servers.length]?.url ?? '';
const join_ = (saleId: string, token: string, n = 0) =>
  system.api<Place & Problem>('POST', `/api/sales/${saleId}/places`, { token, at: at(n) });
const mine = async (saleId: string, token: string) =>
  (await system.api<Place>('GET', `/api/sales/${saleId}/places/mine`, { token })).body;
const leave = (saleId: string, token: string) =>
  system.api<Problem>('DELETE', `/api/sales/${saleId}/places/mine`, { token });
const comeIn = (saleId: string, token: string) =>
  system.api<RoomPass & Problem>('POST', `/api/sales/${saleId}/places/mine/pass`, { token });
const statusOf = async (saleId: string) =>
  (await system.api<RoomStatus>('GET', `/api/sales/${saleId}/room`)).body;
const buy = (saleId: string, token: string, pass = '', key = nanoid()) =>
  system.api<{ orderId: string; pass?: string } & Problem>('POST', `/api/sales/${saleId}/purchases`, {
    token,
    body: { quantity: 1 },
    headers: { 'Idempotency-Key': key, ...(pass && { 'Room-Pass': pass }) },
  });
const tokens = (count: number) => Array.from({ length: count }, () => system.buyerToken());
const soon = { deadlineMs: 60_000, everyMs: 50 };

/** Opens the doors now. */
async function open(saleId: string): Promise<void> {
  await system.changeSale(saleId, { opensAt: new Date(Date.now() + 1_200) });
}
const drawn = (saleId: string) =>
  waitUntil(
    async () => {
      const { body } = await system.api<Draw>('GET', `/api/sales/${saleId}/draw`);
      return body.state === 'drawn' ? body : null;
    },
    { ...soon, what: 'the places are not drawn' },
  );
const called = (saleId: string, token: string) =>
  waitUntil(async () => (await mine(saleId, token)).state === 'called', {
    ...soon,
    what: 'the person is not called',
  });
/** Moves the time to come in, which has passed unless said otherwise. */
async function setAnswerBy(saleId: string, token: string, answerBy = new Date()): Promise<void> {
  const personId = String(JSON.parse(atob(token.split('.')[1] ?? '')).sub);
  await system.store.collections.places.updateOne(
    { _id: `${saleId}:${personId}`, state: 'called' },
    { $set: { 'calls.$[].answerBy': answerBy } },
  );
}
/** Comes in as soon as called. */
async function passOf(saleId: string, token: string): Promise<string> {
  await called(saleId, token);
  const { status, body } = await comeIn(saleId, token);
  expect([status, body.type]).toEqual([200, undefined]);
  return body.pass;
}
async function buyInTurn(saleId: string, token: string): Promise<string> {
  const bought = await buy(saleId, token, await passOf(saleId, token));
  expect([bought.status, bought.body.type]).toEqual([202, undefined]);
  return bought.body.orderId;
}
/** In the order of their places. */
async function inOrder(saleId: string, people: string[]): Promise<string[]> {
  const places = await Promise.all(people.map((token) => mine(saleId, token)));
  const byPlace = people.map((token, n) => ({ token, position: places[n]?.position ?? 0 }));
  return byPlace.sort((one, other) => one.position - other.position).map(({ token }) => token);
}
const audited = () => system.audit();
const control = (saleId: string, body: object) =>
  system.api('PATCH', `/api/admin/sales/${saleId}/room`, { token: system.adminToken, body });

test('people gather, are drawn at the opening, come in turn, and need their own pass; anyone can check it', async () => {
  const sale = await openRoom({ stock: 5 });
  const people = tokens(60);
  const joined = await Promise.all(people.map((token, n) => join_(sale.id, token, n)));
  expect(joined.filter(({ status }) => status !== 200)).toEqual([]);
  expect(joined[0]?.body).toMatchObject({ state: 'entered', position: null, ahead: null });
  const [first = '', second = ''] = people;
  // However often one person joins, at all servers, it is one place.
  const again = `POST /api/sales/${sale.id}/places HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${first}\r\nContent-Length: 0\r\n\r\n`;
  const rejoined = await Promise.all([0, 1].map((n) => sendAll(at(n), Array(1_500).fill(again), 500)));
  expect(rejoined.map(({ failed }) => failed)).toEqual([0, 0]);
  expect((await leave(sale.id, second)).status).toBe(204);
  expect((await buy(sale.id, first)).body.type).toBe('/problems/not-open');
  expect((await comeIn(sale.id, first)).body.type).toBe('/problems/not-called');
  const gathering = await system.api<RoomStatus>('GET', `/api/sales/${sale.id}/room`);
  expect(gathering.headers.get('cache-control')).toBe('public, max-age=1');
  await waitUntil(async () => (await statusOf(sale.id)).waiting === 59, { ...soon, what: 'not 59 gather' });
  expect(await statusOf(sale.id)).toMatchObject({ state: 'gathering', left: 5, inside: 0 });

  await control(sale.id, { paused: true });
  const told: RoomStatus[] = [];
  const toldFrom = performance.now();
  const socket = io(at(1), { transports: ['websocket'], auth: { token: first } });
  socket.on('room', (status) => told.push(status));
  await new Promise<void>((resolve) => socket.on('connect', resolve));
  socket.emit('watch', { saleId: sale.id });
  await open(sale.id);
  expect(await drawn(sale.id)).toMatchObject({ entries: 59 });
  const { body: late } = await join_(sale.id, second);
  expect(late).toMatchObject({ state: 'waiting', position: 60 });
  const { body: file } = await system.api('GET', `/api/sales/${sale.id}/draw/file`);
  await writeFile(join(dir, 'room.json'), JSON.stringify(file));
  const { stdout } = await run('node', ['commands/verify-draw.mjs', join(dir, 'room.json')]);
  expect(stdout).toContain('as it should be');

  const order = await inOrder(sale.id, people);
  const [one = '', two = '', three = '', , , sixth = ''] = order;
  await control(sale.id, { paused: false });
  const passesOf = await Promise.all(order.slice(0, 5).map((token) => passOf(sale.id, token)));
  const [pass = ''] = passesOf;
  expect((await comeIn(sale.id, one)).body.pass).toBe(pass);
  expect((await comeIn(sale.id, sixth)).body.type).toBe('/problems/not-called');
  const passes = openPasses(system.env.JWT_SECRET ?? '');
  const person = String(JSON.parse(atob(one.split('.')[1] ?? '')).sub);
  const wrong = [
    await buy(sale.id, one),
    await buy(sale.id, two, pass),
    await buy(sale.id, one, `${pass.slice(0, -2)}AA`),
    await buy(sale.id, one, passes.issue(sale.id, person, new Date(Date.now() - 1_000))),
    await buy(sale.id, one, passes.issue('another-sale', person, new Date(Date.now() + hourMs))),
  ];
  expect(wrong.map(({ body }) => body.type)).toEqual(wrong.map(() => '/problems/pass-required'));
  expect(wrong[0]?.body.detail).toContain(`POST /api/sales/${sale.id}/places`);
  const key = nanoid();
  const bought = await buy(sale.id, one, pass, key);
  expect(bought.status).toBe(202);
  // The same purchase again is the same, even when the pass has ended.
  expect((await buy(sale.id, one, '', key)).body.orderId).toBe(bought.body.orderId);
  const others = order.slice(1, 5).map((token, n) => buy(sale.id, token, passesOf[n + 1]));
  expect((await Promise.all(others)).map(({ status }) => status)).toEqual([202, 202, 202, 202]);
  await waitUntil(() => told.at(-1)?.state === 'sold_out', {
    ...soon,
    what: 'nobody is told of the sell-out',
  });
  socket.disconnect();
  expect(told.length).toBeLessThan((performance.now() - toldFrom) / 900 + 3);
  expect(await mine(sale.id, sixth)).toMatchObject({ state: 'waiting', position: 6 });
  await waitUntil(async () => (await mine(sale.id, three)).state === 'served', { ...soon, what: 'unserved' });
  // Whoever gives a unit back makes room for the next.
  await system.api('DELETE', `/api/orders/${bought.body.orderId}`, { token: one });
  await buyInTurn(sale.id, sixth);
  await system.quiet();
  expect(await audited()).toMatchObject({ ok: true, I8: { breaches: 0 } });

  const { places, orders } = system.store.collections;
  const [a, b] = await places.find({ saleId: sale.id, 'calls.position': { $in: [2, 3] } }).toArray();
  const tamper = async (id: string, position: number) =>
    await places.updateOne({ _id: id }, { $set: { 'calls.0.position': position } });
  const [ofA, ofB] = [a?.calls?.[0]?.position ?? 0, b?.calls?.[0]?.position ?? 0];
  await tamper(a?._id ?? '', ofB);
  await tamper(b?._id ?? '', ofA);
  const { ok, I8 } = await audited();
  expect([ok, I8.examples.join()]).toEqual([false, expect.stringContaining('out of turn')]);
  await tamper(a?._id ?? '', ofA);
  await tamper(b?._id ?? '', ofB);
  const waits = { saleId: sale.id, position: 7 };
  await places.updateOne(waits, { $set: { position: 2 } });
  expect((await audited()).I8.examples.join()).toContain('others behind it were called');
  await places.updateOne({ saleId: sale.id, position: 2, state: 'waiting' }, { $set: { position: 7 } });
  await orders.updateOne({ _id: bought.body.orderId }, { $set: { personId: 'nobody', status: 'paid' } });
  expect((await audited()).I8.examples.join()).toContain('before its person was called');
  await orders.updateOne(
    { _id: bought.body.orderId },
    { $unset: { personId: '' }, $set: { status: 'cancelled' } },
  );
  expect((await audited()).I8.breaches).toBe(0);
});

test('who does not come goes to the end, once, and holds nobody up; staff pause, let in, and tell', async () => {
  const sale = await openRoom({ stock: 1, roomPerMinute: 600 });
  const asAdmin = { token: system.adminToken };
  const change = (body: object) => control(sale.id, body);
  expect((await change({ paused: true })).body).toEqual({ paused: true, message: null, extra: 0 });
  for (const wrong of [{}, { letIn: 0 }, { letIn: 1_001 }, { message: 'x'.repeat(201) }, { open: true }])
    expect((await change(wrong)).status).toBe(400);
  expect(
    (await system.api('PATCH', `/api/admin/sales/${sale.id}/room`, { body: { paused: true } })).status,
  ).toBe(401);
  const people = tokens(4);
  await Promise.all(people.map((token) => join_(sale.id, token)));
  await open(sale.id);
  await drawn(sale.id);
  const [away = '', gone = '', third = '', fourth = ''] = await inOrder(sale.id, people);
  await change({ message: '<b>Back in a minute</b>' });
  await waitUntil(async () => (await statusOf(sale.id)).message, { ...soon, what: 'nobody is told' });
  expect(await statusOf(sale.id)).toMatchObject({
    state: 'paused',
    message: '<b>Back in a minute</b>',
    inside: 0,
  });
  await change({ paused: false, message: null });
  await called(sale.id, away);
  expect((await mine(sale.id, gone)).state).toBe('waiting');
  // Redis forgets everything: the places are in MongoDB.
  await system.store.redis.flushall();
  // The next one is called before the bound of the one who is away has passed for good.
  await waitUntil(async () => (await mine(sale.id, away)).missed, { ...soon, what: 'nobody was missed' });
  expect(await mine(sale.id, away)).toMatchObject({ state: 'waiting', position: 5 });
  await called(sale.id, gone);
  expect((await leave(sale.id, gone)).status).toBe(204);
  await called(sale.id, third);
  expect((await comeIn(sale.id, third)).status).toBe(200);
  expect((await mine(sale.id, fourth)).state).toBe('waiting');
  await change({ letIn: 1 });
  const pass = await passOf(sale.id, fourth);
  // Whoever has a pass could still buy, so nobody gets their place for that.
  expect((await leave(sale.id, third)).body.type).toBe('/problems/place-inside');
  // The one who was away is called again, and is out then.
  await change({ letIn: 1 });
  await called(sale.id, away);
  await setAnswerBy(sale.id, away);
  await waitUntil(async () => (await mine(sale.id, away)).state === 'left', { ...soon, what: 'they stay' });
  expect((await comeIn(sale.id, away)).status).toBe(404);
  const { orderId } = (await buy(sale.id, fourth, pass)).body;
  expect((await system.settled(orderId, fourth)).status).toBe('paid');
  await change({ letIn: 1_000 });
  const setBy = await system.api('GET', `/api/admin/sales/${sale.id}/room`, asAdmin);
  expect(setBy.body).toEqual({ paused: false, message: null, extra: 1_000 });
  await waitUntil(async () => (await join_(sale.id, fourth)).body.type === '/problems/over-limit', {
    ...soon,
    what: 'who has bought is not served',
  });
  const log = await waitUntil(
    async () => {
      const { body } = await system.api('GET', '/api/admin/staff-log', asAdmin);
      const entries = body.entries.filter(({ action }: { action: string }) => action === 'room.changed');
      return entries.length >= 4 ? entries : null;
    },
    { ...soon, what: 'the staff log has no entries' },
  );
  expect(log.at(-1)).toMatchObject({ before: { paused: false }, after: { paused: true } });
  expect(await audited()).toMatchObject({ ok: true, I8: { breaches: 0 } });
});

test('a pause costs nobody their turn; an accepted purchase that Redis lost is taken again without a living pass', async () => {
  const sale = await openRoom({ stock: 3, limitPerBuyer: 2 });
  const { collections, redis, gate } = system.store;
  const isFound = async (part: 'open' | 'gathering') =>
    (await findRooms(collections, part)).ids.includes(sale.id);
  expect([await isFound('open'), await isFound('gathering')]).toEqual([false, true]);
  const [ann = ''] = tokens(1);
  await join_(sale.id, ann);
  await open(sale.id);
  await called(sale.id, ann);
  await system.changeSale(sale.id, { paused: true });
  expect((await comeIn(sale.id, ann)).body.type).toBe('/problems/paused');
  expect([await isFound('open'), await isFound('gathering')]).toEqual([true, false]);
  const drawn = { id: 'drawn', data: { saleId: sale.id } } as unknown as CloudEvent;
  await storeDrawMails(collections, drawn, new Date());
  expect(await collections.mails.countDocuments({ placeId: { $regex: `^${sale.id}` } })).toBe(0);
  const { answerBy = '' } = await mine(sale.id, ann);
  await waitUntil(() => Date.now() > Date.parse(answerBy) + 500, { ...soon, what: 'time stands' });
  expect(await mine(sale.id, ann)).toMatchObject({ state: 'called', answerBy });
  await system.changeSale(sale.id, { paused: false });
  const first = await waitUntil(async () => (await comeIn(sale.id, ann)).body.pass, {
    ...soon,
    what: 'nobody may come in after the pause',
  });
  const { passUntil = '' } = await mine(sale.id, ann);
  await system.changeSale(sale.id, { paused: true });
  const list = async () => (await collections.placeLists.findOne({ _id: sale.id }))?.room;
  await waitUntil(async () => (await list())?.pausedAt, { ...soon, what: 'the pause is not noted' });
  await system.changeSale(sale.id, { paused: false });
  await waitUntil(async () => ((await mine(sale.id, ann)).passUntil ?? '') > passUntil, {
    ...soon,
    what: 'the pass lasts no longer',
  });
  const { pass } = (await comeIn(sale.id, ann)).body;
  expect(pass).not.toBe(first);

  // A worker of the version before writes the gate as that of any sale, or makes it anew.
  await redis.hset(gate.keyOf(sale.id), 'reserved', '');
  expect((await buy(sale.id, ann)).body.type).toBe('/problems/pass-required');
  await redis.hdel(gate.keyOf(sale.id), 'room');
  expect((await buy(sale.id, ann)).body.type).toBe('/problems/pass-required');

  const key = nanoid();
  const { body: bought } = await buy(sale.id, ann, pass, key);
  await system.settled(bought.orderId, ann);
  await system.quiet();
  await redis.flushall();
  expect((await buy(sale.id, ann, '', key)).body.type).toBe('/problems/pass-required');
  expect((await buy(sale.id, ann, bought.pass)).body.type).toBe('/problems/pass-required');
  expect((await buy(sale.id, ann, bought.pass, key)).body.orderId).toBe(bought.orderId);
  await system.quiet();

  // Whoever returns an earlier order and buys one has as many as before the call, and is served all the same.
  const isServed = { ...soon, what: 'who has bought is not served' };
  await waitUntil(async () => (await mine(sale.id, ann)).state === 'served', isServed);
  await join_(sale.id, ann);
  const again = await passOf(sale.id, ann);
  await system.api('DELETE', `/api/orders/${bought.orderId}`, { token: ann });
  expect((await buy(sale.id, ann, again)).status).toBe(202);
  await waitUntil(async () => (await mine(sale.id, ann)).state === 'served', isServed);
  await system.quiet();
  expect(await audited()).toMatchObject({ ok: true, I8: { breaches: 0 } });

  const { body: draft } = await postRoom({ stock: 1, draft: true });
  const site = { url: 'https://shop.example/', inside: 1 };
  const { body: front } = await postRoom({ stock: 1, site, draft: true });
  const old = { id: 'old', role: 'server', instance: 'old-1', startedAt: '', memoryMb: 1, lateMs: 0 };
  await redis.set('beat:old', JSON.stringify(old), 'PX', 60_000);
  await redis.zadd('beaters', Date.now(), 'old');
  const asAdmin = { token: system.adminToken };
  const refused = [
    await postRoom({ stock: 1 }),
    await system.api<Problem>('POST', `/api/sales/${draft.id}/publication`, asAdmin),
  ];
  // The version before knows rooms, but no bound of who is inside.
  const known = { ...old, isSharded: true, knowsPhases: true };
  await redis.set('beat:old', JSON.stringify(known), 'PX', 60_000);
  refused.push(
    await postRoom({ stock: 1, site }),
    await postRoom({ stock: 1, site, draft: true }),
    await system.api<Problem>('PATCH', `/api/sales/${draft.id}`, { ...asAdmin, body: { site } }),
    await system.api<Problem>('POST', `/api/sales/${front.id}/duplicates`, asAdmin),
  );
  const { status } = await system.api('PATCH', `/api/sales/${draft.id}`, {
    ...asAdmin,
    body: { site: null },
  });
  expect(status).toBe(200);
  await redis.del('beat:old');
  await redis.zrem('beaters', 'old');
  expect(refused.map(({ body }) => body.detail)).toEqual(refused.map(() => expect.stringContaining('old-1')));
});

test('a room in front of another site is drafted, changed and published only as it can be', async () => {
  const [asAdmin, site] = [{ token: system.adminToken }, { url: 'https://shop.example/drop', inside: 3 }];
  const { drafts } = system.store.collections;
  const field = ({ status, body }: { status: number; body: Partial<Problem> }) => [
    status,
    body.errors?.[0]?.field,
  ];
  const { body: draft } = await postRoom({ stock: 1, site, draft: true });
  const change = (body: object) =>
    system.api<Problem>('PATCH', `/api/sales/${draft.id}`, { ...asAdmin, body });
  const publish = () => system.api<Problem>('POST', `/api/sales/${draft.id}/publication`, asAdmin);
  // A code would let in any number of people, because nothing is bought.
  const phases = [{ name: 'Friends', opensAt: draft.opensAt, access: 'code' }];
  const { body: made } = await postRoom({ stock: 1, site, phases });
  expect(JSON.stringify(made.errors)).toContain('access `code`');
  const refused = [await change({ phases })];
  await drafts.updateOne(
    { _id: draft.id },
    { $set: { 'sale.phases': [{ name: 'Friends', opensAt: new Date(draft.opensAt), access: 'code' }] } },
  );
  refused.push(await publish(), await change({ site: { ...site, inside: 4 } }));
  expect(refused.map(field)).toEqual(refused.map(() => [400, 'phases']));
  expect((await change({ phases: [] })).status).toBe(200);
  expect((await publish()).status).toBe(200);
});

test('a room in front of another site sells nothing, and has exactly so many inside at once', async () => {
  const [url, inside] = ['https://shop.example/drop', 3];
  const sale = await openRoom({ stock: 1, roomPerMinute: 100_000, site: { url, inside } });
  expect(sale.site).toEqual({ url, inside });
  const { places } = system.store.collections;
  const people = tokens(12);
  await Promise.all(people.map((token) => join_(sale.id, token)));
  const [late = ''] = tokens(1);
  await open(sale.id);
  await drawn(sale.id);
  const order = await inOrder(sale.id, people);
  const isOpen = { saleId: sale.id, state: { $in: ['called' as const, 'inside' as const] } };
  let most = 0;
  const insideNow = async () => {
    const now = await places.countDocuments(isOpen);
    most = Math.max(most, now);
    return now;
  };
  const fill = (count: number) =>
    waitUntil(async () => (await insideNow()) === count, { ...soon, what: `not ${count} are inside` });
  await fill(inside);
  // Also whoever the shop lets in besides is inside.
  await control(sale.id, { letIn: 5 });
  const answers = await Promise.all(order.slice(0, inside).map((token) => comeIn(sale.id, token)));
  const { body } = await system.api('GET', `/api/admin/sales/${sale.id}/site-keys`, {
    token: system.adminToken,
  });
  expect(body.url).toBe(url);
  const log = await system.api('GET', '/api/admin/staff-log?action=site_keys.read', {
    token: system.adminToken,
  });
  expect(log.body.entries).toEqual([
    expect.objectContaining({ subject: expect.objectContaining({ id: sale.id }) }),
  ]);
  const holders = answers.map(({ body: { returnUrl = '' } }) => {
    expect(returnUrl.split('?')[0]).toBe(url);
    const pass = new URL(returnUrl).searchParams.get('room_pass');
    expect(verifyPass(pass, { saleId: sale.id, keys: readKeys(system.env.ROOM_PASS_KEYS ?? '') })).toBeNull();
    return verifyPass(pass, { saleId: sale.id, keys: readKeys(body.keys) })?.holder;
  });
  expect(new Set(holders.filter(Boolean)).size).toBe(inside);
  const [one = '', two = ''] = order;
  const [bought, elsewhere] = [
    await buy(sale.id, one, answers[0]?.body.pass),
    await system.api<Problem>(
      ...(['POST', `/api/sales/${sale.id}/places/mine/pass?returnTo=https://shop.example/dropped`] as const),
      { token: one },
    ),
  ];
  expect([bought.body.type, elsewhere.body.errors?.[0]?.field]).toEqual([
    '/problems/sold-elsewhere',
    'returnTo',
  ]);
  // Also what a gate admits that does not know it is rejected.
  const { gate, redis } = system.store;
  const { orderId } = await waitUntil(
    async () => {
      await redis.hset(gate.keyOf(sale.id), 'reserved', '');
      const { status, body } = await buy(sale.id, one, answers[0]?.body.pass);
      return status === 202 ? body : null;
    },
    { ...soon, what: 'nothing is admitted' },
  );
  expect(await system.settled(orderId, one)).toMatchObject({ status: 'rejected', reason: 'sold_out' });
  expect((await join_(sale.id, late)).body.state).toBe('waiting');
  // Leaving does not end a pass, which opens the site as long as it lasts.
  expect((await leave(sale.id, two)).body.type).toBe('/problems/place-inside');
  // Nor does deleting the account.
  const id = String(JSON.parse(atob(two.split('.')[1] ?? '')).sub);
  const account = { _id: id, personId: id, email: `${id}@example.com`, name: 'Two', passwordHash: '' };
  await system.store.collections.users.insertOne({ ...account, role: 'buyer', createdAt: new Date() });
  const withoutShardKey = watchShardKeys(system.store.collections.connection);
  expect(await deleteAccount(system.store.collections, id, byCommand('a test'))).toBe(true);
  expect(withoutShardKey).toEqual(new Set());
  expect((await mine(sale.id, two)).state).toBe('inside');

  const change = (site: RoomSite | null) =>
    system.api<Problem>('PATCH', `/api/sales/${sale.id}`, { token: system.adminToken, body: { site } });
  for (const other of [null, { url: 'https://shop.example/other', inside }])
    expect((await change(other)).body.errors?.[0]?.field).toBe('site.url');
  expect(most).toBe(inside);
  expect((await change({ url, inside: 5 })).status).toBe(200);
  await fill(5);
  // Whose pass has ended is outside, and somebody else comes in.
  const ended = await mine(sale.id, one);
  await places.updateOne({ saleId: sale.id, position: ended.position }, { $set: { passUntil: new Date(0) } });
  const sixth = order[5] ?? '';
  await called(sale.id, sixth);
  await setAnswerBy(sale.id, sixth, new Date(Date.now() + hourMs));
  expect((await mine(sale.id, one)).state).toBe('left');
  await insideNow();
  expect(most).toBe(5);
  await waitUntil(async () => (await statusOf(sale.id)).state === 'open', {
    ...soon,
    what: 'it is not open',
  });
  expect(await statusOf(sale.id)).toMatchObject({ unitsPerCall: 0 });
  await system.changeSale(sale.id, { closesAt: new Date(Date.now() + 500) });
  await waitUntil(async () => (await statusOf(sale.id)).state === 'ended', { ...soon, what: 'it goes on' });
  expect((await comeIn(sale.id, sixth)).body.type).toBe('/problems/not-called');
  await system.quiet();
  expect(await audited()).toMatchObject({ ok: true, I8: { breaches: 0 } });
});

test('a draw and a room that take long hold up no other draw, offer or room', async () => {
  const { collections } = system.store;
  const sale = { stock: 3, roomPerMinute: 6_000 };
  const [slowDraw, slowRoom, other] = [await openRoom(sale), await openRoom(sale), await openRoom(sale)];
  const people = tokens(3);
  const joinAll = ({ id }: SaleSnapshot) => Promise.all(people.map((token) => join_(id, token)));
  for (const room of [slowDraw, slowRoom, other]) await joinAll(room);
  await control(slowRoom.id, { paused: true });
  await open(slowRoom.id);
  await drawn(slowRoom.id);
  await system.changeSale(slowRoom.id, { paused: true });
  await waitUntil(async () => (await collections.placeLists.findOne({ _id: slowRoom.id }))?.room?.pausedAt, {
    ...{ ...soon, what: 'the pause is not noted' },
  });
  await control(slowRoom.id, { paused: false });
  const { product } = await system.createSale();
  const price = { amount: 0, currency: 'EUR' };
  const now = Date.now();
  const times = {
    opensAt: new Date(now),
    drawAt: new Date(now + hourMs),
    closesAt: new Date(now + 2 * hourMs),
  };
  const { body: lots } = await system.api<SaleSnapshot>('POST', '/api/sales', {
    token: system.adminToken,
    body: { productId: product.id, price, stock: 2, mode: 'draw', ...times },
  });
  for (const token of people)
    await system.api('POST', `/api/sales/${lots.id}/entries`, { token, body: { quantity: 1 } });

  // Whoever writes these lists meanwhile has to wait, as for a draw with very many entries.
  const { db } = collections.connection;
  const limitTransactions = (transactionLifetimeLimitSeconds: number) =>
    db?.admin().command({ setParameter: 1, transactionLifetimeLimitSeconds });
  const before = await limitTransactions(60);
  const session = await collections.connection.startSession();
  session.startTransaction();
  await collections.placeLists.updateMany(
    { _id: { $in: [slowDraw.id, slowRoom.id] } },
    { $inc: { writes: 1 } },
    { session },
  );
  const ns = `${db?.databaseName}.place_lists`;
  await db?.command({ profile: 1, filter: { ns, errName: 'WriteConflict' } });
  await system.changeSale(slowRoom.id, { paused: false });
  await system.changeSale(slowDraw.id, { opensAt: new Date(Date.now() + 1_200) });
  // Both are under way, and wait.
  await waitUntil(
    async () => {
      const conflicts = await db?.collection('system.profile').find().toArray();
      const running = await db?.admin().command({ currentOp: 1, ns, op: 'update' });
      const seen = JSON.stringify([conflicts, running?.inprog]);
      return [slowDraw, slowRoom].every(({ id }) => seen.includes(id));
    },
    { ...soon, what: 'the draw and the room are not held up' },
  );
  await db?.command({ profile: 0, filter: 'unset' });
  await open(other.id);
  await collections.sales.updateOne({ _id: lots.id }, { $set: { drawAt: new Date(Date.now() + 1_000) } });
  await Promise.all(people.map((token) => called(other.id, token)));
  await waitUntil(
    async () => (await collections.places.countDocuments({ saleId: lots.id, state: 'offered' })) === 2,
    { ...soon, what: 'nothing is offered' },
  );
  expect((await statusOf(slowDraw.id)).state).not.toBe('open');
  expect(
    (await Promise.all(people.map((token) => mine(slowRoom.id, token)))).map(({ state }) => state),
  ).toEqual(people.map(() => 'waiting'));
  await session.commitTransaction();
  await session.endSession();
  await limitTransactions(before?.was);
  await Promise.all([slowDraw, slowRoom].map(({ id }) => called(id, people[0] ?? '')));
  // So that the workers of the next test have one room.
  for (const { id } of [slowDraw, slowRoom, other])
    await system.changeSale(id, { closesAt: new Date(Date.now() + 500) });
});

test('workers are killed while they call, MongoDB is away at the opening, Redis comes back empty: nobody is skipped or called twice', async () => {
  const sale = await openRoom({ stock: 6, roomPerMinute: 120 });
  const people = tokens(9);
  await Promise.all(people.map((token) => join_(sale.id, token)));
  await system.closeAllBut({ servers: 2 });
  await system.changeSale(sale.id, { opensAt: new Date(Date.now() + 2_000) });
  process.kill(system.mongo()?.pid ?? Number.NaN, 'SIGKILL');
  expect((await join_(sale.id, people[0] ?? '')).status).toBe(503);
  await waitUntil(() => Date.now() > Date.parse(sale.serverTime) + 2_500, { ...soon, what: 'time stands' });
  await system.restartMongo();
  // Whoever comes after the opening is behind all who were there before, although nothing is drawn yet.
  const [late = ''] = tokens(1);
  const place = await waitUntil(
    async () => {
      const { status, body } = await join_(sale.id, late);
      return status === 200 ? body : null;
    },
    { ...soon, what: 'MongoDB does not come back' },
  );
  expect(place).toMatchObject({ state: 'entered', position: null });
  const { places, placeLists } = system.store.collections;
  expect(await places.findOne({ saleId: sale.id, position: 10 })).toMatchObject({ state: 'waiting' });
  for (const point of ['frozen', 'calling', 'called']) {
    const doomed = await system.startWorker({ FAILPOINTS: `${point}@1=kill` });
    expect(await doomed.ended).toBe('SIGKILL');
    // The next one leads at once, instead of when this lease has run out.
    await system.store.redis.del('lease:lead');
  }
  const calls = async () => (await placeLists.findOne({ _id: sale.id }))?.room?.calls;
  const made = (await calls()) ?? 0;
  expect(made).toBeGreaterThanOrEqual(1);
  // Redis is killed and comes back empty while people wait and one is called.
  process.kill(system.redis().pid, 'SIGKILL');
  await system.restartRedis();
  await system.store.redis.flushall();
  const waiting = await places.countDocuments({ saleId: sale.id, state: 'waiting' });
  expect([waiting, await calls()]).toEqual([10 - made, made]);
  await system.startWorker();
  // Everybody is there, as pages are: they come when they are called.
  const sold = new Set<string>();
  await waitUntil(
    async () => {
      for (const token of [...people, late]) {
        if (sold.has(token) || (await mine(sale.id, token)).state !== 'called') continue;
        const { body } = await comeIn(sale.id, token);
        if (body.pass && (await buy(sale.id, token, body.pass)).status === 202) sold.add(token);
      }
      return sold.size === 6;
    },
    { ...soon, what: 'not everything is sold' },
  );
  await system.quiet();
  const report = await audited();
  expect(report, JSON.stringify(report)).toMatchObject({ ok: true, I8: { breaches: 0 } });
}, 180_000);
