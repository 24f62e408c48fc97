import type { Connection, mongo } from 'mongoose';

/** The fields of a filter that let `mongos` send a command to one shard, by collection. */
const shardKeys: Record<string, string[]> = {
  sales: ['_id'],
  orders: ['saleId'],
  payments: ['saleId'],
  // Their `_id` begins with the sale's.
  allowances: ['_id'],
  events: ['_id', 'saleId'],
  places: ['_id', 'saleId'],
  place_lists: ['_id'],
};

/**
 * Watches the commands of a connection to MongoDB.
 * @returns the shapes of those that `mongos` would send to every shard, although they write or are part of a transaction.
 */
export function watchShardKeys(connection: Connection): Set<string> {
  const found = new Set<string>();
  connection.getClient().on('commandStarted', ({ command, commandName }: mongo.CommandStartedEvent) => {
    const keys = shardKeys[command[commandName]];
    if (!keys) return;
    const isWithin = command.autocommit === false;
    for (const filter of filtersOf(commandName, command, isWithin)) {
      // A test that empties a collection means every shard.
      const isAll = Object.keys(filter).length === 0;
      if (isAll || keys.some((key) => isBound(filter[key]))) continue;
      found.add(`${commandName} ${command[commandName]} by ${Object.keys(filter).join(', ')}`);
    }
  });
  return found;
}

type Filter = Record<string, unknown>;

function filtersOf(name: string, command: mongo.Document, isWithin: boolean): Filter[] {
  const { updates = [], deletes = [], query = {}, filter = {} } = command;
  if (name === 'update') return (updates as { q: Filter }[]).map(({ q }) => q);
  if (name === 'delete') return (deletes as { q: Filter }[]).map(({ q }) => q);
  if (name === 'findAndModify') return [query];
  return name === 'find' && isWithin ? [filter] : [];
}

/** Whether a condition names values, and no range or absence. */
const isBound = (condition: unknown) =>
  typeof condition === 'string' ||
  (typeof condition === 'object' && condition !== null && '$in' in condition);
