import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { nanoid } from 'nanoid';
import { Stripe } from 'stripe';

export const webhookSecret = 'whsec_of_the_stand_in';

/** What a buyer's attempt to pay comes to. `automatic`: a method that cannot be authorised first. */
type Confirmation = 'ok' | 'declined' | 'processing' | 'automatic';

/**
 * What goes wrong with the next request to a path. `500`: the work is done and the answer is an error; `hang`: it is done and
 * there is no answer; `refused`: it is not done.
 */
type Fault = '500' | 'hang' | 'reset' | '429' | 'refused';

interface Intent {
  id: string;
  object: 'payment_intent';
  amount: number;
  amount_received: number;
  currency: string;
  capture_method: string;
  status: Stripe.PaymentIntent.Status;
  client_secret: string;
  metadata: Record<string, string>;
  last_payment_error: { type: string; code: string; decline_code: string } | null;
  latest_charge: string | null;
  created: number;
}

interface Refund {
  id: string;
  object: 'refund';
  amount: number;
  currency: string;
  payment_intent: string;
  status: 'succeeded' | 'pending' | 'failed';
  metadata: Record<string, string>;
}

interface Reply {
  status: number;
  body: object;
}

interface Event {
  id: string;
  object: 'event';
  type: string;
  created: number;
  data: { object: object };
}

/**
 * A stand-in for Stripe's API, as far as the shop uses it: form-encoded requests, idempotency keys with their replays, and
 * signed webhooks. Unlike stripe-mock it remembers payments.
 */
export interface StripeStandIn {
  url: string;
  intents: Map<string, Intent>;
  refunds: Refund[];
  /** How many requests came to a path, by `METHOD /path` with the ids left out. */
  counts: Map<string, number>;
  /** Where webhooks are posted; null sends none. */
  webhookUrl: string | null;
  /** Every event, in the order in which they happened, also those that were not sent. */
  events: Event[];
  /** What goes wrong with the next requests whose path ends so, one after the other. */
  fail(pathEnd: string, ...faults: Fault[]): void;
  /** Does what Stripe's form in the page does. */
  confirm(clientSecret: string, how?: Confirmation): Intent;
  /** Ends what was being processed. */
  finish(intentId: string): void;
  /** Gives money back without the shop, as in Stripe's dashboard: its event has no metadata of the shop. */
  refundElsewhere(intentId: string, amount: number): void;
  /** Ends an authorisation as Stripe does after some days. */
  expire(intentId: string): void;
  /** Changes a refund as the buyer's bank does. */
  changeRefund(refundId: string, status: Refund['status']): void;
  /** Posts an event, signed now or at another time or with another secret. @returns the status of the answer. */
  post(event: object, options?: { at?: Date; secret?: string; url?: string }): Promise<number>;
  /** The money that was captured and not refunded, by payment of the shop. */
  balances(): Map<string, number>;
  close(): Promise<void>;
}

const problem = (status: number, type: string, code: string): Reply => ({
  status,
  body: { error: { type, code, message: `The stand-in says ${code}` } },
});

export async function openStripeStandIn(): Promise<StripeStandIn> {
  const intents = new Map<string, Intent>();
  const refunds: Refund[] = [];
  const events: Event[] = [];
  const counts = new Map<string, number>();
  const faults: { pathEnd: string; fault: Fault }[] = [];
  const replies = new Map<string, { content: string; reply: Reply | null }>();

  const server = createServer((request, response) => void serve(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://stand-in');
    const content = Buffer.concat(chunks).toString();
    const method = request.method ?? '';
    const name = `${method} ${pathname.replace(/(pi|re)_[\w-]+/, ':id')}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);

    const index = faults.findIndex(({ pathEnd }) => pathname.endsWith(pathEnd) && method === 'POST');
    const [failing] = index === -1 ? [] : faults.splice(index, 1);
    const fault = failing?.fault;
    if (fault === 'reset') return void request.socket.destroy();
    if (fault === '429') return answer(response, problem(429, 'rate_limit_error', 'rate_limit'));
    const key = String(request.headers['idempotency-key'] ?? nanoid());
    const known = method === 'POST' ? replies.get(key) : undefined;
    if (known && known.content !== pathname + content)
      return answer(response, problem(400, 'idempotency_error', 'keys_differ'));
    if (known && !known.reply)
      return answer(response, problem(409, 'idempotency_error', 'idempotency_key_in_use'));
    if (known?.reply) return answer(response, known.reply, { 'Idempotent-Replayed': 'true' });

    const entry: { content: string; reply: Reply | null } = { content: pathname + content, reply: null };
    if (method === 'POST') replies.set(key, entry);
    const done =
      fault === 'refused'
        ? problem(402, 'invalid_request_error', 'balance_insufficient')
        : handle(method, pathname, new URLSearchParams(content), searchParams);
    entry.reply = fault === '500' ? problem(500, 'api_error', 'internal') : done;
    if (fault === 'hang') return void request.socket.once('close', () => response.destroy());
    // As Stripe does: it is replayed to a repetition anyway.
    answer(response, entry.reply, fault === '500' ? { 'Stripe-Should-Retry': 'false' } : {});
  }

  function handle(method: string, path: string, form: URLSearchParams, query: URLSearchParams): Reply {
    const [, id = '', action = ''] = /^\/v1\/payment_intents\/([\w-]+)(?:\/(\w+))?$/.exec(path) ?? [];
    const intent = intents.get(id);
    if (id && !intent) return problem(404, 'invalid_request_error', 'resource_missing');
    if (method === 'POST' && path === '/v1/payment_intents') return { status: 200, body: create(form) };
    if (method === 'POST' && path === '/v1/refunds') return refund(form);
    if (method === 'GET' && path === '/v1/refunds')
      return listOf(refundsOf(query.get('payment_intent') ?? ''));
    if (method === 'GET' && path === '/v1/payment_intents') return listIntents(query);
    if (method === 'GET' && intent) return { status: 200, body: expanded(intent) };
    if (action === 'capture' && intent) return move(intent, ['requires_capture'], 'succeeded');
    if (action === 'cancel' && intent)
      return move(intent, ['requires_payment_method', 'requires_capture', 'requires_action'], 'canceled');
    return problem(404, 'invalid_request_error', 'url_unknown');
  }

  function create(form: URLSearchParams): Intent {
    const id = `pi_${nanoid()}`;
    const intent: Intent = {
      id,
      object: 'payment_intent',
      amount: Number(form.get('amount')),
      amount_received: 0,
      currency: form.get('currency') ?? '',
      capture_method: form.get('capture_method') ?? '',
      status: 'requires_payment_method',
      client_secret: `${id}_secret_${nanoid()}`,
      metadata: metadataOf(form),
      last_payment_error: null,
      latest_charge: null,
      created: Math.floor(Date.now() / 1_000),
    };
    intents.set(id, intent);
    happen('payment_intent.created', intent);
    return intent;
  }

  function move(intent: Intent, from: Intent['status'][], to: Intent['status']): Reply {
    if (!from.includes(intent.status))
      return problem(400, 'invalid_request_error', 'payment_intent_unexpected_state');
    change(intent, to);
    return { status: 200, body: intent };
  }

  function change(intent: Intent, to: Intent['status']): void {
    intent.status = to;
    if (to === 'succeeded') intent.amount_received = intent.amount;
    if (to === 'succeeded' || to === 'requires_capture') intent.latest_charge = `ch_${intent.id}`;
    const types: Partial<Record<Intent['status'], string>> = {
      requires_capture: 'amount_capturable_updated',
      requires_payment_method: 'payment_failed',
    };
    happen(`payment_intent.${types[to] ?? to}`, intent);
  }

  const refundsOf = (intentId: string) => refunds.filter(({ payment_intent }) => payment_intent === intentId);
  const refundedOf = (intentId: string) =>
    refundsOf(intentId)
      .filter(({ status }) => status !== 'failed')
      .reduce((sum, { amount }) => sum + amount, 0);

  function refund(form: URLSearchParams): Reply {
    const intent = intents.get(form.get('payment_intent') ?? '');
    const amount = Number(form.get('amount'));
    if (!intent) return problem(404, 'invalid_request_error', 'resource_missing');
    if (refundedOf(intent.id) + amount > intent.amount_received)
      return problem(400, 'invalid_request_error', 'charge_already_refunded');
    const made: Refund = {
      id: `re_${nanoid()}`,
      object: 'refund',
      amount,
      currency: intent.currency,
      payment_intent: intent.id,
      status: 'succeeded',
      metadata: metadataOf(form),
    };
    refunds.push(made);
    happen('refund.created', made);
    return { status: 200, body: made };
  }

  const expanded = (intent: Intent) => ({
    ...intent,
    latest_charge: intent.latest_charge && {
      id: intent.latest_charge,
      object: 'charge',
      amount_refunded: refundedOf(intent.id),
    },
  });

  function listIntents(query: URLSearchParams): Reply {
    const since = Number(query.get('created[gte]'));
    const all = [...intents.values()].filter(({ created }) => created >= since).reverse();
    const start = all.findIndex(({ id }) => id === query.get('starting_after')) + 1;
    // Small pages, so that the caller has to read on.
    const page = all.slice(start, start + 2);
    return listOf(page.map(expanded), start + 2 < all.length);
  }

  const listOf = (data: object[], has_more = false): Reply => ({
    status: 200,
    body: { object: 'list', data, has_more, url: '/v1/list' },
  });

  function happen(type: string, object: object): void {
    const created = Math.floor(Date.now() / 1_000);
    const event: Event = {
      id: `evt_${nanoid()}`,
      object: 'event',
      type,
      created,
      data: { object: { ...object } },
    };
    events.push(event);
    if (standIn.webhookUrl) void post(event).catch(() => {});
  }

  const post: StripeStandIn['post'] = async (
    event,
    { at = new Date(), secret = webhookSecret, url } = {},
  ) => {
    const payload = JSON.stringify(event);
    const timestamp = Math.floor(at.getTime() / 1_000);
    const signature = Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });
    const response = await fetch(url ?? standIn.webhookUrl ?? '', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json; charset=utf-8', 'Stripe-Signature': signature },
      body: payload,
    });
    return response.status;
  };

  const standIn: StripeStandIn = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    intents,
    refunds,
    events,
    counts,
    webhookUrl: null,
    fail: (pathEnd, ...more) => void faults.push(...more.map((fault) => ({ pathEnd, fault }))),
    confirm(clientSecret, how = 'ok') {
      const intent = [...intents.values()].find(({ client_secret }) => client_secret === clientSecret);
      if (!intent) throw new Error('There is no intent with this secret');
      if (intent.status !== 'requires_payment_method') return intent;
      const declined = { type: 'card_error', code: 'card_declined', decline_code: 'insufficient_funds' };
      intent.last_payment_error = how === 'declined' ? declined : null;
      const status = {
        declined: 'requires_payment_method',
        processing: 'processing',
        automatic: 'succeeded',
      } as const;
      change(intent, how === 'ok' ? 'requires_capture' : status[how]);
      return intent;
    },
    finish: (intentId) => change(intents.get(intentId) as Intent, 'requires_capture'),
    refundElsewhere(intentId, amount) {
      refund(new URLSearchParams({ payment_intent: intentId, amount: String(amount) }));
    },
    expire: (intentId) => change(intents.get(intentId) as Intent, 'canceled'),
    changeRefund(refundId, status) {
      const found = refunds.find(({ id }) => id === refundId);
      if (!found) throw new Error(`There is no refund ${refundId}`);
      found.status = status;
      happen(status === 'failed' ? 'refund.failed' : 'refund.updated', found);
    },
    post,
    balances: () =>
      new Map(
        [...intents.values()].map((intent) => [
          intent.metadata.payment ?? '',
          intent.amount_received - refundedOf(intent.id),
        ]),
      ),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return standIn;
}

function metadataOf(form: URLSearchParams): Record<string, string> {
  const entries = [...form].flatMap(([name, value]) => {
    const key = /^metadata\[(\w+)\]$/.exec(name)?.[1];
    return key ? [[key, value] as const] : [];
  });
  return Object.fromEntries(entries);
}

async function answer(
  response: ServerResponse,
  { status, body }: Reply,
  headers: Record<string, string> = {},
): Promise<void> {
  // So that two requests with one key can meet.
  await delay(1);
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
