import { createRequire } from 'node:module';

const { content } = createRequire(import.meta.url)('bull/lib/scripts/addJob-6') as { content: string };

/** Bull's own script that adds a job, for embedding in our scripts, so that a job is added in the same atomic step. */
export const bullAddJob = {
  lua: content,
  /** Names of the queue's keys, in the order of the script's KEYS. */
  keys: ['wait', 'paused', 'meta-paused', 'id', 'delayed', 'priority'],
};
