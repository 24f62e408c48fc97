import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readSigningKeys } from '../../runtime/signing-keys.ts';
import { readJob } from '../../sale/queue/queue.ts';
import { networkOf } from '../../server/http/client-address.ts';
import { sessionTokenIn } from '../../server/http/identity/session-cookie.ts';
import { bearerOf, openTokens } from '../../server/http/identity/tokens.ts';
import { idempotencyKey } from '../../server/http/inputs.ts';
import { parse } from '../../server/http/pipeline.ts';
import { isRefusal } from '../../server/http/problems.ts';
import { traceparentOf } from '../../server/http/trace-context.ts';
import { apiRoutes } from '../../server/routes/routes.ts';
import type { Shop } from '../../server/shop.ts';
import { parseCursor } from '../../store/time-cursor.ts';

/** The same inputs in every run, unless FUZZ_SEED is set. */
fc.configureGlobal({
  seed: Number(process.env.FUZZ_SEED ?? 1),
  numRuns: Number(process.env.FUZZ_RUNS ?? 500),
});

/** Hostile JSON: keys with a meaning in JavaScript or MongoDB, and numbers at the limits. */
const json = fc
  .jsonValue({ maxDepth: 3 })
  .chain((value) =>
    fc.constantFrom(
      value,
      { $gt: value },
      [value],
      { __proto__: value },
      JSON.parse('{"__proto__": {"a": 1}}'),
    ),
  );
const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(-0, 1e21, 2 ** 53, Number.MIN_VALUE));
const field = fc.oneof(json, number, fc.string(), fc.string({ unit: 'binary' }));

const inputs = apiRoutes({} as Shop, () => null).flatMap(({ method, path, params, query, body }) =>
  Object.entries({ params, query, body }).flatMap(([where, schema]) =>
    schema ? [[`${where} of ${method} ${path}`, schema, where] as const] : [],
  ),
);
const fieldsOf = (schema: object) => {
  const { shape = {} } = schema as { shape?: object };
  return Object.keys(shape);
};

test.each(inputs)(
  '%s: any input is reduced to its own fields or refused with 400',
  (_what, schema, where) => {
    const known = fieldsOf(schema);
    const anything = fc.oneof(
      json,
      fc.dictionary(fc.constantFrom(...known, '__proto__', '$where', 'role'), field),
    );
    fc.assert(
      fc.property(anything, (value) => {
        const taken = parse(schema, value, where);
        if (isRefusal(taken)) {
          expect(taken.problem.status).toBe(400);
          expect(taken.problem.errors?.length).toBeGreaterThan(0);
        } else {
          for (const name of Object.keys(taken as object)) expect(known).toContain(name);
          expect(Object.getPrototypeOf(taken)).toBe(Object.prototype);
        }
      }),
    );
  },
);

const purchase = fc.record(
  {
    orderId: fc.oneof(fc.string({ minLength: 22, maxLength: 22 }), field),
    saleId: fc.oneof(fc.string({ minLength: 1 }), field),
    buyerId: fc.oneof(fc.string({ minLength: 1 }), field),
    quantity: fc.oneof(fc.integer({ min: 1 }), number, field),
    idempotencyKey: fc.oneof(fc.string({ minLength: 1 }), field),
    createdAt: fc.oneof(
      fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
      field,
    ),
  },
  { requiredKeys: [] },
);

test('any job is parsed into valid purchases of at least one unit, and nothing is dropped', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(purchase, json), { minLength: 1, maxLength: 10 }), (written) => {
      const { purchases, malformed } = readJob({ purchases: written });
      expect(purchases.length + malformed.length).toBe(written.length);
      for (const { quantity, orderId, buyerId, saleId } of purchases) {
        expect(Number.isSafeInteger(quantity) && quantity >= 1).toBe(true);
        for (const id of [orderId, buyerId, saleId]) expect(typeof id).toBe('string');
      }
    }),
  );
});

test('a job without a list of purchases is refused', () => {
  fc.assert(
    fc.property(json, (data) => {
      if (Array.isArray((data as { purchases?: unknown } | null)?.purchases)) return;
      expect(() => readJob(data)).toThrow(/^Not a purchase/);
    }),
  );
});

test('a cursor is parsed, or ignored if invalid', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(parseCursor(text)).toBeNull();
    }),
  );
  const cursor = fc.stringMatching(/^\d{13}\.[\w-]{22}$/);
  fc.assert(
    fc.property(cursor, (text) => {
      const read = parseCursor(text);
      expect(`${String(read?.atMs).padStart(13, '0')}.${read?.id}`).toBe(text);
      expect(Number.isNaN(new Date(read?.atMs ?? Number.NaN).getTime())).toBe(false);
    }),
  );
});

const headerText = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.string({ maxLength: 5_000 }));

test('an Authorization header is parsed into a token or nothing, and no invalid token is accepted', () => {
  const tokens = openTokens(
    'new:a-secret-of-at-least-32-characters-1,a-secret-of-at-least-32-characters-2',
    60,
  );
  fc.assert(
    fc.property(headerText, fc.array(fc.base64String(), { maxLength: 4 }), (text, parts) => {
      for (const header of [text, `Bearer ${text}`, `Bearer ${parts.join('.')}`]) {
        const token = bearerOf(header);
        if (token !== null) expect(token).toMatch(/^[\w.-]{1,4096}$/);
        expect(tokens.verify(token ?? header)).toBeNull();
      }
    }),
  );
});

test('an Idempotency-Key is 1 to 255 visible ASCII characters, unchanged', () => {
  fc.assert(
    fc.property(fc.oneof(headerText, fc.stringMatching(/^[\x21-\x7e]{1,255}$/)), (text) => {
      const { success, data } = idempotencyKey.safeParse(text);
      expect(success).toBe(/^[!-~]{1,255}$/.test(text));
      if (success) expect(data).toBe(text);
    }),
  );
});

test('a Cookie header is parsed into a session’s token or nothing', () => {
  const token = fc.stringMatching(/^[\w-]{22}\.[\w-]{43}$/);
  fc.assert(
    fc.property(headerText, token, (text, own) => {
      const found = sessionTokenIn(text);
      if (found !== null) expect(found).toMatch(/^[\w.-]{1,128}$/);
      expect(sessionTokenIn(`a=1; stampede_session=${own}; b=2`)).toBe(own);
      expect(sessionTokenIn(`xstampede_session=${own}`)).toBeNull();
    }),
  );
});

test('a traceparent keeps its ids and the flags that are defined, or becomes a new one', () => {
  const ids = fc.tuple(
    fc.stringMatching(/^[0-9a-f]{31}[1-9a-f]$/),
    fc.stringMatching(/^[0-9a-f]{15}[1-9a-f]$/),
  );
  const form = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]$/;
  fc.assert(
    fc.property(headerText, ids, fc.integer({ min: 0, max: 255 }), (text, [traceId, spanId], flags) => {
      expect(traceparentOf(text)).toMatch(form);
      const hex = flags.toString(16).padStart(2, '0');
      const kept = `00-${traceId}-${spanId}-0${flags & 3}`;
      expect(traceparentOf(`00-${traceId}-${spanId}-${hex}`)).toBe(kept);
      expect(traceparentOf(`cc-${traceId}-${spanId}-${hex}-what-comes-later`)).toBe(kept);
      expect(traceparentOf(`00-${traceId}-${spanId}-${hex}-more`)).not.toContain(traceId);
    }),
  );
});

test('any address becomes a network of bounded length', () => {
  const short = fc.string({ maxLength: 45 });
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), short), (address) => {
      expect(networkOf(address).length).toBeLessThanOrEqual(45);
      expect(networkOf(networkOf(address))).toBe(networkOf(address));
    }),
  );
});

test('a list of keys is parsed into its secrets unchanged', () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9+/=_-]{32,64}$/);
  const kid = fc.stringMatching(/^[\w.-]{1,32}$/);
  fc.assert(
    fc.property(fc.array(fc.record({ kid, secret }), { minLength: 1, maxLength: 4 }), (keys) => {
      expect(readSigningKeys(keys.map(({ kid, secret }) => `${kid}:${secret}`).join(','))).toEqual(keys);
    }),
  );
});
