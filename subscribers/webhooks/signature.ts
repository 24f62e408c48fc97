import { createHmac } from 'node:crypto';

/**
 * Headers of the Standard Webhooks specification (standardwebhooks.com): whoever has the secret can tell that the body
 * is ours and when it was sent, and by its id whether it came before.
 * @param secret `whsec_` and the key in base64.
 */
export function signatureHeaders(
  secret: string,
  { id, body, at }: { id: string; body: string; at: Date },
): Record<string, string> {
  const timestamp = String(Math.floor(at.getTime() / 1_000));
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}
