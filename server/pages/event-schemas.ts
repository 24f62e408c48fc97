import type { z } from 'zod';
import { type EventType, eventSchemas, jsonSchemaOf } from '../../log/schemas.ts';
import { type Refusal, refuse } from '../http/problems.ts';
import type { Answer, Call } from '../http/route.ts';
import type { byEventType } from '../routes/inputs.ts';

/** What an event's `dataschema` points to. */
export function showEventSchema({
  params: { type },
}: Call<z.infer<typeof byEventType>, unknown, unknown, null>): Answer | Refusal {
  if (!Object.hasOwn(eventSchemas, type)) return refuse('not-found', `There are no events ${type}`);
  return {
    status: 200,
    body: jsonSchemaOf(type as EventType),
    headers: { 'Cache-Control': 'public, max-age=3600' },
  };
}
