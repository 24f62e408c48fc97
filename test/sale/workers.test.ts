import { expect, inject, test } from 'vitest';
import { drainWith } from '../../bench/scenarios/workers.ts';
import { stampedeOn } from '../../bench/systems/sides.ts';
import { openOwnTestbed } from '../../bench/systems/testbed.ts';
import { audit } from '../../insight/audit/audit.ts';
import { pathOf } from '../support/needs.ts';

const backlogs: ['bull' | 'rabbitmq', number, number][] = [
  ['bull', 1, 20_000],
  ['bull', 4, 20_000],
  ['rabbitmq', 4, 2_000],
];

test.each(backlogs.filter(([engine]) => engine === 'bull' || pathOf('RabbitMQ')))(
  'on %s, %i workers drain a backlog of %i of one hot sale with every invariant kept',
  async (engine, workers, backlog) => {
    const side = stampedeOn(
      await openOwnTestbed({
        mongoUrl: inject('mongoUrl'),
        servers: 0,
        workers: 0,
        nginx: false,
        // A queue on a slow disk may confirm the backlog late.
        env: { PURCHASE_QUEUE: engine, FLUSH_DEADLINE_MS: '30000' },
      }),
    );
    try {
      await drainWith(side, workers, { backlog, buyers: 500 });
      const { collections, gate, queue } = side.testbed.system;
      expect(await audit(collections, gate, queue)).toMatchObject({ ok: true, orders: backlog, queued: 0 });
      await collections.connection.dropDatabase();
    } finally {
      await side.close();
    }
  },
  180_000,
);
