import { serveShop } from './shop.ts';

/** Stampede's own app with an admission that says yes without asking Redis. */
await serveShop(() => async () => ({ outcome: 'admitted' }));
