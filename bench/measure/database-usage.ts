import type { System } from '../../commands/system.ts';

/** Commands that MongoDB and Redis executed, and the bytes on the wire in both directions. */
export interface Traffic {
  redisCommands: number;
  redisBytes: number;
  mongoCommands: number;
  mongoBytes: number;
}

/**
 * Counts the commands of all clients of the system's databases. Redis counts each command inside a script as one command;
 * its bytes are those on the wire.
 * @returns a function that returns the counts since this call.
 */
export async function countDatabaseTraffic(system: System): Promise<() => Promise<Traffic>> {
  const before = await readTraffic(system);
  return async () => {
    const after = await readTraffic(system);
    return {
      redisCommands: after.redisCommands - before.redisCommands,
      redisBytes: after.redisBytes - before.redisBytes,
      mongoCommands: after.mongoCommands - before.mongoCommands,
      mongoBytes: after.mongoBytes - before.mongoBytes,
    };
  };
}

async function readTraffic({ collections, redis }: System): Promise<Traffic> {
  const info = await redis.info('stats');
  const stat = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1]);
  const { network } = (await collections.connection.db?.command({ serverStatus: 1 })) ?? {};
  return {
    redisCommands: stat('total_commands_processed'),
    redisBytes: stat('total_net_input_bytes') + stat('total_net_output_bytes'),
    mongoCommands: Number(network.numRequests),
    mongoBytes: Number(network.bytesIn) + Number(network.bytesOut),
  };
}

/**
 * Counts reads and writes of documents in MongoDB, and jobs added to the queue. The drivers' own heartbeats are left out.
 */
export async function countDatabaseWork(
  system: System,
): Promise<() => Promise<{ mongoOperations: number; jobs: number }>> {
  const before = await readWork(system);
  return async () => {
    const after = await readWork(system);
    return {
      mongoOperations: after.mongoOperations - before.mongoOperations,
      jobs: after.jobs - before.jobs,
    };
  };
}

async function readWork({ collections, redis, queue }: System) {
  const { opcounters } = (await collections.connection.db?.command({ serverStatus: 1 })) ?? {};
  const kinds = ['query', 'getmore', 'insert', 'update', 'delete'];
  // Bull numbers its jobs consecutively.
  const ids = await Promise.all(queue.bulls.map((bull) => redis.get(bull.toKey('id'))));
  const jobs = ids.reduce((sum, id) => sum + Number(id ?? 0), 0);
  return { mongoOperations: kinds.reduce((total, kind) => total + Number(opcounters[kind]), 0), jobs };
}

/**
 * The mean duration of Redis' scripts and MongoDB's transactions, as the databases themselves measure it.
 * @returns a function that returns the means, in ms, since its last call.
 */
export function watchDatabaseLatency(system: System) {
  let before = readLatencies(system);
  return async () => {
    const [from, to] = [await before, await readLatencies(system)];
    before = Promise.resolve(to);
    const each = (what: 'scripts' | 'transactions') => {
      const count = to[what].count - from[what].count;
      return count > 0 ? (to[what].micros - from[what].micros) / count / 1_000 : null;
    };
    return { redisScriptMs: each('scripts'), mongoTransactionMs: each('transactions') };
  };
}

async function readLatencies({ collections, redis }: System) {
  const stats = /^cmdstat_evalsha:calls=(\d+),usec=(\d+)/m.exec(await redis.info('commandstats'));
  const { opLatencies } = (await collections.connection.db?.command({ serverStatus: 1 })) ?? {};
  const { ops, latency } = opLatencies.transactions;
  return {
    scripts: { count: Number(stats?.[1] ?? 0), micros: Number(stats?.[2] ?? 0) },
    transactions: { count: Number(ops), micros: Number(latency) },
  };
}
