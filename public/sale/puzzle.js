/** The puzzle that a sale may demand before a purchase or a place. The page solves it while its reader waits. */

/** @import { Puzzle, SaleSnapshot } from '../../sale/contract.ts' */

import { answerTo } from './proof-of-work.js';

/** @param {string} challenge @param {number} difficultyBits @returns {Promise<string>} */
function solveAside(challenge, difficultyBits) {
  return new Promise((resolve, reject) => {
    const worker = new Worker('/sale/proof-of-work-worker.js', { type: 'module' });
    worker.onmessage = ({ data }) => {
      worker.terminate();
      resolve(data);
    };
    worker.onerror = (event) => {
      worker.terminate();
      reject(event);
    };
    worker.postMessage({ challenge, difficultyBits });
  });
}

/**
 * @param {string} challenge @param {number} difficultyBits
 * @returns {Promise<string>} for the header Proof-Of-Work
 */
export async function solve(challenge, difficultyBits) {
  try {
    return await solveAside(challenge, difficultyBits);
  } catch {
    // The browser has no such workers.
    return await answerTo(challenge, difficultyBits);
  }
}

/** An answer lasts two minutes at least, so one that is begun in this time lasts beyond the opening. */
const BEFORE_OPENING_MS = 90_000;
/** Pages spread their questions over this time. */
const SPREAD_MS = 60_000;
const TRY_AGAIN_MS = 5_000;
/** An answer that expires sooner is not sent any more. */
const MARGIN_MS = 5_000;

/**
 * @param {object} page
 * @param {() => Promise<Puzzle>} page.fetchPuzzle
 * @param {() => number} page.now in Unix ms by the server's clock
 */
export function openPuzzle({ fetchPuzzle, now }) {
  /** @type {{ buyerId: string, answer: string, expiresAt: number } | null} */
  let solved = null;
  let isBusy = false;
  let nextAt = 0;
  const delay = Math.random() * SPREAD_MS;

  const isFresh = (/** @type {string} */ buyerId) =>
    solved !== null && solved.buyerId === buyerId && solved.expiresAt - MARGIN_MS > now();

  return {
    /**
     * Solves a puzzle when one will soon be needed. It is called whenever the page is drawn.
     * @param {SaleSnapshot} sale @param {string | undefined} buyerId
     */
    async prepare(sale, buyerId) {
      const opensInMs = Date.parse(sale.opensAt) - now();
      const isSoon = sale.mode === 'room' || opensInMs < BEFORE_OPENING_MS - (opensInMs > 0 ? delay : 0);
      const isOver = Date.parse(sale.closesAt) <= now();
      if (!sale.proofOfWork || !buyerId || !isSoon || isOver || document.hidden) return;
      if (isBusy || isFresh(buyerId) || now() < nextAt) return;
      isBusy = true;
      nextAt = now() + TRY_AGAIN_MS;
      try {
        const { challenge, difficultyBits, expiresAt } = await fetchPuzzle();
        const answer = await solve(challenge, difficultyBits);
        solved = { buyerId, answer, expiresAt: Date.parse(expiresAt) };
      } catch {
        // It is tried again; otherwise the refusal of the press has a puzzle.
      } finally {
        isBusy = false;
      }
    },

    /** The header of a request of this buyer. @param {string | undefined} buyerId @returns {Record<string, string>} */
    headers: (buyerId) => (solved && buyerId && isFresh(buyerId) ? { 'Proof-Of-Work': solved.answer } : {}),
  };
}
