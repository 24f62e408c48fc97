import type { z } from 'zod';
import type { EventType } from '../sale/contract.ts';
import { eventSchemas, jsonSchemaOf } from '../sale/event-schemas.ts';
import type { byEventType } from './inputs.ts';
import { HttpProblem } from './problems.ts';
import type { Answer, Call } from './route.ts';

/** What an event's `dataschema` points to. */
export function showEventSchema({ params: { type } }: Call<z.infer<typeof byEventType>>): Answer {
  if (!Object.hasOwn(eventSchemas, type)) throw new HttpProblem('not-found', `There are no events ${type}`);
  return {
    status: 200,
    body: jsonSchemaOf(type as EventType),
    headers: { 'Cache-Control': 'public, max-age=3600' },
  };
}
