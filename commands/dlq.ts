import { Emitter } from '@socket.io/redis-emitter';
import { logStaffAction } from '../accounts/staff-log.ts';
import type { EventBus } from '../messages/bus.ts';
import { openBus } from '../messages/open-bus.ts';
import { openLog } from '../runtime/observe/log.ts';
import { discard } from '../sale/settlement/dead-letters.ts';
import { byCommand, openSystem, runCommand, type System } from './system.ts';

const usage = `expected one of
  npm run dlq -- list            the newest 20, one JSON line each, and how many more there are
  npm run dlq -- show ID         all of one
  npm run dlq -- republish ID…   back into the queue, to be decided again
  npm run dlq -- discard ID…     away for good; its buyers' orders stay rejected
and of the events that a subscription (analytics, notifications, webhooks) could not handle
  npm run dlq -- events list SUBSCRIPTION              the oldest 20, one JSON line each
  npm run dlq -- events republish SUBSCRIPTION EVENT…  back into its queue
  npm run dlq -- events discard SUBSCRIPTION EVENT…    away for good`;

const by = byCommand('npm run dlq');

const actions: Record<string, (system: System, id: string) => Promise<void>> = {
  async list({ queue }) {
    const letters = await queue.listDeadLetters();
    for (const { id, reason, attempts, failedAt } of letters) {
      console.log(JSON.stringify({ id, reason, attempts, failedAt }));
    }
    const { failed } = await queue.countJobs();
    if (failed > letters.length) console.log(JSON.stringify({ more: failed - letters.length }));
  },
  async show({ queue }, id) {
    console.log(JSON.stringify(await queue.findDeadLetter(id), null, 2));
  },
  async republish({ queue, collections }, id) {
    const isThere = (await queue.findDeadLetter(id)) !== null;
    const entry = { ...by, action: 'dead_letter.republished', subject: { kind: 'dead_letter', id } };
    if (isThere) await logStaffAction(collections, entry);
    const isBack = isThere && (await queue.republish(id));
    console.log(`${id}: ${isBack ? 'republished' : 'there is no such dead letter'}`);
  },
  async discard({ queue, collections, gate, redis }, id) {
    const emitter = new Emitter(redis);
    const announceSettled = (settled: object) => emitter.serverSideEmit('settled', settled);
    const gone = await discard({ queue, collections, gate, announceSettled }, id, by);
    console.log(`${id}: ${gone ? 'discarded' : 'there is no such dead letter'}`);
  },
};

type EventAction = (bus: EventBus, name: string, eventId: string) => Promise<void>;

const eventActions: Record<string, EventAction> = {
  async list(bus, name) {
    const { total, letters } = await bus.listDeadLetters(name, 20);
    for (const letter of letters) console.log(JSON.stringify(letter));
    if (total > letters.length) console.log(JSON.stringify({ more: total - letters.length }));
  },
  async republish(bus, name, eventId) {
    const isBack = await bus.republish(name, eventId);
    console.log(`${eventId}: ${isBack ? 'republished' : 'there is no such dead letter'}`);
  },
  async discard(bus, name, eventId) {
    const isGone = await bus.discard(name, eventId);
    console.log(`${eventId}: ${isGone ? 'discarded' : 'there is no such dead letter'}`);
  },
};

/** @returns the action for these arguments; null when they are invalid. */
function readCommand(words: string[]): ((system: System) => Promise<void>) | null {
  const [action = '', ...ids] = words;
  if (action === 'events') return readEventCommand(ids);
  const act = Object.hasOwn(actions, action) && actions[action];
  if (!act || (action === 'list') !== (ids.length === 0)) return null;
  return async (system) => {
    for (const id of action === 'list' ? [''] : ids) await act(system, id);
  };
}

function readEventCommand([action = '', name, ...ids]: string[]) {
  const act = Object.hasOwn(eventActions, action) && eventActions[action];
  if (!act || !name || (action === 'list') !== (ids.length === 0)) return null;
  return async ({ config, collections }: System) => {
    const bus = openBus(config, openLog(config, 'command'), () => false);
    try {
      for (const id of action === 'list' ? [''] : ids) {
        const subject = { kind: 'event', id: `${name}/${id}` };
        if (action !== 'list')
          await logStaffAction(collections, { ...by, action: `event.${action}ed`, subject });
        await act(bus, name, id);
      }
    } finally {
      await bus.close();
    }
  };
}

/** `npm run dlq`: lists, republishes and discards dead letters: jobs and events that failed in all their attempts. */
await runCommand(async () => {
  const run = readCommand(process.argv.slice(2));
  if (!run) throw new Error(usage);
  const system = await openSystem();
  try {
    await run(system);
  } finally {
    await system.close();
  }
});
