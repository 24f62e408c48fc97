import { setTimeout as delay } from 'node:timers/promises';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openSocketClient, type SocketClient } from '../../rehearsal/socket-client.ts';
import type { StockMessage } from '../../sale/contract.ts';
import { mintTokens } from '../load/closed-loop.ts';
import { pressAtRate } from '../load/open-loop.ts';
import { memoryAndHandlesOfGroup } from '../measure/process-usage.ts';
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

export interface FanoutOptions {
  sockets: number;
  rate: number;
  seconds: number;
}

/** Clients that connect at a time, so that handshakes do not dominate the measurement. */
const openedAtOnce = 100;
const mostPerSecond = 20;

/** Thousands of tabs watch one sale while it sells. @returns whether all received its stock in time, and not too often. */
export async function fanout({ sockets: count, rate, seconds }: FanoutOptions): Promise<boolean> {
  const testbed = await openOwnTestbed({ clients: count });
  const clients: SocketClient[] = [];
  try {
    const { system, url, secret, processes } = testbed;
    const tokens = mintTokens(1_000, secret);
    const units = rate * seconds;
    const sale = { name: 'Bench: fanout', stock: units, limitPerBuyer: Math.ceil(units / tokens.length) };
    const saleId = await openBenchSale(system, sale);
    const memoryOf = (kind: string) =>
      processes()
        .filter(({ name }) => name.startsWith(kind))
        .reduce((total, { pid }) => total + memoryAndHandlesOfGroup(pid).memoryMb, 0);
    const before = { servers: memoryOf('server'), nginx: memoryOf('nginx') };
    const recorder = openDeliveryRecorder(count);
    for (let n = 0; n < count; n += openedAtOnce) {
      const some = Array.from({ length: Math.min(openedAtOnce, count - n) }, (_, i) => n + i);
      const opened = some.map((tab) =>
        openSocketClient({ url, saleId, token: tokens[tab % tokens.length] ?? '' }, recorder.by(tab)),
      );
      clients.push(...(await Promise.all(opened)));
    }
    await delay(1_000);
    const kbPerSocket = ((memoryOf('server') - before.servers) * 1_024) / count;
    const nginxKbPerSocket = ((memoryOf('nginx') - before.nginx) * 1_024) / count;
    console.log(`${count} tabs watch; ${rate} purchases a second for ${seconds} s`);

    const answers = await pressAtRate({ url, tokens, saleId, perSecond: rate, seconds, connections: 200 });
    await waitUntilSettled(system, 120);
    await waitUntil(() => recorder.all(units - answers.accepted.length), {
      deadlineMs: 10_000,
      what: 'a tab did not receive the last stock',
    }).catch((error: Error) => console.log(error.message));
    await endBenchSale(system, saleId);
    const ok = await auditTestbed(system);
    const report = recorder.report(seconds);
    console.log(
      `commit to last tab: p50 ${figure(report.lastTabP50Ms)} ms, p99 ${figure(report.lastTabP99Ms)} ms, ` +
        `over ${report.messages} messages; to any tab: p99 ${figure(report.anyTabP99Ms)} ms`,
    );
    console.log(
      `memory for each socket: ${figure(kbPerSocket)} kB in a server, ${figure(nginxKbPerSocket)} kB in nginx`,
    );
    const verdicts = [
      judge('commit to last tab, p99 ms', [report.lastTabP99Ms], 'below', 250),
      judge('messages to a tab in its busiest second', [report.mostInASecond], 'below', mostPerSecond + 1),
      judge('tabs that missed the last stock', [report.missed(units - answers.accepted.length)], 'below', 1),
      judge('purchases not accepted', [units - answers.accepted.length], 'below', 1),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    const result = {
      options: { sockets: count, rate, seconds },
      ...report,
      kbPerSocket,
      nginxKbPerSocket,
      verdicts,
    };
    console.log(`\nWritten to ${saveResult('fanout', result)}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    for (const client of clients) client.close();
    await testbed.close();
  }
}

/** Records what each tab receives, and when. */
function openDeliveryRecorder(tabs: number) {
  /** By stock version: when the last tab received it, in ms after the commit. */
  const lastTabMs = new Map<number, number>();
  const anyTabMs: number[] = [];
  const stocks = new Float64Array(tabs).fill(Number.NaN);
  /** For each tab: the current second, and the messages received in it. */
  const [secondOf, receivedIn] = [new Uint32Array(tabs), new Uint32Array(tabs)];
  let mostInASecond = 0;
  /** The last parsed message: all tabs receive the same one, so it is parsed once. */
  let latest = { event: '', stock: 0, stockVersion: 0, atMs: 0 };

  function read(event: string): typeof latest {
    const [, { stock, stockVersion, at }] = JSON.parse(event) as [string, StockMessage];
    return { event, stock, stockVersion, atMs: Date.parse(at) };
  }
  return {
    by: (tab: number) => (event: string) => {
      if (!event.startsWith('["stock"')) return;
      const now = Date.now();
      if (event !== latest.event) latest = read(event);
      const ms = now - latest.atMs;
      lastTabMs.set(latest.stockVersion, Math.max(ms, lastTabMs.get(latest.stockVersion) ?? 0));
      anyTabMs.push(ms);
      stocks[tab] = latest.stock;
      const second = Math.floor(now / 1_000);
      receivedIn[tab] = secondOf[tab] === second ? (receivedIn[tab] ?? 0) + 1 : 1;
      secondOf[tab] = second;
      mostInASecond = Math.max(mostInASecond, receivedIn[tab] ?? 0);
    },
    all: (stock: number) => stocks.every((received) => received === stock),
    report(duration: number) {
      const last = [...lastTabMs.values()].sort((a, b) => a - b);
      anyTabMs.sort((a, b) => a - b);
      return {
        messages: last.length,
        deliveries: anyTabMs.length,
        perTabPerSecond: anyTabMs.length / tabs / duration,
        lastTabP50Ms: percentile(last, 50),
        lastTabP99Ms: percentile(last, 99),
        anyTabP99Ms: percentile(anyTabMs, 99),
        mostInASecond,
        missed: (stock: number) => stocks.filter((received) => received !== stock).length,
      };
    },
  };
}
