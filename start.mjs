/** `npm start`: see ops/local/start.mjs, which only a Node that is new enough can read. */
import { loadOnNewNode } from './ops/local/node-version.mjs';

loadOnNewNode(() => import('./ops/local/start.mjs'));
