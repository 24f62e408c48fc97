import { z } from 'zod';
import { problem as problemSchema } from '../../sale/contract.ts';
import { idempotencyKey } from '../routes/inputs.ts';
import { headers as headerTexts, type Operation, operations } from '../routes/operations.ts';
import { type ProblemName, problemTitles } from './problems.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

/** The OpenAPI 3.1 document of a table of routes: inputs from the schemas that check them, the rest from operations.ts. */
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
        session: { type: 'apiKey', in: 'cookie', name: 'stampede_session' },
      },
      schemas: { Problem: schemaOf(problemSchema, 'output') },
    },
  };
}

const proofOfWork = {
  name: 'Proof-Of-Work',
  in: 'header',
  description: 'An answer to the challenge of a `work-required`',
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
  const operation = operations[nameOf(route)];
  if (!operation) return { summary: nameOf(route), responses: { default: { description: 'Not described' } } };
  const [status, body] = operation.answer;
  const problems = [...problemsOf(route), ...(operation.problems ?? [])];
  const parameters = [
    ...parametersOf(route.params, 'path'),
    ...parametersOf(route.query, 'query'),
    ...(operation.takesIdempotencyKey
      ? [{ name: 'Idempotency-Key', in: 'header', schema: schemaOf(idempotencyKey, 'input') }]
      : []),
    ...(operation.takesProofOfWork ? [proofOfWork] : []),
    ...(operation.afterWaiting ? [prefer] : []),
  ];
  return {
    operationId: nameOf(route).replace(/\W+/g, '_').toLowerCase(),
    summary: operation.summary,
    tags: [tagOf(route)],
    ...securityOf(route, operation),
    ...(parameters.length > 0 && { parameters }),
    ...requestBodyOf(route, operation),
    responses: {
      ...(operation.afterWaiting && {
        200: responseOf('With `Prefer: wait`: settled in time', operation.afterWaiting, [
          'Location',
          'Idempotency-Key',
          'Preference-Applied',
        ]),
      }),
      [status]: responseOf(operation.summary, body, operation.headers, operation.media),
      ...(operation.headers?.includes('ETag') && { 304: { description: 'Not changed' } }),
      ...responsesOf(problems),
    },
  };
}

function responseOf(
  description: string,
  body: z.ZodType | null,
  headers: Operation['headers'],
  media = 'application/json',
): Json {
  return {
    description,
    ...(headers && { headers: headersOf(headers) }),
    ...(body && { content: { [media]: { schema: schemaOf(body, 'output') } } }),
  };
}

const nameOf = ({ method, path }: Route) => `${method.toUpperCase()} ${path}`;
const tagOf = ({ path }: Route) => path.split('/')[path.startsWith('/api/') ? 2 : 1] ?? 'api';

function securityOf({ access }: Route, { takesSessionCookie }: Operation): Json {
  if (takesSessionCookie) return { security: [{ session: [] }] };
  return access === 'anyone' ? {} : { security: [{ bearer: [] }] };
}

function requestBodyOf({ method, body, fileMaxBytes }: Route, { takesSessionCookie }: Operation): Json {
  if (fileMaxBytes) return { requestBody: { required: true, content: { 'image/*': {} } } };
  // See sessions.ts.
  const isEmptyJson = takesSessionCookie && method === 'post';
  if (!body && !isEmptyJson) return {};
  const schema = body ? schemaOf(body, 'input') : { type: 'object' };
  const content = { 'application/json': { schema } };
  return { requestBody: { required: true, content } };
}

/** The refusals that every route with such an access and input has. */
function problemsOf({ access, params, query, body }: Route): ProblemName[] {
  const problems: ProblemName[] = ['too-many-requests', 'unavailable'];
  if (access !== 'anyone') problems.push('unauthorized');
  if (access === 'admin') problems.push('forbidden');
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

function headersOf(names: readonly (keyof typeof headerTexts)[]): Json {
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
