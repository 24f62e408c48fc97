import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../public/sale/proof-of-work.js';
import type { Problem, Session } from '../../sale/contract.ts';
import { createAccount, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({ nginx: false, env: { CHALLENGE_DIFFICULTY_BITS: '8' } });
});
afterAll(() => system.close());

const account = () => ({ email: `${nanoid()}@example.com`, password: 'correct horse', name: 'Ann' });
const signUp = (body: object, answer?: string, at = system.url) =>
  system.api<Problem & Session>('POST', '/api/users', {
    ...{ body, at },
    ...(answer !== undefined && { headers: { 'Proof-Of-Work': answer } }),
  });

/** Tries nonces until the hash begins with a zero byte (8 bits), or for a wrong answer until it does not. */
function work(challenge: string, isRight = true): string {
  for (let nonce = 0; ; nonce++) {
    const answer = `${challenge}.${nonce}`;
    if ((createHash('sha256').update(answer).digest()[0] === 0) === isRight) return answer;
  }
}
async function challengeFor(body: object): Promise<string> {
  const { status, body: problem } = await signUp(body);
  expect([status, problem.type, problem.difficultyBits]).toEqual([428, '/problems/work-required', 8]);
  return problem.challenge ?? '';
}

describe('a challenge', () => {
  test('is accepted when solved, at any instance', async () => {
    const ann = account();
    const answer = work(await challengeFor(ann));
    expect((await signUp(ann, answer, system.servers[1]?.url)).status).toBe(201);
  });

  test('is bound to one account', async () => {
    const answer = work(await challengeFor(account()));
    expect((await signUp(account(), answer)).status).toBe(428);
  });

  test('is renewed after too little work, a forged challenge or garbage', async () => {
    const ann = account();
    const challenge = await challengeFor(ann);
    const [expiry = '', ...rest] = challenge.split('-');
    const later = (Number.parseInt(expiry, 36) + 60_000).toString(36);
    const made = [work(challenge, false), work([later, ...rest].join('-')), work('x'), '', 'x'.repeat(1_000)];
    for (const answer of made) expect((await signUp(ann, answer)).status).toBe(428);
  });

  test('is also required for a purchase, bound to buyer and sale', async () => {
    const [sale, other] = [await system.createSale(), await system.createSale()];
    const token = system.buyerToken();
    const buy = (id: string, by: string, headers = {}) =>
      system.api<Problem>('POST', `/api/sales/${id}/purchases`, {
        token: by,
        body: { quantity: 1 },
        headers,
      });
    const asked = await buy(sale.id, token);
    expect(asked.status).toBe(428);
    const proof = { 'Proof-Of-Work': work(asked.body.challenge ?? '') };
    expect((await buy(sale.id, token, proof)).status).toBe(202);
    expect((await buy(other.id, token, proof)).status).toBe(428);
    expect((await buy(sale.id, system.buyerToken(), proof)).status).toBe(428);
  });
});

test('a page solves the challenge without asking its buyer', async () => {
  const sale = await system.createSale();
  const browser = await openBrowser();
  const page = await browser.page();
  await page.goto(`${system.url}/sales/${sale.id}`);
  await page.locator('[data-testid=buy][data-state=sign-in]').click();
  await createAccount(page, { email: account().email });
  await page.locator('[data-testid=buy][data-state=buy]').click();
  await page.getByTestId('order-status').filter({ hasText: 'Paid' }).waitFor();
  await browser.close();
});

test('the page’s SHA-256 gives the same hashes as Node’s', () => {
  const hex = (words: Int32Array) =>
    [...words].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 300 }), (text) => {
      expect(hex(sha256(text))).toBe(createHash('sha256').update(text).digest('hex'));
    }),
    { seed: 1, numRuns: 500 },
  );
});
