/** Solves a puzzle in a thread of its own, so that the page stays responsive. */

import { answerTo } from './proof-of-work.js';

addEventListener('message', async ({ data: { challenge, difficultyBits } }) => {
  postMessage(await answerTo(challenge, difficultyBits));
});
