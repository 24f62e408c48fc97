import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitUntil } from '../../ops/local/processes/process.mjs';

/**
 * Waits until RabbitMQ has persisted these quorum queues. RabbitMQ 3.10 writes its list of queues a second or two after it
 * created one, and loses the queue when it is killed before.
 */
export async function queuesAreRegistered(dataDir: string, queues: string[]): Promise<void> {
  const register = join(dataDir, 'data/stampede@localhost/quorum/stampede@localhost/names.dets');
  await waitUntil(
    async () => {
      const content = await readFile(register, 'latin1');
      // Names are prefixed by their length, as in Erlang's format, because one may be a prefix of another.
      const names = queues.map((queue) => `%2F_${queue}`);
      return names.every((name) => content.includes(String.fromCharCode(name.length) + name));
    },
    { deadlineMs: 20_000, what: `RabbitMQ has ${queues} on the disk` },
  );
}
