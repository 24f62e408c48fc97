import { serve } from './serve.ts';

/** Node's HTTP server alone: it reads the body and answers every request alike. */
const answer = JSON.stringify({ orderId: 'x'.repeat(22), status: 'queued' });
const headers = { 'Content-Type': 'application/json', 'Content-Length': answer.length };

await serve((request, response) => {
  request.resume().once('end', () => {
    const status = request.method === 'POST' ? 202 : 200;
    response.writeHead(status, headers).end(answer);
  });
});
