import { findSale } from '../../../sale/sale.ts';
import { createPlainApp } from './app.ts';
import { buyOne } from './buying.ts';
import { runPlainProcess } from './process.ts';

/** The side without a queue: it reads, checks and saves before it answers. */
await runPlainProcess('sync-server', async ({ config, collections, dependencies }) => {
  const app = createPlainApp(
    async (purchase) => {
      const sale = await findSale(collections, purchase.saleId);
      const bought = sale ? await buyOne(collections, sale, purchase) : 'unknown_sale';
      return bought === 'paid' || bought === 'known' ? null : bought;
    },
    config.JWT_SECRET,
    dependencies,
  );
  return { app, close: async () => {} };
});
