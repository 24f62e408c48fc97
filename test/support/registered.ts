import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitUntil } from '../../ops/local/processes/process.mjs';

/**
 * Waits until a RabbitMQ of ops/local/databases/rabbit.mjs would know these quorum queues after a kill. RabbitMQ 3.10 writes its
 * register of them a second or two after it made one; killed before, it has lost that queue.
 */
export async function queuesAreRegistered(dataDir: string, queues: string[]): Promise<void> {
  const register = join(dataDir, 'data/stampede@localhost/quorum/stampede@localhost/names.dets');
  await waitUntil(
    async () => {
      const content = await readFile(register, 'latin1');
      // Names as Erlang writes them, behind their length: one may be the beginning of another.
      const names = queues.map((queue) => `%2F_${queue}`);
      return names.every((name) => content.includes(String.fromCharCode(name.length) + name));
    },
    { deadlineMs: 20_000, what: `RabbitMQ has ${queues} on the disk` },
  );
}
