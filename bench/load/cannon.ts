import autocannon from 'autocannon';
import { nanoid } from 'nanoid';
import { type Crowd, type CrowdReport, openTally, requireLoopback } from './closed-loop.ts';

/** The crowd of `pressBuy`, pressed by autocannon: the load that everybody knows, at twice the CPU for each press. */
export async function pressWithAutocannon({
  url,
  tokens,
  saleId,
  presses,
  connections,
  deadlineSeconds,
}: Crowd & { saleId: string }): Promise<CrowdReport> {
  requireLoopback(url);
  const crowd = nanoid(8); // The same buyers may come again; their presses are new ones.
  const tally = openTally(presses);
  let pressed = 0;

  const press: autocannon.Request = {
    method: 'POST',
    path: `/api/sales/${saleId}/purchases`,
    body: '{"quantity":1}',
    setupRequest(request, context) {
      const authorization = `Bearer ${tokens[pressed % tokens.length]}`;
      const key = `${crowd}-${pressed++}`;
      (context as { pressedAt: number }).pressedAt = performance.now();
      request.headers = { 'content-type': 'application/json', authorization, 'idempotency-key': key };
      return request;
    },
    onResponse(status, body, context) {
      tally.count({ status, body }, performance.now() - (context as { pressedAt: number }).pressedAt);
    },
  };
  const options = {
    url,
    connections: Math.min(connections, presses),
    amount: presses,
    timeout: deadlineSeconds,
  };
  const { errors } = await new Promise<autocannon.Result>((resolve, reject) => {
    const load = autocannon({ ...options, requests: [press] }, (error, result) =>
      error ? reject(error) : resolve(result),
    );
    const late = setTimeout(() => load.stop(), deadlineSeconds * 1_000);
    load.on('done', () => clearTimeout(late));
  });
  for (let n = 0; n < errors; n++) tally.count(null, 0);
  return tally.report();
}
