import { waitUntil } from '../../ops/local/processes/process.mjs';
import { aheadOf, steady, type Wait, waitOf } from '../../public/sale/room-view.js';
import { openSocketClient } from '../../rehearsal/socket-client.ts';
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
}

/** A person with a page, which hears how far the room got and does the rest by itself. */
interface Person {
  token: string;
  position: number;
  wait: Wait | null;
  /** The first range that the page promised, and when, in Unix ms. */
  promised: { from: number; to: number; at: number } | null;
  calledAt: number | null;
}

const gatherSeconds = 30;
const deadlineMs = 600_000;

/** People gather, the room opens, and they are called until everything is sold. @returns whether all targets are met. */
export async function room(options: RoomOptions): Promise<boolean> {
  const { people: count, stock, perMinute, connections } = options;
  const testbed = await openOwnTestbed({ clients: connections + 200, env: { LIMIT_FACTOR: '0' } });
  try {
    const { system, url, secret } = testbed;
    const opensAt = new Date(Date.now() + gatherSeconds * 1_000);
    const terms = { mode: 'room' as const, roomPerMinute: perMinute, limitPerBuyer: 1, opensAt };
    const saleId = await openBenchSale(system, { name: 'Bench: room', stock, ...terms });
    const path = `/api/sales/${saleId}`;
    const people = mintTokens(count, secret).map((token): Person => {
      return { token, position: 0, wait: null, promised: null, calledAt: null };
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
      pass?: string,
    ): Promise<Body | null> {
      const body = pass ? { body: '{"quantity":1}' } : {};
      const headers = {
        Authorization: `Bearer ${token}`,
        ...(pass && { 'Room-Pass': pass, 'Content-Type': 'application/json' }),
      };
      const answer = await fetch(url + path + to, { method, headers, ...body }).catch(() => null);
      if (answer?.ok) return (await answer.json()) as Body;
      const what = `${method} ${to}: ${answer?.status ?? 'no answer'}`;
      failed[what] = (failed[what] ?? 0) + 1;
      return null;
    }
    async function come(person: Person): Promise<void> {
      person.calledAt = Date.now();
      const answer = await ask<{ pass: string }>(person, 'POST', '/places/mine/pass');
      if (answer) await ask(person, 'POST', '/purchases', answer.pass);
    }
    let [isDrawn, jumps, latest] = [false, 0, null as RoomStatus | null];
    function hear(status: RoomStatus): void {
      latest = status;
      if (!isDrawn || status.state === 'sold_out') return;
      for (const person of people.filter(({ calledAt }) => calledAt === null)) {
        if (person.position <= status.calledUpTo) void come(person);
        else promise(person, status);
      }
    }
    function promise(person: Person, status: RoomStatus): void {
      const before = person.wait;
      person.wait = steady(before, waitOf(aheadOf(person.position, status), status));
      const { from = 0, to = null } = person.wait ?? {};
      if (before?.to && to !== null && to > before.to * 1.1 + 1) jumps += 1;
      if (to !== null) person.promised ??= { from, to, at: Date.now() };
    }
    const tab = await openSocketClient({ url, saleId, token: people[0]?.token ?? '' }, (event) => {
      if (event.startsWith('["room"')) hear(JSON.parse(event)[1]);
    });
    await waitUntil(() => latest !== null && !['gathering', 'drawing'].includes(latest.state), {
      ...{ deadlineMs, what: 'the room does not open' },
    });
    const readers = Array.from({ length: connections }, async (_, n) => {
      for (let at = n; at < people.length; at += connections) {
        const person = people[at] as Person;
        person.position =
          (await ask<Place>(person, 'GET', '/places/mine'))?.position ?? Number.POSITIVE_INFINITY;
      }
    });
    await Promise.all(readers);
    isDrawn = true;
    const { orders } = system.collections;
    await waitUntil(async () => (await orders.countDocuments({ saleId, reason: null })) >= stock, {
      ...{ deadlineMs, what: 'not everything is sold', everyMs: 250 },
    });
    const soldSeconds = (Date.now() - opensAt.getTime()) / 1_000;
    tab.close();
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
        `${figure(joined.perSecond)}/s); ${stock} units are sold ${figure(soldSeconds)} s after the opening; ` +
        `${inside} of ${waits.length} waits were in the promised range`,
    );
    for (const [what, times] of Object.entries(failed)) console.log(`${times} times: ${what}`);
    const verdicts = [
      judge('share of waits inside the promised range', [shareInside], 'at least', 0.8),
      judge('estimates that jumped upwards by more than a tenth', [jumps], 'below', 1),
      judge('joins that failed', [joined.failed], 'below', 1),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    const measured = { joinP50Ms, joinP99Ms, joinsPerSecond: joined.perSecond, soldSeconds, shareInside };
    console.log(`\nWritten to ${saveResult('room', { options, ...measured, verdicts })}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await testbed.close();
  }
}
