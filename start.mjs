/** `npm start`: checks the Node version before it loads ops/local/start.mjs, which an old Node cannot parse. */
import { loadOnNewNode } from './ops/local/node-version.mjs';

loadOnNewNode(() => import('./ops/local/start.mjs'));
