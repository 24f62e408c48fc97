import express from 'express';
import { healthRoutes } from '../../../runtime/observe/health.ts';
import { findSale } from '../../../sale/sale.ts';
import { buyOne } from './buying.ts';
import { runPlainProcess } from './process.ts';
import { openPlainQueue } from './queue.ts';

/** The worker of the side with a queue: for each job it reads the sale and the product, takes the stock, creates the order. */
await runPlainProcess('queue-worker', async ({ config, collections, dependencies }) => {
  const queue = openPlainQueue(config.REDIS_URL);
  void queue.process(config.SETTLE_MAX_JOBS, async ({ data: purchase }) => {
    const sale = await findSale(collections, purchase.saleId);
    const product = sale && (await collections.products.findOne({ _id: sale.productId }));
    if (!sale || !product) throw new Error(`Sale ${purchase.saleId} or its product does not exist`);
    const bought = await buyOne(collections, sale, purchase);
    return { bought, product: product.name };
  });
  await queue.isReady();
  return { app: express().use(healthRoutes(dependencies)), close: () => queue.close() };
});
