// @ts-nocheck: k6 is a separate program that brings its own modules.
/**
 * Buyers who arrive at a steady rate whether or not the shop keeps up (an open-loop load). Started like burst.js, with
 *   -e RATE=1000 -e DURATION=30s
 */
import { check } from 'k6';
import { SharedArray } from 'k6/data';
import exec from 'k6/execution';
import { accepted, press } from './press.js';

const tokens = new SharedArray('tokens', () => JSON.parse(open(__ENV.TOKENS)));
const rate = Number(__ENV.RATE || 1000);

export const options = {
  scenarios: {
    sustained: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: __ENV.DURATION || '30s',
      preAllocatedVUs: 200,
      maxVUs: 1000,
    },
  },
  // A dropped iteration is a buyer for whom k6 had no free connection, and whose wait was therefore not measured.
  thresholds: { checks: ['rate==1'], dropped_iterations: ['count==0'] },
};

export default function () {
  const n = exec.scenario.iterationInTest;
  const response = press(tokens[n % tokens.length], n);
  check(response, { accepted: ({ status }) => status === accepted });
}
