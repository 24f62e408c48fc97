import { serveShop } from './serve-shop.ts';

/** Stampede's app with an admission that accepts everything without Redis. */
await serveShop(() => async () => ({ outcome: 'admitted' }));
