import { expect, inject, test } from 'vitest';
import { openOwnStage } from '../bench/stage.ts';
import { drainWith } from '../bench/workers.ts';
import { audit } from '../sale/audit.ts';

test.each([
  ['bull', 1],
  ['bull', 2],
  ['bull', 4],
  ['rabbitmq', 1],
  ['rabbitmq', 4],
])(
  'on %s, %i workers drain the backlog of one hot sale with every invariant kept',
  async (engine, workers) => {
    const stage = await openOwnStage({
      mongoUrl: inject('mongoUrl'),
      servers: 0,
      workers: 0,
      nginx: false,
      env: { PURCHASE_QUEUE: engine },
    });
    try {
      expect(await drainWith(stage, workers, { backlog: 5_000, buyers: 500 })).toBeGreaterThan(0);
      const { collections, gate, queue } = stage.system;
      expect(await audit(collections, gate, queue)).toMatchObject({ ok: true, orders: 5_000, queued: 0 });
      await collections.sales.db.dropDatabase();
    } finally {
      await stage.close();
    }
  },
);
