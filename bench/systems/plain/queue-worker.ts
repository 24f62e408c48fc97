import express from 'express';
import { healthRoutes } from '../../../runtime/observe/health.ts';
import { findSale } from '../../../sale/sale.ts';
import type { ProductRecord } from '../../../store/collections.ts';
import { buyOne } from './buying.ts';
import { runPlainProcess } from './process.ts';
import { openPlainQueue } from './queue.ts';

/** Finds the sale, finds the product, decrements with the guard, creates the order: for each job by itself. */
await runPlainProcess('queue-worker', async ({ config, collections, dependencies }) => {
  const queue = openPlainQueue(config.REDIS_URL);
  void queue.process(config.SETTLE_MAX_JOBS, async ({ data: purchase }) => {
    const sale = await findSale(collections, purchase.saleId);
    const product = sale && (await collections.products.findById(sale.productId).lean<ProductRecord>());
    if (!sale || !product) throw new Error(`There is no sale ${purchase.saleId}`);
    const bought = await buyOne(collections, sale, purchase);
    return { bought, product: product.name };
  });
  await queue.isReady();
  return { app: express().use(healthRoutes(dependencies)), close: () => queue.close() };
});
