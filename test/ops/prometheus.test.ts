import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ROOT } from '../../ops/local/folders.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { launch, run, stop, waitUntil } from '../../ops/local/processes/process.mjs';
import { writeTargets } from '../../ops/local/prometheus-targets.mjs';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { needs, pathOf } from '../support/needs.ts';

interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  annotations?: { runbook: string };
}
interface Result {
  metric: Record<string, string>;
  value: [number, string];
}

const ops = join(ROOT, 'ops');
const read = (file: string) => readFileSync(join(ops, file), 'utf8');
const rules: Rule[] = parse(read('alerts.yml')).groups.flatMap(({ rules }: { rules: Rule[] }) => rules);
const alerts = rules.flatMap(({ alert }) => alert ?? []);
const dashboard = JSON.parse(read('grafana/stampede.json'));
const panels: { type: string; title: string; targets?: { expr: string }[] }[] = dashboard.panels;
const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

/** How the control room writes the figure of each metric that the dashboard's first two rows show; null where it does not. */
const readingOf: Record<string, string | null> = {
  stampede_queue_purchases: 'number(depth)',
  stampede_oldest_unsettled_seconds: 'duration(oldestMs)',
  stampede_admissions_total: 'tenths(inPerSecond)',
  stampede_orders_total: 'tenths(outPerSecond)',
  stampede_consumer_lag_events: 'lagIn(figures)',
  stampede_settle_seconds_bucket: 'orDash(withinMs, duration)',
  // How long a press of Buy took to be decided is in the dashboard only.
  stampede_admission_seconds_bucket: null,
  stampede_dead_letters: 'number(deadLetters)',
  'stampede:buy_faults:ratio_5m': 'orDash(successRate, percent)',
  stampede_http_request_seconds_count: 'faults?.servers ?? 0',
  stampede_proxy_answers_total: 'faults?.nginx ?? 0',
  stampede_holds_open: 'number(holds)',
  stampede_payment_due_seconds: 'duration(dueMs)',
  stampede_failed_refunds: 'texts.failedRefunds(failedRefunds)',
};

test('the control room shows what the first two rows of the dashboard show, under these names', () => {
  const rows = panels.flatMap(({ type }, n) => (type === 'row' ? [n] : []));
  const shown = panels.slice(0, rows[2]).filter(({ type }) => type !== 'row');
  const inRoom: Record<string, string[]> = {
    'Queue depth': ['tiles.depth', 'charts.waiting', 'charts.age'],
    'Rates in and out': ['tiles.rates'],
    'Consumer lag': ['tiles.lag'],
    Latency: ['tiles.latency', 'charts.pace'],
    'Dead letters': ['tiles.deadLetters'],
    'Success rate': ['tiles.success'],
    'Orders by outcome': ['charts.orders'],
    'Answers 5xx': ['charts.allFaults'],
    Holds: ['tiles.holds'],
    'Payments that are due': ['paymentsDue'],
    'Refunds that failed': ['failedRefunds'],
  };
  expect(shown.map(({ title }) => title)).toEqual(Object.keys(inRoom));
  const now = ['now-view.js', 'queue-tiles.js'].map((file) =>
    readFileSync(join(ROOT, 'public/admin/now', file), 'utf8'),
  );
  for (const name of Object.values(inRoom).flat())
    expect(now.join('').replace(/\bt\./g, 'texts.charts.'), name).toContain(`texts.${name}`);
  const metrics = shown.flatMap(({ targets = [] }) =>
    targets.flatMap(({ expr }) => expr.match(/\bstampede[\w:]+/g) ?? []),
  );
  expect([...new Set(metrics)].sort()).toEqual(Object.keys(readingOf).sort());
  for (const [metric, reading] of Object.entries(readingOf))
    if (reading !== null) expect(now.join(''), metric).toContain(reading);
  // Each outcome of an order has its line.
  for (const outcome of ['held', 'paid', 'rejected', 'expired', 'cancelled', 'refunded'])
    expect(now.join(''), outcome).toContain(`countOf('${outcome}')`);
});

test('every alert has a paragraph in the runbook, a test in which it fires, and one in which it does not', () => {
  const headings = [...read('RUNBOOK.md').matchAll(/^## (\w+)$/gm)].map(([, name]) => name);
  expect(headings).toEqual(alerts);
  const cases: { alertname: string; exp_alerts: object[] }[] = parse(read('alerts.test.yml')).tests.flatMap(
    ({ alert_rule_test }: { alert_rule_test: object[] }) => alert_rule_test,
  );
  for (const { alert, annotations } of rules.filter(({ alert }) => alert)) {
    expect(annotations?.runbook).toBe(`ops/RUNBOOK.md#${alert?.toLowerCase()}`);
    const fires = cases
      .filter(({ alertname }) => alertname === alert)
      .map((one) => one.exp_alerts.length > 0);
    expect([alert, new Set(fires).size]).toEqual([alert, 2]);
  }
});

test('the dashboard begins with the six figures of the queue', () => {
  expect(panels.slice(1, 7).map(({ title }) => title)).toEqual([
    'Queue depth',
    'Rates in and out',
    'Consumer lag',
    'Latency',
    'Dead letters',
    'Success rate',
  ]);
});

const prometheus = pathOf('Prometheus');
const promtool = pathOf('promtool');

describe('promtool', needs('promtool'), () => {
  test.each([
    ['check', 'rules', 'alerts.yml'],
    ['check', 'config', 'prometheus.yml'],
    ['check', 'config', 'prometheus.compose.yml'],
    ['test', 'rules', 'alerts.test.yml'],
  ])('is content with %s %s %s', async (...args) => {
    const { ok, output } = await run(promtool ?? '', args, { cwd: ops, deadlineMs: 60_000 });
    expect(ok, output).toBe(true);
  });
});

describe('a Prometheus beside the system', needs('Prometheus'), () => {
  let system: TestSystem;
  let dir: string;
  let url: string;
  let running: Awaited<ReturnType<typeof launch>>;

  /** ops/prometheus.yml with other paths and a shorter scrape interval. */
  beforeAll(async () => {
    system = await startSystem();
    dir = await mkdtemp(join(tmpdir(), 'stampede-prometheus-'));
    const targets = join(dir, 'targets.json');
    writeTargets(targets, [...system.servers, ...system.workers]);
    const config = read('prometheus.yml')
      .replace('../.data/prometheus-targets.json', targets)
      .replace('[alerts.yml]', `[${join(ops, 'alerts.yml')}]`)
      .replaceAll('interval: 5s', 'interval: 1s');
    await writeFile(join(dir, 'prometheus.yml'), config);
    const address = `127.0.0.1:${await freePort()}`;
    url = `http://${address}`;
    const args = [
      `--config.file=${join(dir, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(dir, 'data')}`,
      `--web.listen-address=${address}`,
    ];
    running = await launch('prometheus', prometheus ?? '', args, { logFile: join(dir, 'prometheus.log') });
    const isReady = async () => (await fetch(`${url}/-/ready`)).ok;
    await waitUntil(isReady, { deadlineMs: 30_000, what: 'Prometheus is not ready', launched: running });
    await until('not all are up', async () => (await ask('sum(up{job="stampede"})'))[0]?.value[1] === '3');
  });
  afterAll(async () => {
    await stop(running);
    await system.close();
    await rm(dir, { recursive: true });
  });

  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of the answer by its assertions.
  const getJson = async (path: string): Promise<any> => (await fetch(url + path)).json();

  async function ask(expr: string): Promise<Result[]> {
    const { status, data, error } = await getJson(`/api/v1/query?${new URLSearchParams({ query: expr })}`);
    if (status !== 'success') throw new Error(`${expr}: ${error}`);
    return data.result;
  }
  const until = <Value>(what: string, check: () => Promise<Value>) =>
    waitUntil(check, { deadlineMs: 30_000, what, everyMs: 250 });

  test('scrapes every process, and sums their counters', async () => {
    const roles = (await ask('count by (role) (up)')).map(({ metric, value }) => [metric.role, value[1]]);
    expect(Object.fromEntries(roles)).toEqual({ server: '2', worker: '1' });

    const sale = await system.createSale({ stock: 7 });
    for (let n = 0; n < 9; n++) await system.buy(sale.id, system.buyerToken());
    await system.quiet();
    await until('the orders are not seen', async () => {
      const [paid] = await ask('sum(stampede_orders_total{status="paid"})');
      const [left] = await ask(`max(stampede_sale_stock_units{sale="${sale.id}"})`);
      return paid?.value[1] === '7' && left?.value[1] === '0';
    });
  });

  test('knows every metric that an alert or a panel names', async () => {
    const { data } = await getJson('/api/v1/metadata');
    const known = new Set([...Object.keys(data), ...rules.flatMap(({ record }) => record ?? []), 'up']);
    const named = [...expressions, ...rules.map(({ expr }) => expr)].flatMap(
      (expr) => expr.replace(/\{[^}]*\}/g, '').match(/\b(stampede|process|nodejs)[_:][\w:]+/g) ?? [],
    );
    expect(named.length).toBeGreaterThan(30);
    const isKnown = (name: string) => known.has(name) || known.has(name.replace(/_(bucket|sum|count)$/, ''));
    expect(named.filter((name) => !isKnown(name))).toEqual([]);
  });

  test('evaluates every expression of the dashboard', async () => {
    for (const expr of expressions) await ask(expr);
  });

  test('a killed instance raises an alert', async () => {
    const [, second] = system.servers;
    process.kill(second?.pid ?? 0, 'SIGKILL');
    await until('no alert', async () => {
      const [pending] = await ask('ALERTS{alertname="TargetDown"}');
      return pending?.metric.instance === 'server-2';
    });
  });
});
