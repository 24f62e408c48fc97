import { z } from 'zod';
import { problem as problemSchema } from '../../sale/contract.ts';
import { idempotencyKey } from './inputs.ts';
import { type ProblemName, problemTitles } from './problems.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

/** The descriptions of all headers that an answer may have. */
const headerTexts = {
  Location: 'Where to read what was made',
  'Retry-After': 'Seconds after which to ask again',
  ETag: 'Send it as If-None-Match: what has not changed is answered 304',
  'Idempotency-Key': 'The key of this purchase; made up when the request had none',
  'Preference-Applied': 'For how many seconds the answer was held at most',
  'Set-Cookie': 'The session: HttpOnly, SameSite=Strict, sent to /api/sessions only',
} as const;

export type AnswerHeader = keyof typeof headerTexts;

/**
 * Creates the OpenAPI 3.1 document of these routes. It uses zod's own `toJSONSchema`: zod-openapi would replace about 20 lines
 * of it, and its current version requires Node 22.
 */
export function openApiOf(routes: Route[], version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method]: describe(route) };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Stampede',
      version,
      description: 'Flash sales. Errors are RFC 9457 problem details, with a stable `type`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    paths: { ...paths, ...healthPaths },
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        apiKey: { type: 'http', scheme: 'bearer', bearerFormat: '`sk_…`, made in the control room' },
        session: { type: 'apiKey', in: 'cookie', name: 'stampede_session' },
      },
      schemas: { Problem: schemaOf(problemSchema, 'output') },
    },
  };
}

const proofOfWork = {
  name: 'Proof-Of-Work',
  in: 'header',
  description: 'The answer to the puzzle of a `work-required` or `proof-of-work-required`',
  schema: { type: 'string' },
};

const captcha = {
  name: 'Captcha-Token',
  in: 'header',
  description: 'What the form of the captcha’s provider gave for a `captcha-required`; each is valid once',
  schema: { type: 'string' },
};

const roomPass = {
  name: 'Room-Pass',
  in: 'header',
  description: 'The pass of a person who was called; a sale with a waiting room needs one',
  schema: { type: 'string' },
};

const saleCode = {
  name: 'Sale-Code',
  in: 'header',
  description: 'A code that lets its holder into a phase of the sale; letter case and hyphens do not matter',
  schema: { type: 'string', minLength: 1, maxLength: 64 },
};

const ifMatch = {
  name: 'If-Match',
  in: 'header',
  description: 'The ETag of what was read: `precondition-failed` when it has changed since',
  schema: { type: 'string' },
};

const prefer = {
  name: 'Prefer',
  in: 'header',
  description:
    '`wait=N` (RFC 7240) holds the answer until the order is settled, for N seconds and at most 10. The answer says so with Preference-Applied; without it nothing waited, as when too many wait already.',
  schema: { type: 'string', examples: ['wait=10'] },
};

const healthPaths = {
  '/healthz': { get: { summary: 'This process runs', responses: { 200: { description: 'It does' } } } },
  '/readyz': {
    get: {
      summary: 'What it depends on, each by name',
      responses: { 200: { description: 'All are up' }, 503: { description: 'One is not' } },
    },
  },
};

function describe(route: Route): Json {
  const { summary, answer, headers, media = 'application/json' } = route;
  const [status, body] = answer;
  const problems = [...problemsOf(route), ...(route.problems ?? [])];
  const parameters = [
    ...parametersOf(route.params, 'path'),
    ...parametersOf(route.query, 'query'),
    ...(route.takesIdempotencyKey
      ? [{ name: 'Idempotency-Key', in: 'header', schema: schemaOf(idempotencyKey, 'input') }]
      : []),
    ...(route.takesIfMatch ? [ifMatch] : []),
    ...(route.takesProofOfWork ? [proofOfWork] : []),
    ...(route.takesCaptcha ? [captcha] : []),
    ...(route.takesRoomPass ? [roomPass] : []),
    ...(route.takesCode ? [saleCode] : []),
    ...(route.afterWaiting ? [prefer] : []),
  ];
  return {
    operationId: `${route.method} ${route.path}`.replace(/\W+/g, '_').toLowerCase(),
    summary,
    tags: [tagOf(route)],
    ...securityOf(route),
    ...(parameters.length > 0 && { parameters }),
    ...requestBodyOf(route),
    responses: {
      ...(route.afterWaiting && {
        200: responseOf('With `Prefer: wait`: settled in time', route.afterWaiting, [
          'Location',
          'Idempotency-Key',
          'Preference-Applied',
        ]),
      }),
      [status]: responseOf(summary, body, headers, media),
      ...(headers?.includes('ETag') && { 304: { description: 'Not changed' } }),
      ...responsesOf(problems),
    },
  };
}

function responseOf(
  description: string,
  body: z.ZodType | null,
  headers: Route['headers'],
  media = 'application/json',
): Json {
  return {
    description,
    ...(headers && { headers: headersOf(headers) }),
    ...(body && { content: { [media]: { schema: schemaOf(body, 'output') } } }),
  };
}

const tagOf = ({ path }: Route) => path.split('/')[path.startsWith('/api/') ? 2 : 1] ?? 'api';

/** A token's role, and an API key's scope, are named as OpenAPI 3.1 allows it. */
function securityOf({ access, scope, takesSessionCookie }: Route): Json {
  if (takesSessionCookie) return { security: [{ session: [] }] };
  if (access === 'anyone') return {};
  return { security: [{ bearer: [access] }, ...(scope ? [{ apiKey: [scope] }] : [])] };
}

function requestBodyOf({ method, body, file, takesSessionCookie }: Route): Json {
  if (file) return { requestBody: { required: true, content: { [file.type]: {} } } };
  // The renewal of a session requires an empty JSON object: see routes/sessions.ts.
  const isEmptyJson = takesSessionCookie && method === 'post';
  if (!body && !isEmptyJson) return {};
  const schema = body ? schemaOf(body, 'input') : { type: 'object' };
  const content = { 'application/json': { schema } };
  return { requestBody: { required: true, content } };
}

/** The refusals that follow from a route's access and input. */
function problemsOf({ access, params, query, body }: Route): ProblemName[] {
  const problems: ProblemName[] = ['too-many-requests', 'unavailable'];
  if (access !== 'anyone') problems.push('unauthorized');
  if (access !== 'anyone' && access !== 'buyer') problems.push('forbidden');
  if (params || query || body) problems.push('invalid-input');
  if (body) problems.push('body-too-large', 'unsupported-media-type');
  return problems;
}

/** Problems that share a status share a response. */
function responsesOf(names: ProblemName[]): Json {
  const statuses = new Set(names.map((name) => problemTitles[name][0]));
  const sharing = (status: number) => [...new Set(names)].filter((name) => problemTitles[name][0] === status);
  return Object.fromEntries(
    [...statuses].map((status) => [
      status,
      {
        description: sharing(status)
          .map((name) => `\`${name}\`: ${problemTitles[name][1]}`)
          .join('; '),
        ...([429, 503].includes(status) && { headers: headersOf(['Retry-After']) }),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}

function headersOf(names: readonly AnswerHeader[]): Json {
  return Object.fromEntries(
    names.map((name) => [name, { description: headerTexts[name], schema: { type: 'string' } }]),
  );
}

function parametersOf(schema: z.ZodType | undefined, where: 'path' | 'query'): Json[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = schemaOf(schema, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, of]) => ({
    name,
    in: where,
    required: required.includes(name),
    schema: of,
  }));
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' });
  return rest;
}
