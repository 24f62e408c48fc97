import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitUntil } from '../embedded/process.mjs';

/**
 * Waits until a RabbitMQ of embedded/rabbit.mjs would know these quorum queues after a kill. RabbitMQ 3.10 writes its
 * register of them a second or two after it made one; killed before, it has lost that queue.
 */
export async function queuesAreRegistered(dataDir: string, queues: string[]): Promise<void> {
  const register = join(dataDir, 'data/stampede@localhost/quorum/stampede@localhost/names.dets');
  await waitUntil(
    async () => {
      const content = await readFile(register, 'latin1');
      return queues.every((queue) => content.includes(queue));
    },
    { deadlineMs: 20_000, what: `RabbitMQ has ${queues} on the disk` },
  );
}
