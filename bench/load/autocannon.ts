import autocannon from 'autocannon';
import { nanoid } from 'nanoid';
import { type Load, type LoadReport, recordAnswers, requireLoopback } from './closed-loop.ts';

/** The closed-loop load of `pressBuy`, made by autocannon: widely known, but it takes twice the CPU for each request. */
export async function pressWithAutocannon({
  url,
  tokens,
  saleId,
  presses,
  connections,
  deadlineSeconds,
}: Load & { saleId: string }): Promise<LoadReport> {
  requireLoopback(url);
  const keyPrefix = nanoid(8); // A second run with the same buyers must not repeat the keys of the first.
  const recorder = recordAnswers(presses);
  let pressed = 0;

  const press: autocannon.Request = {
    method: 'POST',
    path: `/api/sales/${saleId}/purchases`,
    body: '{"quantity":1}',
    setupRequest(request, context) {
      const authorization = `Bearer ${tokens[pressed % tokens.length]}`;
      const key = `${keyPrefix}-${pressed++}`;
      (context as { pressedAt: number }).pressedAt = performance.now();
      request.headers = { 'content-type': 'application/json', authorization, 'idempotency-key': key };
      return request;
    },
    onResponse(status, body, context) {
      recorder.count({ status, body }, performance.now() - (context as { pressedAt: number }).pressedAt);
    },
  };
  const options = {
    url,
    connections: Math.min(connections, presses),
    amount: presses,
    timeout: deadlineSeconds,
  };
  const { errors } = await new Promise<autocannon.Result>((resolve, reject) => {
    const cannon = autocannon({ ...options, requests: [press] }, (error, result) =>
      error ? reject(error) : resolve(result),
    );
    const timeout = setTimeout(() => cannon.stop(), deadlineSeconds * 1_000);
    cannon.on('done', () => clearTimeout(timeout));
  });
  for (let n = 0; n < errors; n++) recorder.count(null, 0);
  return recorder.report();
}
