// @ts-nocheck: k6 is a separate program that brings its own modules.
/**
 * The burst scenario for k6. After `npm start`, `npm run bench -- k6` opens a sale, writes its buyers' tokens and prints:
 *   k6 run -e BASE_URL=<address> -e SALE=<id> -e TOKENS=<file> bench/load/k6/burst.js
 * TOKENS is a JSON array of buyers' tokens, which the presses use in turns.
 */
import { check } from 'k6';
import { SharedArray } from 'k6/data';
import exec from 'k6/execution';
import { accepted, press, refused } from './press.js';

const tokens = new SharedArray('tokens', () => JSON.parse(open(__ENV.TOKENS)));
const presses = Number(__ENV.PRESSES || 20000);

export const options = {
  scenarios: {
    burst: {
      executor: 'shared-iterations',
      vus: Number(__ENV.CONNECTIONS || 200),
      iterations: presses,
      maxDuration: '2m',
    },
  },
  thresholds: { checks: ['rate==1'] },
};

export default function () {
  const n = exec.scenario.iterationInTest;
  const response = press(tokens[n % tokens.length], n);
  check(response, {
    'accepted or refused': ({ status }) => status === accepted || status === refused,
  });
}
