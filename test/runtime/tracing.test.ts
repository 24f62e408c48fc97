import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../support/harness.ts';

interface Span {
  service: string;
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
}
interface ExportRequest {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeSpans: { spans: Omit<Span, 'service'>[] }[];
  }[];
}

let system: TestSystem;
let collector: Server;
const spans: Span[] = [];

beforeAll(async () => {
  collector = createServer(async (request, response) => {
    const { resourceSpans } = (await json(request)) as ExportRequest;
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
      for (const span of scopeSpans.flatMap((scope) => scope.spans)) spans.push({ service, ...span });
    }
    response.setHeader('Content-Type', 'application/json').end('{}');
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const { port } = collector.address() as AddressInfo;
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`, OTEL_BSP_SCHEDULE_DELAY: '200' };
  system = await startSystem({ env });
});
afterAll(async () => {
  await system.close();
  collector.closeAllConnections();
  collector.close();
});

test('one trace spans the browser, the server, the worker and the event of a purchase', async () => {
  const sale = await system.createSale({ stock: 5 });
  // Others buy too, each in its own trace. The first purchase of a sale is flushed twice, because it creates the gate.
  for (let n = 0; n < 3; n++) await system.buy(sale.id, system.buyerToken());
  const [traceId, browserSpan] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
  const { status } = await system.api('POST', `/api/sales/${sale.id}/purchases`, {
    token: system.buyerToken(),
    body: { quantity: 1 },
    headers: { traceparent: `00-${traceId}-${browserSpan}-01` },
  });
  expect(status).toBe(202);

  const ours = () => spans.filter((span) => span.traceId === traceId);
  await waitUntil(() => ours().length >= 4, { deadlineMs: 20_000, what: 'the trace is not complete' });
  expect(
    ours()
      .map(({ service, name }) => `${service}: ${name}`)
      .sort(),
  ).toEqual([
    'stampede-server: POST /api/sales/:id/purchases',
    'stampede-server: flush',
    'stampede-worker: publish',
    'stampede-worker: settle',
  ]);
  const request = ours().find(({ name }) => name.startsWith('POST'));
  expect(request?.parentSpanId).toBe(browserSpan);
  for (const span of ours().filter((one) => one !== request)) expect(span.parentSpanId).toBe(request?.spanId);
  for (const { startTimeUnixNano, endTimeUnixNano } of ours()) {
    expect(BigInt(endTimeUnixNano) >= BigInt(startTimeUnixNano)).toBe(true);
  }
});

test('a trace that is not sampled is not exported', async () => {
  const sale = await system.createSale();
  const traceId = 'aaaabbbbccccddddeeeeffff00001111';
  const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-00` };
  await system.api('POST', `/api/sales/${sale.id}/purchases`, {
    token: system.buyerToken(),
    body: { quantity: 1 },
    headers,
  });
  await system.buy(sale.id, system.buyerToken());
  const settledHere = () => spans.filter(({ name }) => name === 'settle').length;
  // The next trace was exported.
  const before = settledHere();
  await system.buy((await system.createSale()).id, system.buyerToken());
  await waitUntil(() => settledHere() > before, { deadlineMs: 20_000, what: 'nothing is exported any more' });
  expect(spans.filter((span) => span.traceId === traceId)).toEqual([]);
});
