/** Runs nginx in front of the servers, without root, with all its files in a folder of ours. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { launch, run, stop, waitUntil } from '../processes/process.mjs';
import { findProgram, installFromDebian } from '../programs/program.mjs';
import { tlsLines } from './tls.mjs';

const TEMPLATE = new URL('../../../nginx/nginx.conf', import.meta.url);
const START_DEADLINE_MS = 10_000;
const OPEN_FILES_MAX = 65_536;
/** A client needs two connections, one to each side; the third allows for an uneven distribution among workers. */
const OPEN_FILES_PER_CLIENT = 3;
const WORKERS_MAX = 4;
/** The share of nginx' connections that one purpose may take; each client needs two. */
const SHARE_OF_AN_ADDRESS = 0.75;
/** Nothing else may get into nginx's configuration. */
const ORIGIN = /^https?:\/\/[\w.:[\]-]+$/i;
const WITHOUT_NGINX =
  'nginx:   left out, as this machine has none; one server answers alone, without page cache';

/**
 * @param {import('../programs/program.mjs').Report} report
 * @returns {Promise<string | null>} its path; null when it is not installed, which is reported.
 */
export async function findNginx(report) {
  const found =
    findProgram('nginx') ?? ((await installFromDebian('nginx', report)) ? findProgram('nginx') : null);
  if (!found) report(WITHOUT_NGINX);
  return found;
}

/** @typedef {{ host: string, port: number, socket?: string | undefined }} Address `socket` is the path of its Unix socket. */
/**
 * @typedef {object} Nginx
 * @property {string} url
 * @property {string} how where the binary was found.
 * @property {number} pid
 * @property {string} logFile
 * @property {Promise<string>} ended resolves with the reason when the process ends.
 * @property {() => Promise<void>} close
 */

/**
 * @param {object} options
 * @param {string} options.dataDir
 * @param {number} options.port
 * @param {Address[]} options.servers
 * @param {number | undefined} [options.clients] concurrent clients to be prepared for.
 * @param {import('./tls.mjs').Tls | null} [options.tls] to listen with TLS as well.
 * @param {string[]} [options.origins] whose pages may read what nginx answers itself, as in ALLOWED_ORIGINS.
 * @param {string} [options.logFile]
 * @param {import('../programs/program.mjs').Report} [options.report]
 * @returns {Promise<Nginx | null>} null when nginx is not installed, which is reported.
 * @throws Error with nginx's message when it rejects its configuration.
 */
export async function openNginx({
  dataDir,
  port,
  servers,
  clients = 10_000,
  tls = null,
  origins = [],
  logFile,
  report = () => {},
}) {
  const binary = await findNginx(report);
  if (!binary) return null;
  mkdirSync(answersIn(dataDir), { recursive: true });
  const configName = 'nginx.conf';
  writeFileSync(
    join(dataDir, configName),
    renderNginxConfig(await valuesFor({ dataDir, port, servers, clients, tls, origins })),
  );
  // nginx runs in its folder with relative paths, because it would read a `$` in a path as a variable.
  const place = ['-p', './', '-c', configName];
  // As root, nginx would run its workers as `nobody`, who cannot enter a data folder below /root.
  const args = [...place, '-g', process.getuid?.() === 0 ? 'daemon off; user root;' : 'daemon off;'];
  const tested = await run(binary, ['-t', ...args], { deadlineMs: START_DEADLINE_MS, cwd: dataDir });
  if (!tested.ok) {
    const why = whyRefused(tested.output);
    const then =
      tls && why.includes('certificate')
        ? `. Put a valid certificate into ${dirname(tls.certificate)}, or run \`npm run tls\``
        : '';
    throw new Error(`nginx rejects its configuration: ${why}${then}`);
  }
  const nginx = await launch('nginx', binary, args, {
    logFile: logFile ?? join(dataDir, 'nginx.log'),
    cwd: dataDir,
  });
  try {
    await waitUntil(() => accepts(port), {
      deadlineMs: START_DEADLINE_MS,
      what: `nginx on port ${port} did not start`,
      launched: nginx,
    });
  } catch (error) {
    await stop(nginx);
    throw error;
  }
  return {
    url: `http://127.0.0.1:${port}`,
    how: binary,
    pid: nginx.pid,
    logFile: nginx.logFile,
    ended: nginx.ended,
    // SIGQUIT lets requests finish; the deadline ends open websockets, for which nginx would wait.
    close: () => stop(nginx),
  };
}

/**
 * The folder of nginx's log of answers that it gave itself, for PROXY_ANSWERS_DIR.
 * @param {string} dataDir nginx's folder.
 */
export const answersIn = (dataDir) => join(dataDir, 'answers');

/**
 * The template with every `${STAMPEDE_…}` filled in, the way envsubst does it in the image.
 * @param {Record<string, string>} values
 * @returns {string}
 */
export function renderNginxConfig(values) {
  return readFileSync(TEMPLATE, 'utf8').replace(/\$\{(STAMPEDE_\w+)\}/g, (_, name) => {
    const value = values[name];
    if (value === undefined) throw new Error(`nginx/nginx.conf needs ${name}`);
    return value;
  });
}

/**
 * Paths are relative to nginx's folder, because nginx cannot quote a `$`, and a long path would not fit into a Unix
 * socket's address.
 * @param {{ dataDir: string, port: number, servers: Address[], clients: number, tls: import('./tls.mjs').Tls | null,
 *   origins: string[] }} options
 */
async function valuesFor({ dataDir, port, servers, clients, tls, origins }) {
  const openFiles = await openFilesAllowed();
  const workers = Math.min(Math.ceil((clients * OPEN_FILES_PER_CLIENT) / openFiles), WORKERS_MAX);
  const local = (/** @type {string} */ path) => relative(dataDir, path);
  const upstreams = servers.map((server) => ({ ...server, socket: server.socket && local(server.socket) }));
  return {
    STAMPEDE_LISTEN: `127.0.0.1:${port}`,
    STAMPEDE_TLS: tlsLines(
      tls && { port: tls.port, certificate: local(tls.certificate), key: local(tls.key) },
    ),
    // Nothing here has a name to be resolved, nor a proxy in front.
    STAMPEDE_RESOLVER: '127.0.0.1',
    STAMPEDE_TRUSTED_PROXY: '',
    STAMPEDE_ALLOWED_ORIGINS: origins.filter((origin) => ORIGIN.test(origin)).join(','),
    STAMPEDE_NGINX_DIR: '.',
    STAMPEDE_OPEN_FILES: String(openFiles),
    STAMPEDE_NGINX_WORKERS: String(workers),
    STAMPEDE_CONNECTIONS_PER_ADDRESS: String(Math.floor((openFiles * workers * SHARE_OF_AN_ADDRESS) / 2)),
    STAMPEDE_UPSTREAM_SERVERS: upstreamOf(upstreams, 'max_fails=2 fail_timeout=1s'),
    STAMPEDE_PURCHASE_SERVERS: upstreamOf(upstreams, 'max_fails=0'),
  };
}

/**
 * Upstream servers: by Unix socket if there is one, with TCP as the backup.
 * @param {Address[]} servers
 * @param {string} whenItFails
 */
function upstreamOf(servers, whenItFails) {
  return servers
    .flatMap(({ host, port, socket }) => {
      const tcp = `server ${host}:${port} ${whenItFails}`;
      return socket ? [`server unix:${socket} ${whenItFails};`, `${tcp} backup;`] : [`${tcp};`];
    })
    .join('\n    ');
}

/** Only root may raise the hard limit. */
async function openFilesAllowed() {
  const { stdout } = await run('/bin/sh', ['-c', 'ulimit -Hn'], { deadlineMs: 5_000 });
  const allowed = Number.parseInt(stdout, 10);
  return Number.isNaN(allowed) ? OPEN_FILES_MAX : Math.min(allowed, OPEN_FILES_MAX);
}

/** @param {string} output */
function whyRefused(output) {
  const lines = output.trim().split('\n');
  return (lines.find((line) => line.includes('[emerg]')) ?? lines.at(-1) ?? '').replace(/^nginx: /, '');
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
