import { createRequire } from 'node:module';

const { content } = createRequire(import.meta.url)('bull/lib/scripts/addJob-6') as { content: string };

/** Bull's own script that adds a job, for scripts of ours in which a job is a part of the step. */
export const bullAddJob = {
  lua: content,
  /** Of a queue, in the order in which the script takes them. */
  keys: ['wait', 'paused', 'meta-paused', 'id', 'delayed', 'priority'],
};
