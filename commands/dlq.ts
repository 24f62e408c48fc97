import { Emitter } from '@socket.io/redis-emitter';
import { discard } from '../sale/dead-letters.ts';
import { openSystem, runCommand, type System } from './system.ts';

const usage = `expected one of
  npm run dlq -- list            the newest 20, one JSON line each
  npm run dlq -- show ID         all of one
  npm run dlq -- republish ID…   back into the queue, to be decided again
  npm run dlq -- discard ID…     away for good; its buyers' orders stay rejected`;

const actions: Record<string, (system: System, id: string) => Promise<void>> = {
  async list({ queue }) {
    for (const { id, reason, attempts, failedAt } of await queue.listDeadLetters()) {
      console.log(JSON.stringify({ id, reason, attempts, failedAt }));
    }
  },
  async show({ queue }, id) {
    console.log(JSON.stringify(await queue.findDeadLetter(id), null, 2));
  },
  async republish({ queue }, id) {
    console.log(`${id}: ${(await queue.republish(id)) ? 'republished' : 'there is no such dead letter'}`);
  },
  async discard({ queue, collections, gate, redis }, id) {
    const emitter = new Emitter(redis);
    const announceSettled = (settled: object) => emitter.serverSideEmit('settled', settled);
    const gone = await discard({ queue, collections, gate, announceSettled }, id);
    console.log(`${id}: ${gone ? 'discarded' : 'there is no such dead letter'}`);
  },
};

/** `npm run dlq`: dead letters, the jobs that failed as often as they are tried. */
await runCommand(async () => {
  const [action, ...ids] = process.argv.slice(2);
  const act = actions[action ?? ''];
  if (!act || (action === 'list') !== (ids.length === 0)) throw new Error(usage);
  const system = await openSystem();
  try {
    if (action === 'list') await act(system, '');
    for (const id of ids) await act(system, id);
  } finally {
    await system.close();
  }
});
