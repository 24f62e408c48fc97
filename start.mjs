/** `npm start`: see embedded/start.mjs, which only a Node that is new enough can read. */
import { loadOnNewNode } from './embedded/node-version.mjs';

loadOnNewNode(() => import('./embedded/start.mjs'));
