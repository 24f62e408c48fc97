import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ servers: 1, nginx: false });
});
afterAll(() => system.close());

test('a stopping server reports that it is not ready, still answers, then closes its port and exits', async () => {
  const stopping = await system.startServer({ DRAIN_NOTICE_MS: '3000' });
  const at = stopping.url;
  const sale = await system.createSale();
  expect((await system.api('GET', '/readyz', { at })).body).toMatchObject({ status: 'ready' });

  process.kill(stopping.pid, 'SIGTERM');
  const notice = await waitUntil(
    async () => {
      const answer = await system.api('GET', '/readyz', { at });
      return answer.status === 503 ? answer : null;
    },
    { deadlineMs: 2_500, what: 'it still says that it is ready' },
  );
  expect(notice.body).toEqual({ status: 'stopping', dependencies: {} });
  expect(notice.headers.get('connection')).toBe('close');
  expect((await system.api('GET', '/healthz', { at })).status).toBe(200);
  const { status, body } = await system.buy(sale.id, system.buyerToken('late'), { at });
  expect(status).toBe(202);

  expect(await stopping.ended).toBe('exit code 0');
  await expect(fetch(`${at}/healthz`)).rejects.toThrow();
  expect(await system.settled(body.orderId, system.buyerToken('late'))).toMatchObject({ status: 'paid' });
});
