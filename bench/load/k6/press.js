// @ts-nocheck: k6 is a separate program that brings its own modules.
import http from 'k6/http';
import { Counter } from 'k6/metrics';

export const accepted = 202;
export const refused = 409;

const base = __ENV.BASE_URL || 'http://127.0.0.1:8080';
if (!/^http:\/\/(127\.0\.0\.1|localhost)(:|\/|$)/.test(base)) {
  throw new Error(`Load tests run against this machine only: expected a loopback address, got ${base}`);
}
http.setResponseCallback(http.expectedStatuses(accepted, refused));
const run = Date.now();
const acceptedPresses = new Counter('accepted');

/** Sends one purchase. */
export function press(token, n) {
  const response = http.post(`${base}/api/sales/${__ENV.SALE}/purchases`, '{"quantity":1}', {
    headers: {
      'Content-Type': 'application/json',
      Authorization: `Bearer ${token}`,
      'Idempotency-Key': `${run}-${n}`,
    },
  });
  if (response.status === accepted) acceptedPresses.add(1);
  return response;
}
