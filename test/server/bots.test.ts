import { hash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { redisClock } from '../../runtime/clock.ts';
import { difficultyOf } from '../../sale/bots/difficulty.ts';
import { openNetworks } from '../../sale/bots/networks.ts';
import { openPuzzles, subjectOf } from '../../sale/bots/puzzles.ts';
import type { Place, Problem, Puzzle, SaleSnapshot } from '../../sale/contract.ts';
import { keysOf } from '../../sale/shard.ts';
import { openTokens } from '../../server/http/identity/tokens.ts';
import { type OpenBrowser, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

const hourMs = 3_600_000;

/** Answers as Turnstile's siteverify does: each token is valid once, and names what it was solved for behind a colon. */
interface SiteVerify {
  server: Server;
  url: string;
  asked: URLSearchParams[];
  isAway: boolean;
}

async function startSiteVerify(): Promise<SiteVerify> {
  const used = new Set<string>();
  const verify: SiteVerify = { server: createServer(), url: '', asked: [], isAway: false };
  verify.server.on('request', async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    const form = new URLSearchParams(body);
    verify.asked.push(form);
    if (verify.isAway) return response.writeHead(502).end('away');
    const token = form.get('response') ?? '';
    const codes =
      form.get('secret') !== 'site-secret'
        ? ['invalid-input-secret']
        : !token.startsWith('good-')
          ? ['invalid-input-response']
          : used.has(token)
            ? ['timeout-or-duplicate']
            : [];
    used.add(token);
    const answer = { success: codes.length === 0, 'error-codes': codes, cdata: token.split(':')[1] };
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer));
  });
  verify.server.listen(0, '127.0.0.1');
  await once(verify.server, 'listening');
  verify.url = `http://127.0.0.1:${(verify.server.address() as AddressInfo).port}/siteverify`;
  return verify;
}

let system: TestSystem;
let verify: SiteVerify;
let lenient: TestSystem['servers'][number];
let browser: OpenBrowser;
beforeAll(async () => {
  verify = await startSiteVerify();
  const env = {
    TRUST_PROXY_HOPS: '1',
    LIMIT_FACTOR: '0',
    CAPTCHA_PROVIDER: 'turnstile',
    CAPTCHA_SITE_KEY: 'site-key',
    CAPTCHA_SECRET: 'site-secret',
    CAPTCHA_VERIFY_URL: verify.url,
  };
  system = await startSystem({ servers: 2, nginx: false, env });
  browser = await openBrowser();
  lenient = await system.startServer({ CAPTCHA_WHEN_AWAY: 'proof-of-work', CAPTCHA_SIGN_UPS: 'on' });
});
afterAll(async () => {
  await browser?.close();
  await system?.close();
  verify?.server.closeAllConnections();
  verify?.server.close();
});

const tokenOf = (id: string, verified = false) =>
  openTokens(system.env.JWT_SECRET ?? '', 3_600).issue({ id, role: 'buyer', emailVerified: verified });

async function createSale(demands: object) {
  const { product } = await system.createSale();
  const body = {
    ...{ productId: product.id, price: { amount: 4_900, currency: 'EUR' }, stock: 500, limitPerBuyer: 2 },
    ...{ opensAt: new Date(Date.now() - hourMs), closesAt: new Date(Date.now() + hourMs), ...demands },
  };
  const asAdmin = { token: system.adminToken };
  return await system.api<SaleSnapshot & Pick<Problem, 'errors'>>('POST', '/api/sales', { ...asAdmin, body });
}
const later = () => ({ opensAt: new Date(Date.now() + hourMs), closesAt: new Date(Date.now() + 2 * hourMs) });
const inDraw = () => ({ mode: 'draw', drawAt: new Date(Date.now() + hourMs / 2) });

const serverOf = (n: number) => system.servers[n % 2]?.url ?? '';
interface Asked {
  token: string;
  from?: string;
  headers?: Record<string, string>;
  at?: string;
}
const post = (path: string, { token, from, headers, at = serverOf(0) }: Asked, body?: object) =>
  system.api<Place & Problem>('POST', path, {
    ...{ token, body, at },
    headers: { ...headers, ...(from && { 'X-Forwarded-For': from }) },
  });
const buy = (saleId: string, asked: Asked) => post(`/api/sales/${saleId}/purchases`, asked, { quantity: 1 });
const join = (saleId: string, asked: Asked) => post(`/api/sales/${saleId}/places`, asked);
const enter = (saleId: string, asked: Asked) => post(`/api/sales/${saleId}/entries`, asked, { quantity: 1 });
const puzzleFor = async (saleId: string, token: string) =>
  (await system.api<Puzzle>('GET', `/api/sales/${saleId}/puzzle`, { token, at: serverOf(1) })).body;
const typeOf = ({ status, body }: { status: number; body: { type?: string } }) => [
  status,
  body.type?.split('/').at(-1),
];

const isSolved = (answer: string, bits: number) =>
  hash('sha256', answer, 'buffer').readUInt32BE() >>> (32 - bits) === 0;
function solve(challenge: string, bits: number, isRight = true): string {
  for (let nonce = 0; ; nonce++) {
    const answer = `${challenge}.${nonce}`;
    if (isSolved(answer, bits) === isRight) return answer;
  }
}
const proof = (challenge: string, bits: number) => ({ 'Proof-Of-Work': solve(challenge, bits) });

describe('the puzzle of a sale', () => {
  test('is demanded before a purchase, and its answer is of one person, one sale and a short time', async () => {
    const [{ body: sale }, { body: other }] = [
      await createSale({ proofOfWork: { bits: 6 } }),
      await createSale({ proofOfWork: { bits: 6 } }),
    ];
    expect(sale.proofOfWork).toEqual({ bits: 6 });
    const [ann, bob] = [tokenOf('ann'), tokenOf('bob')];
    const asked = await buy(sale.id, { token: ann });
    expect([...typeOf(asked), asked.body.difficultyBits]).toEqual([428, 'proof-of-work-required', 6]);
    const puzzle = await puzzleFor(sale.id, ann);
    expect(puzzle.challenge).toBe(asked.body.challenge);
    const lastsMs = Date.parse(puzzle.expiresAt) - Date.now();
    expect(lastsMs > 110_000 && lastsMs < 250_000).toBe(true);

    const headers = proof(puzzle.challenge, 6);
    for (const [saleId, token] of [
      [sale.id, bob],
      [other.id, ann],
    ] as const)
      expect((await buy(saleId, { token, headers })).status).toBe(428);
    const [end = '', bits, signature] = puzzle.challenge.split('-');
    const sooner = (Number.parseInt(end, 36) + 120_000).toString(36);
    const wrong = [
      solve(puzzle.challenge, 6, false),
      solve([sooner, bits, signature].join('-'), 6),
      solve([end, '1', signature].join('-'), 6),
      ...['', 'x', `${puzzle.challenge}.`, `${puzzle.challenge}.${'9'.repeat(33)}`],
    ];
    for (const answer of wrong)
      expect((await buy(sale.id, { token: ann, headers: { 'Proof-Of-Work': answer } })).status).toBe(428);
    // The same person may use it again: the limit of two bounds that.
    const statuses = [];
    for (let n = 0; n < 3; n++)
      statuses.push((await buy(sale.id, { token: ann, headers, at: serverOf(n) })).status);
    expect(statuses).toEqual([202, 202, 409]);
    expect(
      typeOf(await system.api('GET', `/api/sales/${(await system.createSale()).id}/puzzle`, { token: ann })),
    ).toEqual([404, 'not-found']);
  });

  test('cannot be answered after it has ended, and is accepted by every secret that verifies', () => {
    const [one, two] = ['q9Jm2rT7xV4bN8cK1wE5yU3iO6pA0sDf', 'zX3vB6nM9kL2jH5gF8dS1aQ4wE7rT0yU'];
    const before = openPuzzles(`old:${one}`);
    const after = openPuzzles(`new:${two},old:${one}`);
    const subject = subjectOf('sale', 'person');
    const answer = solve(before.give(subject, 4).challenge, 4);
    expect([before, after].map((puzzles) => puzzles.isAnswer(subject, answer))).toEqual([true, true]);
    expect(openPuzzles(`new:${two}`).isAnswer(subject, answer)).toBe(false);
    const { now } = redisClock;
    try {
      redisClock.now = () => new Date(now().getTime() + 240_000);
      expect(before.isAnswer(subject, answer)).toBe(false);
    } finally {
      redisClock.now = now;
    }
  });

  test('is checked in microseconds', () => {
    const puzzles = openPuzzles('q9Jm2rT7xV4bN8cK1wE5yU3iO6pA0sDf');
    const subject = subjectOf('sale', 'person');
    const answer = solve(puzzles.give(subject, 8).challenge, 8);
    const rounds = Array.from({ length: 20 }, () => {
      const startedAt = performance.now();
      for (let n = 0; n < 500; n++) puzzles.isAnswer(subject, answer);
      return (performance.now() - startedAt) / 500;
    });
    expect(Math.min(...rounds)).toBeLessThan(0.1);
  });

  test('is harder around the opening and while many purchases wait', () => {
    const opensAt = new Date('2027-01-01T12:00:00Z');
    const setting = { bits: 10, opening: { bits: 14, seconds: 30 }, load: { bits: 12, backlog: 1_000 } };
    const at = (seconds: number, backlog = 0) => {
      const now = new Date(opensAt.getTime() + seconds * 1_000);
      return difficultyOf(setting, { opensAt, now, until: new Date(now.getTime() + 180_000), backlog });
    };
    expect([-600, -181, -179, 0, 29.9, 30, 600].map((seconds) => at(seconds))).toEqual([
      ...[10, 10, 14, 14, 14, 10, 10],
    ]);
    expect([at(600, 999), at(600, 1_000), at(10, 1_000)]).toEqual([10, 12, 14]);
  });

  test('follows the schedule of the sale, which staff can change while it is open', async () => {
    const demands = { proofOfWork: { bits: 2, opening: { bits: 7, seconds: 60 } }, opensAt: new Date() };
    const { body: sale } = await createSale(demands);
    const token = tokenOf(nanoid());
    expect((await puzzleFor(sale.id, token)).difficultyBits).toBe(7);
    await system.changeSale(sale.id, { proofOfWork: { bits: 3 } });
    const bits = async () => (await puzzleFor(sale.id, token)).difficultyBits;
    await waitUntil(async () => (await bits()) === 3, { deadlineMs: 10_000, what: 'the puzzle gets easier' });
    expect((await system.changeSale(sale.id, { proofOfWork: 'off' })).proofOfWork).toBeUndefined();
    await waitUntil(async () => (await buy(sale.id, { token })).status === 202, {
      ...{ deadlineMs: 10_000, what: 'no work is demanded any more' },
    });
    const { staffLog } = system.store.collections;
    const off = { 'subject.id': sale.id, action: 'sale.changed', before: '{"proofOfWork":{"bits":3}}' };
    await waitUntil(() => staffLog.findOne(off), { deadlineMs: 20_000, what: 'the staff log has it' });
  });

  test('is demanded before a place in a room and an entry in a draw, but a pass is enough to buy', async () => {
    const demands = { proofOfWork: { bits: 5 } };
    const { body: room } = await createSale({ ...demands, ...later(), mode: 'room' });
    const { body: drawn } = await createSale({ ...demands, ...inDraw() });
    const token = tokenOf(nanoid());
    for (const [saleId, take] of [
      [room.id, join],
      [drawn.id, enter],
    ] as const) {
      expect(typeOf(await take(saleId, { token }))).toEqual([428, 'proof-of-work-required']);
      const { challenge } = await puzzleFor(saleId, token);
      expect((await take(saleId, { token, headers: proof(challenge, 5) })).status).toBe(200);
    }
    expect(typeOf(await buy(room.id, { token }))).toEqual([409, 'not-open']);
  });
});

describe('a limit for each network', () => {
  test('lets in exactly so many of 200 people who join at once, and each of them again', async () => {
    const networkLimit = { people: 7, of: 'address' };
    const { body: sale } = await createSale({ networkLimit, ...later(), mode: 'room' });
    const people = Array.from({ length: 200 }, (_, n) => ({ token: tokenOf(nanoid()), at: serverOf(n) }));
    const from = '203.0.113.5';
    const joined = await Promise.all(people.map((person) => join(sale.id, { ...person, from })));
    const inside = people.filter((_, n) => joined[n]?.status === 200);
    expect(inside).toHaveLength(7);
    const refused = joined.filter(({ status }) => status !== 200);
    expect(new Set(refused.map((answer) => typeOf(answer).join()))).toEqual(new Set(['409,network-full']));
    for (const person of inside) expect((await join(sale.id, { ...person, from })).status).toBe(200);
    expect((await join(sale.id, { token: tokenOf(nanoid()), from: '203.0.113.6' })).status).toBe(200);

    // Whoever leaves makes room, and an emptied Redis learns from MongoDB who has a place.
    const [first] = inside;
    const mine = `/api/sales/${sale.id}/places/mine`;
    expect((await system.api('DELETE', mine, { token: first?.token })).status).toBe(204);
    expect((await join(sale.id, { token: tokenOf(nanoid()), from })).status).toBe(200);
    const { body: before } = await system.api('GET', `/api/admin/sales/${sale.id}/suspects`, {
      token: system.adminToken,
    });
    expect(before.networks).toMatchObject([
      { people: 7, refused: 193 },
      { people: 1, refused: 0 },
    ]);
    expect(JSON.stringify(before)).not.toContain('203.0.113');
    await system.store.redis.flushall();
    const again = Array.from({ length: 20 }, (_, n) =>
      join(sale.id, { token: tokenOf(nanoid()), from, at: serverOf(n) }),
    );
    expect(new Set((await Promise.all(again)).map(({ status }) => status))).toEqual(new Set([409]));
    expect((await join(sale.id, { ...(inside[1] as Asked), from })).status).toBe(200);
  });

  test('counts ranges where the shop wants it, entries, and purchases that are accepted', async () => {
    const range = { people: 1, of: 'range' };
    const { body: drawn } = await createSale({ networkLimit: range, ...inDraw() });
    const from = ['198.51.100.1', '198.51.100.200', '198.51.101.1', '2001:db8:7:1::1', '2001:db8:7:ffff::1'];
    const statuses = [];
    for (const address of from)
      statuses.push((await enter(drawn.id, { token: tokenOf(nanoid()), from: address })).status);
    expect(statuses).toEqual([200, 409, 200, 200, 409]);

    const { body: open } = await createSale({ networkLimit: { people: 1, of: 'address' }, stock: 1 });
    const token = tokenOf(nanoid());
    const [one, two] = ['192.0.2.1', '192.0.2.2'];
    expect((await buy(open.id, { token, from: one })).status).toBe(202);
    expect(typeOf(await buy(open.id, { token: tokenOf(nanoid()), from: one }))).toEqual([
      409,
      'network-full',
    ]);
    // Who has bought counts on, whatever else they give up.
    const list = `/api/sales/${open.id}/waiting-list/mine`;
    expect((await system.api('DELETE', list, { token })).status).toBe(204);
    expect(typeOf(await buy(open.id, { token: tokenOf(nanoid()), from: one }))).toEqual([
      409,
      'network-full',
    ]);
    // Nobody who gets nothing takes up the network.
    for (let n = 0; n < 2; n++)
      expect(typeOf(await buy(open.id, { token: tokenOf(nanoid()), from: two }))).toEqual([409, 'sold-out']);
  });

  test('does not refuse the retry of a purchase that was accepted before others filled the network', async () => {
    const { body: sale } = await createSale({});
    const first = { token: tokenOf(nanoid()), from: '192.0.2.98', headers: { 'Idempotency-Key': nanoid() } };
    const { body: accepted } = await buy(sale.id, first);
    await system.changeSale(sale.id, { networkLimit: { people: 1, of: 'address' } });
    const isRefused = async (asked: Asked) => (await buy(sale.id, asked)).status === 409;
    const whenFull = () =>
      waitUntil(() => isRefused({ token: tokenOf(nanoid()), from: first.from }), {
        ...{ deadlineMs: 10_000, what: 'others fill the network' },
      });
    await whenFull();
    expect(await buy(sale.id, { ...first, at: serverOf(1) })).toMatchObject({ status: 202, body: accepted });
    expect(typeOf(await buy(sale.id, { ...first, headers: {} }))).toEqual([409, 'network-full']);

    const { redis, collections } = system.store;
    await waitUntil(() => collections.orders.findOne({ _id: accepted.orderId ?? '' }), {
      ...{ deadlineMs: 20_000, what: 'it is settled' },
    });
    await redis.flushall();
    await whenFull();
    expect(await buy(sale.id, first)).toMatchObject({ status: 202, body: { orderId: accepted.orderId } });
  });

  test('does not refuse whoever had a place before the sale was limited', async () => {
    const { body: sale } = await createSale({ ...later(), mode: 'room' });
    const first = { token: tokenOf(nanoid()), from: '192.0.2.97' };
    const { body: place } = await join(sale.id, first);
    await system.changeSale(sale.id, { networkLimit: { people: 1, of: 'address' } });
    await waitUntil(
      async () => (await join(sale.id, { ...first, token: tokenOf(nanoid()) })).status === 409,
      {
        ...{ deadlineMs: 10_000, what: 'others fill the network' },
      },
    );
    expect(await join(sale.id, first)).toMatchObject({ status: 200, body: { joinedAt: place.joinedAt } });
  });

  test('gives back the place of a person whose press failed, unless it was admitted', async () => {
    const { body: sale } = await createSale({ networkLimit: { people: 1, of: 'address' } });
    const { redis, gate } = system.store;
    const { queued } = keysOf(gate.shardOf(sale.id));
    const press = (token: string) =>
      post(`/api/sales/${sale.id}/purchases`, { token, from: '192.0.2.98' }, { quantity: 1 });
    await system.quiet();
    await redis.set(queued, 'not a sorted set');
    const failed = await press(tokenOf(nanoid()));
    await redis.del(queued);
    expect(failed.status).toBeGreaterThanOrEqual(500);
    expect((await press(tokenOf(nanoid()))).status).toBe(202);
    expect(typeOf(await press(tokenOf(nanoid())))).toEqual([409, 'network-full']);
  });

  test('cannot be got round by presses beside each other, of which one is refused', async () => {
    const { body: sale } = await createSale({ networkLimit: { people: 1, of: 'address' } });
    const from = '192.0.2.99';
    const admitted = [];
    for (let n = 0; n < 10; n++) {
      const asked = { token: tokenOf(nanoid()), from };
      const press = (quantity: number, at: string) =>
        post(`/api/sales/${sale.id}/purchases`, { ...asked, at }, { quantity });
      const answers = await Promise.all([
        press(99, serverOf(0)),
        press(1, serverOf(0)),
        press(99, serverOf(1)),
      ]);
      admitted.push(answers.some(({ status }) => status === 202));
    }
    expect(admitted.filter(Boolean)).toHaveLength(1);

    const { redis, collections } = system.store;
    const networks = openNetworks(redis, collections, 1);
    const limit = { max: 1, closesAt: new Date(Date.now() + hourMs) };
    const saleId = nanoid();
    const take = (personId: string) => networks.take({ saleId, personId, networkKey: 'network' }, limit);
    expect([await take('ann'), await take('ann'), await take('bob')]).toEqual(['taken', 'known', 'refused']);
    await networks.endPress(saleId, 'ann', 'refused');
    expect([await take('bob'), await networks.endedPresses(saleId, 'ann')]).toEqual(['refused', null]);
    await networks.endPress(saleId, 'ann', 'refused');
    expect(await take('bob')).toBe('taken');
    await networks.endPress(saleId, 'bob', 'kept');
    // A place that is asked for while the person leaves another one may be theirs.
    expect([await networks.endedPresses(saleId, 'bob'), await take('bob')]).toEqual([1, 'known']);
    await networks.release(saleId, 'bob', 1);
    await networks.endPress(saleId, 'bob', 'refused');
    expect([await take('ann'), await networks.endedPresses(saleId, 'bob')]).toEqual(['refused', 2]);
    await networks.release(saleId, 'bob', 2);
    expect(await take('ann')).toBe('taken');
  });

  test('and a verified address hold for places and entries too, and feed the view of suspects', async () => {
    const demands = { requiresVerifiedEmail: true, networkLimit: { people: 3, of: 'address' } };
    const { body: room } = await createSale({ ...demands, ...later(), mode: 'room' });
    const { body: drawn } = await createSale({ ...demands, ...inDraw() });
    const from = '192.0.2.77';
    for (const [saleId, take] of [
      [room.id, join],
      [drawn.id, enter],
    ] as const) {
      expect(typeOf(await take(saleId, { token: tokenOf(nanoid()), from }))).toEqual([
        403,
        'email-not-verified',
      ]);
      const buyers = Array.from({ length: 3 }, () => nanoid());
      for (const id of buyers)
        expect((await take(saleId, { token: tokenOf(id, true), from })).status).toBe(200);
    }
    const { sales, orders } = system.store.collections;
    await sales.updateOne({ _id: drawn.id }, { $set: { drawAt: new Date() } });
    await waitUntil(async () => (await orders.countDocuments({ saleId: drawn.id })) === 3, {
      ...{ deadlineMs: 20_000, what: 'the draw is made', everyMs: 50 },
    });
    const path = `/api/admin/sales/${drawn.id}/suspects`;
    const look = await system.api('POST', path, { token: system.adminToken, body: {} });
    expect(look.body).toEqual({ looked: 3, marked: 3, isWhole: true });
    const { body } = await system.api('GET', path, { token: system.adminToken });
    expect(body.networks).toEqual([{ group: body.suspects[0].suspicion.group, people: 3, refused: 0 }]);
  });
});

test('settings that make no sense are refused, and say what was expected', async () => {
  const fields = async (demands: object) => {
    const { status, body } = await createSale(demands);
    return [status, ...(body.errors ?? []).map(({ field }) => field)];
  };
  expect(await fields({ proofOfWork: { bits: 23 } })).toEqual([400, 'proofOfWork.bits']);
  expect(await fields({ proofOfWork: { bits: 0 } })).toEqual([400, 'proofOfWork.bits']);
  expect(await fields({ proofOfWork: { bits: 8, opening: { bits: 9 } } })).toEqual([400, 'proofOfWork']);
  expect(await fields({ networkLimit: { people: 0, of: 'address' } })).toEqual([400, 'networkLimit.people']);
  expect(await fields({ networkLimit: { people: 1, of: 'country' } })).toEqual([400, 'networkLimit']);
  expect(await fields({ proofOfWork: 'off', networkLimit: 'off', captcha: false })).toEqual([201]);
  // This server has no keys for passes into other sites.
  const site = { url: 'https://shop.example/drop', inside: 9 };
  expect(await fields({ mode: 'room', site })).toEqual([400, 'site.url']);
  expect(await fields({ site })).toEqual([400, 'site']);
  expect(await fields({ mode: 'room', site: { url: 'ftp://shop.example', inside: 0 } })).toEqual([
    ...[400, 'site.url', 'site.inside'],
  ]);
  // So a draft that has a site is not published, and no turn is used up for a pass that nobody can sign.
  const { id } = (await createSale({ ...later(), mode: 'room', draft: true })).body;
  const asAdmin = { token: system.adminToken };
  const { drafts, sales } = system.store.collections;
  await drafts.updateOne({ _id: id }, { $set: { 'sale.site': site } });
  const publish = () => system.api('POST', `/api/sales/${id}/publication`, asAdmin);
  expect((await publish()).body.errors?.[0]?.field).toBe('site.url');
  await drafts.updateOne({ _id: id }, { $unset: { 'sale.site': '' } });
  expect((await publish()).status).toBe(200);
  await sales.updateOne({ _id: id }, { $set: { site } });
  const unsigned = [
    await system.api('GET', `/api/admin/sales/${id}/site-keys`, asAdmin),
    await system.api('POST', `/api/sales/${id}/places/mine/pass`, { token: tokenOf(nanoid()) }),
  ];
  for (const { status, body } of unsigned)
    expect([status, body.detail]).toEqual([503, expect.stringContaining('ROOM_PASS_KEYS')]);
});

describe('a captcha', () => {
  const openRoom = async () => (await createSale({ captcha: true, ...later(), mode: 'room' })).body.id;
  const withToken = (captcha: string) => ({ 'Captcha-Token': captcha });

  test('is verified by its provider, once, and for the sale that the page showed', async () => {
    const [saleId, token] = [await openRoom(), tokenOf(nanoid())];
    const asked = await join(saleId, { token });
    expect([...typeOf(asked), asked.body.captcha]).toEqual([
      ...[428, 'captcha-required', { provider: 'turnstile', siteKey: 'site-key' }],
    ]);
    const good = `good-${nanoid()}:${saleId}`;
    const elsewhere = `good-${nanoid()}:${nanoid()}`;
    for (const wrong of ['bad', elsewhere, 'x'.repeat(8_193)])
      expect(typeOf(await join(saleId, { token, headers: withToken(wrong) }))).toEqual([
        428,
        'captcha-required',
      ]);
    const from = '192.0.2.30';
    expect((await join(saleId, { token, from, headers: withToken(good) })).status).toBe(200);
    expect(Object.fromEntries(verify.asked.at(-1) ?? [])).toEqual({
      ...{ secret: 'site-secret', response: good, remoteip: from },
    });
    const second = await join(saleId, { token: tokenOf(nanoid()), headers: withToken(good) });
    expect(typeOf(second)).toEqual([428, 'captcha-required']);
  });

  test('is refused with 503 while its provider is away, or replaced by work, as the operator has set', async () => {
    const [saleId, token] = [await openRoom(), tokenOf(nanoid())];
    verify.isAway = true;
    try {
      const headers = withToken(`good-${nanoid()}:${saleId}`);
      const refused = await join(saleId, { token, headers });
      expect([...typeOf(refused), refused.headers.get('retry-after')]).toEqual([503, 'unavailable', '5']);
      const at = lenient.url;
      const asked = await join(saleId, { token, headers, at });
      expect(typeOf(asked)).toEqual([428, 'proof-of-work-required']);
      const { challenge = '', difficultyBits = 0 } = asked.body;
      const both = { ...headers, ...proof(challenge, difficultyBits) };
      expect((await join(saleId, { token, headers: both, at })).status).toBe(200);
    } finally {
      verify.isAway = false;
    }
  });

  test('can be demanded of sign-ups, and opens the policy of pages for its provider alone', async () => {
    const body = { email: `${nanoid()}@example.com`, password: 'correct horse', name: 'Ann' };
    const signUp = (headers = {}) => system.api('POST', '/api/users', { body, at: lenient.url, headers });
    expect(typeOf(await signUp())).toEqual([428, 'captcha-required']);
    expect((await signUp(withToken(`good-${nanoid()}:sign-up`))).status).toBe(201);
    const policyOf = async (path: string) =>
      (await fetch(serverOf(0) + path)).headers.get('content-security-policy') ?? '';
    const policy = await policyOf('/');
    expect(policy).toContain("script-src 'self' https://challenges.cloudflare.com;");
    expect(policy).toContain('frame-src https://challenges.cloudflare.com;');
    expect(policy.match(/style-src/g)).toHaveLength(1);
    expect(policy).not.toContain('unsafe');
    expect(await policyOf('/admin')).not.toContain('cloudflare');
  });
});

test('a page whose captcha cannot be loaded tries once, and says so', async () => {
  const { body: sale } = await createSale({ captcha: true, ...later(), mode: 'room' });
  const page = await browser.page();
  const asked: string[] = [];
  page.on('request', (request) => {
    const { host, pathname } = new URL(request.url());
    if (pathname.endsWith('/places') || host.includes('cloudflare')) asked.push(pathname);
  });
  await page.route('https://challenges.cloudflare.com/**', (route) => route.abort());
  await page.goto(`${serverOf(0)}/`);
  const places = `/api/sales/${sale.id}/places`;
  // A text, because vitest rewrites imports.
  const name = await page.evaluate(`import('/shared/api.js').then(({ call }) =>
    call('POST', '/sales/${sale.id}/places', { token: '${tokenOf(nanoid())}' }).catch(({ name }) => name))`);
  expect(name).toBe('captcha-unavailable');
  expect(asked).toEqual([places, '/turnstile/v0/api.js', places]);
});

test('a buyer buys without noticing the puzzle, which the page has solved before the opening', async () => {
  const { body: sale } = await createSale({
    ...{ proofOfWork: { bits: 12 }, opensAt: new Date(Date.now() + 5_000) },
  });
  const buyer = await system.signUp();
  const page = await browser.page();
  const statuses: [string, number][] = [];
  page.on('response', (response) => {
    const { pathname } = new URL(response.url());
    if (/puzzle|purchases/.test(pathname))
      statuses.push([pathname.split('/').at(-1) ?? '', response.status()]);
  });
  // The page spreads its questions over a minute.
  await page.addInitScript('Math.random = () => 0.99');
  const solving = page.waitForEvent('worker', { timeout: 30_000 });
  await page.goto(`${serverOf(0)}/sales/${sale.id}`);
  await page.getByTestId('account').click();
  const form = page.getByTestId('sign-in-form');
  await form.getByLabel('Email').fill(buyer.email);
  await form.getByLabel('Password').fill(buyer.password);
  await form.getByRole('button', { name: 'Sign in' }).click();
  const solver = await solving;
  if (page.workers().includes(solver)) await new Promise((resolve) => solver.once('close', resolve));
  await page.locator('[data-testid=buy][data-state=buy]').click();
  await page.getByTestId('order-status').filter({ hasText: 'Paid' }).waitFor();
  expect(statuses).toEqual([
    ['puzzle', 200],
    ['purchases', 202],
  ]);
});
