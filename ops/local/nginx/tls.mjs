/** The TLS certificate for nginx: made by `npm run tls`, or the user's own. */
import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../processes/process.mjs';

const DAYS = 90;
const OPENSSL_DEADLINE_MS = 30_000;

/** @typedef {{ port: number, certificate: string, key: string }} Tls */

/** @param {string} dataDir */
function filesIn(dataDir) {
  const folder = join(dataDir, 'tls');
  return { folder, certificate: join(folder, 'certificate.pem'), key: join(folder, 'key.pem') };
}

/**
 * @param {string} dataDir
 * @returns {Tls | null} null when there is no certificate.
 */
export function tlsIn(dataDir) {
  const { certificate, key } = filesIn(dataDir);
  if (!existsSync(certificate) || !existsSync(key)) return null;
  return { port: Number(process.env.TLS_PORT || 8443), certificate, key };
}

/**
 * Creates a self-signed certificate for trying TLS on this machine.
 * @param {string} dataDir
 * @returns {Promise<{ certificate: string, key: string }>}
 */
export async function makeCertificate(dataDir) {
  const { folder, certificate, key } = filesIn(dataDir);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1';
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const whose = ['-days', String(DAYS), '-subj', '/CN=localhost', '-addext', names];
  const args = ['req', ...kind, ...whose, '-keyout', key, '-out', certificate];
  const { ok, output } = await run('openssl', args, { deadlineMs: OPENSSL_DEADLINE_MS });
  if (!ok) throw new Error(`openssl could not create the certificate: ${output.trim().split('\n').at(-1)}`);
  chmodSync(key, 0o600);
  return { certificate, key };
}

/**
 * The TLS settings of nginx.conf.
 * @param {Tls | null} tls
 */
export function tlsLines(tls) {
  if (!tls) return '';
  return [
    `listen 127.0.0.1:${tls.port} ssl http2 backlog=4096 sndbuf=64k;`,
    `ssl_certificate ${tls.certificate};`,
    `ssl_certificate_key ${tls.key};`,
    'ssl_protocols TLSv1.2 TLSv1.3;',
    'ssl_session_cache shared:tls:2m;',
    'ssl_session_tickets off;',
  ].join('\n    ');
}
