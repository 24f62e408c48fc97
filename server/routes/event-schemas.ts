import { z } from 'zod';
import { type EventType, eventSchemas, jsonSchemaOf } from '../../log/schemas.ts';
import { refuse } from '../http/problems.ts';
import { type Route, route } from '../http/route.ts';

export const eventSchemaRoutes = (): Route[] => [
  route({
    method: 'get',
    path: '/schemas/:type/1',
    access: 'anyone',
    summary: 'JSON Schema of the data of an event, as its `dataschema` says',
    params: z.strictObject({ type: z.string().max(64) }),
    answer: [200, z.looseObject({ $schema: z.string() })],
    problems: ['not-found'],
    handle({ params: { type } }) {
      if (!Object.hasOwn(eventSchemas, type)) return refuse('not-found', `There are no events ${type}`);
      return {
        status: 200,
        body: jsonSchemaOf(type as EventType),
        headers: { 'Cache-Control': 'public, max-age=3600' },
      };
    },
  }),
];
