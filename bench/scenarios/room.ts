import { waitUntil } from '../../ops/local/processes/process.mjs';
import { aheadOf, steady, type Wait, waitOf } from '../../public/sale/room-view.js';
import { openSocketClient, type SocketClient } from '../../rehearsal/socket-client.ts';
import { keyedQueue } from '../../runtime/keyed-queue.ts';
import { pause } from '../../runtime/pause.ts';
import type { Place, RoomStatus } from '../../sale/contract.ts';
import { mintTokens } from '../load/closed-loop.ts';
import { sendAll } from '../load/send-all.ts';
import { saveResult } from '../report/results.ts';
import { percentile } from '../report/statistics.ts';
import { figure } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import {
  auditTestbed,
  endBenchSale,
  moveBenchSale,
  openBenchSale,
  openOwnTestbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

export interface RoomOptions {
  people: number;
  stock: number;
  /** People let in a minute, at most. */
  perMinute: number;
  connections: number;
  /** Browser tabs that watch the sale meanwhile. */
  tabs: number;
}

/** A person with a page, which hears how far the room got and does the rest by itself. */
interface Person {
  token: string;
  /** Null until it is drawn and read. */
  position: number | null;
  wait: Wait | null;
  /** The first range that the page promised, and when, in Unix ms. */
  promised: { from: number; to: number; at: number } | null;
  calledAt: number | null;
}

/** The room opens when all have gathered; until then it would open in half an hour. */
const [gatherMs, openMs] = [1_800_000, 2_000];
const [attemptsMax, retryMs] = [20, 2_000];
/** Tabs that connect at the same time. */
const connectAtOnce = 100;
const deadlineMs = 240_000;
/** Longer than anybody takes on two cores that also run the tabs. */
const perPersonMs = 50;
const progressMs = 10_000;

/** People gather, the room opens, and they are called until everything is sold. @returns whether all targets are met. */
export async function room(options: RoomOptions): Promise<boolean> {
  const { verdicts, ...measured } = await playRoom(options);
  printVerdicts(verdicts);
  console.log(`\nWritten to ${saveResult('room', { options, ...measured, verdicts })}`);
  return verdicts.every(({ pass }) => pass);
}

export async function playRoom({ people: count, stock, perMinute, connections, tabs }: RoomOptions) {
  const testbed = await openOwnTestbed({ clients: connections + tabs + 200, env: { LIMIT_FACTOR: '0' } });
  try {
    const { system, url, secret } = testbed;
    let opensAt = new Date(Date.now() + gatherMs);
    const terms = { mode: 'room' as const, roomPerMinute: perMinute, limitPerBuyer: 1, opensAt };
    const saleId = await openBenchSale(system, { name: 'Bench: room', stock, ...terms });
    const path = `/api/sales/${saleId}`;
    const people = mintTokens(count, secret).map((token): Person => {
      return { token, position: null, wait: null, promised: null, calledAt: null };
    });
    const joins = people.map(({ token }) => {
      return `POST ${path}/places HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${token}\r\nContent-Length: 0\r\n\r\n`;
    });
    const joined = await sendAll(url, joins, connections);
    const failed: Record<string, number> = {};
    async function ask<Body>(
      { token }: Person,
      method: string,
      to: string,
      purchase?: { pass: string; key: string },
    ): Promise<Body | null> {
      const body = purchase ? { body: '{"quantity":1}' } : {};
      const headers = {
        Authorization: `Bearer ${token}`,
        ...(purchase && {
          'Room-Pass': purchase.pass,
          'Idempotency-Key': purchase.key,
          'Content-Type': 'application/json',
        }),
      };
      const answer = await fetch(url + path + to, { method, headers, ...body }).catch(() => null);
      if (answer?.ok) return (await answer.json()) as Body;
      const what = `${method} ${to}: ${answer?.status ?? 'no answer'}`;
      failed[what] = (failed[what] ?? 0) + 1;
      return null;
    }
    const byToken = new Map(people.map((person) => [person.token, person]));
    // No more requests at once than there are connections.
    const coming = keyedQueue({
      work: (token) => come(byToken.get(token) as Person),
      maxRunning: connections,
      maxWaiting: count,
    });
    async function come(person: Person): Promise<void> {
      // As a page does, which asks again after a failure, and with the same key.
      const key = crypto.randomUUID();
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        const answer = await ask<{ pass: string }>(person, 'POST', '/places/mine/pass');
        if (answer && (await ask(person, 'POST', '/purchases', { pass: answer.pass, key }))) return;
        await pause(Math.random() * retryMs);
        // Whoever came too late is at the end of the line, and is called once more.
        const place = answer ? null : await ask<Place>(person, 'GET', '/places/mine');
        if (place?.state === 'waiting') {
          person.position = place.position;
          person.calledAt = null;
          return;
        }
      }
    }
    /** As a page does, which asks again after a failure. */
    async function readPlace(person: Person): Promise<Place | null> {
      for (let attempt = 1; attempt <= attemptsMax; attempt++) {
        const place = await ask<Place>(person, 'GET', '/places/mine');
        if (place) return place;
        await pause(Math.random() * retryMs);
      }
      return null;
    }
    let [jumps, latest] = [0, null as RoomStatus | null];
    function hear(status: RoomStatus): void {
      latest = status;
      if (status.state === 'sold_out') return;
      for (const person of people) look(person, status);
    }
    function look(person: Person, status: RoomStatus): void {
      const { position, calledAt } = person;
      if (position === null || calledAt !== null) return;
      if (position > status.calledUpTo) promise(person, position, status);
      else {
        person.calledAt = Date.now();
        coming.run(person.token);
      }
    }
    function promise(person: Person, position: number, status: RoomStatus): void {
      const before = person.wait;
      person.wait = steady(before, waitOf(aheadOf(position, status), status));
      const { from = 0, to = null } = person.wait ?? {};
      if (before?.to && to !== null && to > before.to * 1.1 + 1) jumps += 1;
      if (to !== null) person.promised ??= { from, to, at: Date.now() };
    }
    const tab = await openSocketClient({ url, saleId, token: people[0]?.token ?? '' }, (event) => {
      if (event.startsWith('["room"')) hear(JSON.parse(event)[1]);
    });
    console.log(`${count} people have gathered, ${joined.failed} could not`);
    const heard = { statuses: 0 };
    const crowd = await openTabs(
      { url, saleId, tokens: people.slice(0, tabs).map(({ token }) => token) },
      heard,
    );
    console.log(`${tabs} tabs watch; the room opens`);
    opensAt = new Date(Date.now() + openMs);
    await moveBenchSale(system, saleId, { opensAt });
    await waitUntil(() => latest !== null && !['gathering', 'drawing'].includes(latest.state), {
      ...{ deadlineMs, what: 'the room does not open' },
    });
    const readers = Array.from({ length: connections }, async (_, n) => {
      for (let at = n; at < people.length; at += connections) {
        const person = people[at] as Person;
        person.position = (await readPlace(person))?.position ?? Number.POSITIVE_INFINITY;
        if (latest) look(person, latest);
      }
    });
    await Promise.all(readers);
    const { orders } = system.collections;
    let sold = 0;
    const isSoldOut = async () => {
      sold = await orders.countDocuments({ saleId, reason: null });
      return sold >= stock;
    };
    const progress = setInterval(() => {
      const called = people.filter(({ calledAt }) => calledAt !== null).length;
      const failures = Object.entries(failed).map(([what, times]) => `${times} times ${what}`);
      console.log(`${called} called, ${sold} units sold; ${failures.join(', ') || 'nothing failed'}`);
    }, progressMs);
    try {
      await waitUntil(isSoldOut, {
        deadlineMs: deadlineMs + count * perPersonMs,
        everyMs: 250,
        what: 'not everything is sold',
      });
    } finally {
      clearInterval(progress);
    }
    const soldSeconds = (Date.now() - opensAt.getTime()) / 1_000;
    tab.close();
    const statusesPerTab = tabs > 0 ? heard.statuses / tabs : 0;
    for (const each of crowd) each.close();
    await waitUntilSettled(system, 120);
    await endBenchSale(system, saleId);
    const ok = await auditTestbed(system);

    const waits = people.flatMap(({ promised, calledAt }) =>
      promised && calledAt ? [{ ...promised, waited: calledAt - promised.at }] : [],
    );
    const inside = waits.filter(({ from, to, waited }) => waited >= from && waited <= to).length;
    const [joinP50Ms, joinP99Ms] = [50, 99].map((percent) => percentile(joined.ms, percent));
    const shareInside = waits.length > 0 ? inside / waits.length : Number.NaN;
    console.log(
      `${count} people gather (join p50 ${figure(joinP50Ms ?? Number.NaN)} ms, p99 ${figure(joinP99Ms ?? Number.NaN)} ms, ` +
        `${figure(joined.perSecond)}/s), ${tabs} tabs watch; ${stock} units are sold ${figure(soldSeconds)} s after the opening; ` +
        `${inside} of ${waits.length} waits were in the promised range`,
    );
    for (const [what, times] of Object.entries(failed)) console.log(`${times} times: ${what}`);
    const verdicts = [
      // In a quick drop nobody waits long enough for a range to be promised.
      ...(waits.length > 0
        ? [judge('share of waits inside the promised range', [shareInside], 'at least', 0.8)]
        : []),
      judge('estimates that jumped upwards by more than a tenth', [jumps], 'below', 1),
      judge('joins that failed', [joined.failed], 'below', 1),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    const joinsPerSecond = joined.perSecond;
    return {
      joinP50Ms,
      joinP99Ms,
      joinsPerSecond,
      soldSeconds,
      shareInside,
      statusesPerTab,
      failed,
      verdicts,
    };
  } finally {
    await testbed.close();
  }
}

/** Opens a tab for each token; every status of the room that one of them gets is counted. */
async function openTabs(
  { url, saleId, tokens }: { url: string; saleId: string; tokens: string[] },
  heard: { statuses: number },
): Promise<SocketClient[]> {
  const opened: SocketClient[] = [];
  const rest = tokens.values();
  const openNext = async () => {
    for (const token of rest) {
      const count = (event: string) => {
        if (event.startsWith('["room"')) heard.statuses += 1;
      };
      opened.push(await openSocketClient({ url, saleId, token }, count));
    }
  };
  await Promise.all(Array.from({ length: connectAtOnce }, openNext));
  return opened;
}
