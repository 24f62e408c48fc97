import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { nanoid } from 'nanoid';
import { type Dependencies, healthRoutes } from '../../../runtime/observe/health.ts';
import type { Purchase } from '../../../sale/contract.ts';
import { orderIdOf } from '../../../sale/order.ts';
import { bearerOf, openTokens } from '../../../server/http/identity/tokens.ts';
import { byId, idempotencyKey } from '../../../server/http/inputs.ts';
import { purchaseRequest } from '../../../server/routes/purchases.ts';

/** Resolves with the refusal that is answered as 409, or with null when the purchase is accepted. */
export type Buy = (purchase: Purchase) => Promise<string | null>;

/** An Express app with one route, as a good tutorial would write it: helmet, a JWT, zod, and the handler. */
export function createPlainApp(buy: Buy, jwtSecret: string, dependencies: Dependencies): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(helmet());
  app.use(healthRoutes(dependencies));
  const steps = [requireBuyer(jwtSecret), express.json({ limit: '16kb' })];
  app.post('/api/sales/:id/purchases', ...steps, async (request, response) => {
    const { id: saleId } = byId.parse(request.params);
    const { quantity = 1 } = purchaseRequest.parse(request.body);
    const key = idempotencyKey.parse(request.get('idempotency-key') ?? nanoid());
    const buyerId: string = response.locals.buyerId;
    const orderId = orderIdOf(buyerId, saleId, key);
    const createdAt = new Date().toISOString();
    const refusal = await buy({ orderId, saleId, buyerId, quantity, idempotencyKey: key, createdAt });
    if (refusal) {
      const type = `/problems/${refusal.replace('_', '-')}`;
      response.status(409).json({ type, title: refusal, status: 409 });
    } else {
      response.status(202).location(`/api/orders/${orderId}`).json({ orderId, status: 'queued' });
    }
  });
  app.use(answerFault);
  return app;
}

function requireBuyer(jwtSecret: string): RequestHandler {
  const tokens = openTokens(jwtSecret, 3_600);
  return (request, response, next) => {
    const token = bearerOf(request.get('authorization'));
    const identity = token && tokens.verify(token);
    if (!identity) {
      response.status(401).json({ type: '/problems/unauthorized', title: 'Unauthorized', status: 401 });
      return;
    }
    response.locals.buyerId = identity.userId;
    next();
  };
}

const answerFault: ErrorRequestHandler = (error, _request, response, _next) => {
  const status = error.name === 'ZodError' ? 400 : (error.status ?? 500);
  response.status(status).json({ type: '/problems/fault', title: error.message, status });
};
