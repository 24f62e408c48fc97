/** nginx in front of the servers, without root and with everything it writes in a folder of ours. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { launch, run, stop, waitUntil } from '../processes/process.mjs';
import { findProgram, installFromDebian } from '../programs/program.mjs';
import { tlsLines } from './tls.mjs';

const TEMPLATE = new URL('../../../nginx/nginx.conf', import.meta.url);
const START_DEADLINE_MS = 10_000;
const OPEN_FILES_MAX = 65_536;
/** A client takes a connection to each side; the third is room for their not being shared out evenly among workers. */
const OPEN_FILES_PER_CLIENT = 3;
const WORKERS_MAX = 4;
/** Of what it can hold, a connection to each side; the rest is for others. */
const SHARE_OF_AN_ADDRESS = 0.75;
const WITHOUT_NGINX =
  'nginx:   left out, as this machine has none; one server answers alone, without page cache';

/**
 * @param {import('../programs/program.mjs').Report} report
 * @returns {Promise<string | null>} its path; null when this machine has none, which is reported.
 */
export async function findNginx(report) {
  const found =
    findProgram('nginx') ?? ((await installFromDebian('nginx', report)) ? findProgram('nginx') : null);
  if (!found) report(WITHOUT_NGINX);
  return found;
}

/** @typedef {{ host: string, port: number, socket?: string | undefined }} Address `socket`: the path of its Unix socket. */
/**
 * @typedef {object} Nginx
 * @property {string} url
 * @property {string} how where its binary was found.
 * @property {number} pid
 * @property {string} logFile
 * @property {Promise<string>} ended resolves when the process ended, with how.
 * @property {() => Promise<void>} close
 */

/**
 * @param {object} options
 * @param {string} options.dataDir
 * @param {number} options.port
 * @param {Address[]} options.servers
 * @param {number | undefined} [options.clients] how many it has to hold at once.
 * @param {import('./tls.mjs').Tls | null} [options.tls] to listen for TLS as well.
 * @param {string} [options.logFile]
 * @param {import('../programs/program.mjs').Report} [options.report]
 * @returns {Promise<Nginx | null>} null when this machine has no nginx, which is reported.
 * @throws Error with nginx's own line when it refuses its configuration.
 */
export async function openNginx({
  dataDir,
  port,
  servers,
  clients = 10_000,
  tls = null,
  logFile,
  report = () => {},
}) {
  const binary = await findNginx(report);
  if (!binary) return null;
  mkdirSync(answersIn(dataDir), { recursive: true });
  const configName = 'nginx.conf';
  writeFileSync(
    join(dataDir, configName),
    renderNginxConfig(await valuesFor({ dataDir, port, servers, clients, tls })),
  );
  // It runs in its folder, so that no path in its configuration has a `$`, which it would take for a variable's name.
  const place = ['-p', './', '-c', configName];
  // As root, nginx would hand its workers to `nobody`, who cannot enter a data folder below /root.
  const args = [...place, '-g', process.getuid?.() === 0 ? 'daemon off; user root;' : 'daemon off;'];
  const tested = await run(binary, ['-t', ...args], { deadlineMs: START_DEADLINE_MS, cwd: dataDir });
  if (!tested.ok) {
    const why = whyRefused(tested.output);
    const then =
      tls && why.includes('certificate')
        ? `. Put a whole one into ${dirname(tls.certificate)}, or \`npm run tls\``
        : '';
    throw new Error(`nginx refuses its configuration: ${why}${then}`);
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
    // SIGQUIT lets requests finish, yet would wait for open websockets: the deadline cuts those.
    close: () => stop(nginx),
  };
}

/**
 * Where it leaves word of what it answered itself, for PROXY_ANSWERS_DIR.
 * @param {string} dataDir its own.
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
 * Paths are written as they are seen from nginx's own folder. It has no way to quote a `$`, and a long path would not fit
 * into a Unix socket's address.
 * @param {{ dataDir: string, port: number, servers: Address[], clients: number, tls: import('./tls.mjs').Tls | null }}
 *   options
 */
async function valuesFor({ dataDir, port, servers, clients, tls }) {
  const openFiles = await openFilesAllowed();
  const workers = Math.min(Math.ceil((clients * OPEN_FILES_PER_CLIENT) / openFiles), WORKERS_MAX);
  const local = (/** @type {string} */ path) => relative(dataDir, path);
  const upstreams = servers.map((server) => ({ ...server, socket: server.socket && local(server.socket) }));
  return {
    STAMPEDE_LISTEN: `127.0.0.1:${port}`,
    STAMPEDE_TLS: tlsLines(
      tls && { port: tls.port, certificate: local(tls.certificate), key: local(tls.key) },
    ),
    STAMPEDE_NGINX_DIR: '.',
    STAMPEDE_OPEN_FILES: String(openFiles),
    STAMPEDE_NGINX_WORKERS: String(workers),
    STAMPEDE_CONNECTIONS_PER_ADDRESS: String(Math.floor((openFiles * workers * SHARE_OF_AN_ADDRESS) / 2)),
    STAMPEDE_UPSTREAM_SERVERS: upstreamOf(upstreams, 'max_fails=2 fail_timeout=1s'),
    STAMPEDE_PURCHASE_SERVERS: upstreamOf(upstreams, 'max_fails=0'),
  };
}

/**
 * A server by its Unix socket where it has one, and then by TCP only when that fails.
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

/** More than the hard limit is refused to whoever is not root. */
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
