import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { waitUntil } from '../embedded/process.mjs';

/**
 * Waits until a RabbitMQ of embedded/rabbit.mjs would know its quorum queues after a kill. RabbitMQ 3.10 writes its
 * register of them a second or two after it made one; killed before, it has lost that queue.
 * @param madeBeforeMs a time at which the queues were there.
 */
export async function queuesAreRegistered(dataDir: string, madeBeforeMs: number): Promise<void> {
  const register = join(dataDir, 'data/stampede@localhost/quorum/stampede@localhost/names.dets');
  await waitUntil(async () => (await stat(register)).mtimeMs > madeBeforeMs, {
    deadlineMs: 20_000,
    what: 'RabbitMQ has its queues on the disk',
  });
}
