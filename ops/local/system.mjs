/** All processes of Stampede on one machine: starts them in order, restarts those that fail, stops them in order. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openAppProcess } from './app-process.mjs';
import { withDatabase } from './databases/database-url.mjs';
import { openMongo } from './databases/mongo.mjs';
import { openRabbit } from './databases/rabbit.mjs';
import { openRedis } from './databases/redis.mjs';
import { describeFileFault } from './files/file-fault.mjs';
import { writePrivately } from './files/private-file.mjs';
import { unixSocketIn } from './files/unix-socket.mjs';
import { keepRunning } from './keep-running.mjs';
import { answersIn, findNginx, openNginx } from './nginx/nginx.mjs';
import { tlsIn } from './nginx/tls.mjs';
import { freePort, freePortsFrom } from './processes/port.mjs';
import { onLaunch } from './processes/process.mjs';
import { runningFileIn } from './processes/process-list.mjs';
import { writeTargets } from './prometheus-targets.mjs';

/** @typedef {import('./keep-running.mjs').Part} Part */
/** @typedef {Awaited<ReturnType<typeof keepRunning>>} Kept */
/** @typedef {{ MONGO_URL: string, REDIS_URL: string, BASE_URL: string, JWT_SECRET: string, [engine: string]: string }} SystemEnv */
/**
 * @typedef {object} Settings
 * @property {string} dataDir
 * @property {number} port the port for browsers.
 * @property {Awaited<ReturnType<typeof import('./processes/process-list.mjs').claimFolder>>} processes
 * @property {boolean} withNginx
 * @property {string} jwtSecret
 * @property {string | undefined} mongoUrl the user's MongoDB; without one we run our own.
 * @property {string | undefined} redisUrl
 * @property {{ PURCHASE_QUEUE?: string, EVENT_BUS?: string, RABBITMQ_URL?: string }} engines settings for
 *   RabbitMQ, and the user's own; without one we run our own when a setting needs it.
 * @property {(line: string) => void} report
 */

export class System {
  /** In the order of the stop: from nginx, which lets requests in, to the databases. */
  parts = {
    nginx: /** @type {Kept[]} */ ([]),
    servers: /** @type {Kept[]} */ ([]),
    workers: /** @type {Kept[]} */ ([]),
    rabbitmq: /** @type {Kept[]} */ ([]),
    redis: /** @type {Kept[]} */ ([]),
    mongo: /** @type {Kept[]} */ ([]),
  };

  /** The environment of our processes and commands; null until everything is running. @type {SystemEnv | null} */
  env = null;

  /** @param {Settings} settings */
  constructor(settings) {
    this.settings = settings;
    this.url = `http://127.0.0.1:${settings.port}`;
    this.logsDir = join(settings.dataDir, 'logs');
    this.runningFile = runningFileIn(settings.dataDir);
    this.startedAt = new Date().toISOString();
    onLaunch((name, pid) => this.#note(() => settings.processes.add(name, pid)));
    mkdirSync(this.logsDir, { recursive: true });
  }

  /** @returns {Promise<SystemEnv>} */
  async start() {
    const { port, jwtSecret, withNginx, report } = this.settings;
    const mongoUrl = withDatabase(this.settings.mongoUrl ?? (await this.#startMongo()));
    const redisUrl = this.settings.redisUrl ?? (await this.#startRedis());
    const engines = await this.#startEngines();
    const env = {
      MONGO_URL: mongoUrl,
      REDIS_URL: redisUrl,
      BASE_URL: this.url,
      JWT_SECRET: jwtSecret,
      // Mails link to where the shop runs, unless it is reached at another address.
      PUBLIC_URL: process.env.PUBLIC_URL || this.url,
      SHOP_TIME_ZONE: process.env.SHOP_TIME_ZONE || Intl.DateTimeFormat().resolvedOptions().timeZone,
      ...engines,
    };

    if (!withNginx) report('nginx:   disabled by STAMPEDE_WITHOUT_NGINX; one server answers without it');
    const behindNginx = withNginx && (await findNginx(report)) !== null;
    report(`Starting ${behindNginx ? 'two servers' : 'the server'} and the worker …`);
    const [first = 0, second = 0, workerPort = 0] = await freePortsFrom(port + 1, 3);
    const serverPorts = behindNginx ? [first, second] : [port];
    const answers = behindNginx ? { PROXY_ANSWERS_DIR: answersIn(this.#placeOf('nginx').dataDir) } : {};
    const serverEnv = { ...env, ...answers, TRUST_PROXY_HOPS: behindNginx ? '1' : '0' };
    await Promise.all([
      ...serverPorts.map((own, index) => this.#startOurs('server', index + 1, own, serverEnv)),
      this.#startOurs('worker', 1, workerPort, { ...env, ...answers }),
    ]);
    if (behindNginx) await this.#startNginx(serverPorts);
    // Processes become ready in any order, so they are sorted here.
    this.parts.servers.sort((one, other) => one.name.localeCompare(other.name));
    this.env = env;
    this.#writeRunning(env);
    return env;
  }

  /** Stops all processes. Those that are still starting are killed when this process exits. */
  async stop() {
    rmSync(this.runningFile, { force: true });
    this.env = null;
    for (const kept of Object.values(this.parts)) await Promise.all(kept.map((part) => part.close()));
    // Removed once more, because an interrupted start may have written it meanwhile.
    rmSync(this.runningFile, { force: true });
  }

  async #startMongo() {
    const options = { ...this.#placeOf('mongo'), port: await freePort() };
    const { how, url } = await this.#keep('mongo', 'mongo', () => openMongo(options));
    this.settings.report(`MongoDB: ${how}`);
    return url;
  }

  async #startRedis() {
    const options = { ...this.#placeOf('redis'), port: await freePort() };
    const { how, url } = await this.#keep('redis', 'redis', () => openRedis(options));
    this.settings.report(`Redis:   ${how}`);
    return url;
  }

  async #startEngines() {
    const { engines, report } = this.settings;
    const { PURCHASE_QUEUE, EVENT_BUS, RABBITMQ_URL } = engines;
    if (RABBITMQ_URL || ![PURCHASE_QUEUE, EVENT_BUS].includes('rabbitmq')) return engines;
    const options = { ...this.#placeOf('rabbitmq'), port: await freePort() };
    const { how, url } = await this.#keep('rabbitmq', 'rabbitmq', () => openRabbit(options));
    report(`RabbitMQ: ${how}`);
    return { ...engines, RABBITMQ_URL: url };
  }

  /**
   * @param {'server' | 'worker'} kind
   * @param {number} number
   * @param {number} port
   * @param {Record<string, string>} env
   */
  #startOurs(kind, number, port, env) {
    const name = `${kind}-${number}`;
    const socket = kind === 'server' ? this.#socketOf(name) : undefined;
    const options = { name, entry: `${kind}/main.ts`, port, env, logsDir: this.logsDir, socket };
    return this.#keep(`${kind}s`, name, () => openAppProcess(options));
  }

  /** @param {number[]} serverPorts */
  async #startNginx(serverPorts) {
    const servers = serverPorts.map((port, index) => ({
      host: '127.0.0.1',
      port,
      socket: this.#socketOf(`server-${index + 1}`),
    }));
    const tls = tlsIn(this.settings.dataDir);
    const origins = process.env.ALLOWED_ORIGINS?.split(',') ?? [];
    const options = { ...this.#placeOf('nginx'), port: this.settings.port, servers, tls, origins };
    const { how } = await this.#keep('nginx', 'nginx', async () => {
      const nginx = await openNginx(options);
      if (!nginx) throw new Error('nginx is no longer installed');
      return nginx;
    });
    this.settings.report(`nginx:   ${how}${tls ? `, and https://localhost:${tls.port}` : ''}`);
  }

  /** @param {string} name */
  #socketOf(name) {
    return unixSocketIn(this.settings.dataDir, name);
  }

  /** @param {string} name */
  #placeOf(name) {
    const { dataDir, report } = this.settings;
    return { dataDir: join(dataDir, name), logFile: join(this.logsDir, `${name}.log`), report };
  }

  /** @param {keyof System['parts']} kind @param {string} name @param {() => Promise<Part>} open */
  async #keep(kind, name, open) {
    const onRestart = () => this.#note(() => this.env && this.#writeRunning(this.env));
    const kept = await keepRunning(name, open, { report: this.settings.report, onRestart });
    this.parts[kind].push(kept);
    return kept.part();
  }

  /** A failed write, as on a full disk, must not prevent a restart. @param {() => void} write */
  #note(write) {
    try {
      write();
    } catch (error) {
      this.settings.report(`${describeFileFault(error, this.settings.dataDir) ?? error}`);
    }
  }

  /** Writes the file by which commands find the running system. @param {SystemEnv} env */
  #writeRunning(env) {
    const { servers, workers, redis, mongo } = this.parts;
    const all = (/** @type {Kept[]} */ kept) =>
      kept.map(({ name, part }) => ({ name, url: part().url, pid: part().pid }));
    writeTargets(join(this.settings.dataDir, 'prometheus-targets.json'), all([...servers, ...workers]));
    writePrivately(this.runningFile, {
      pid: process.pid,
      startedAt: this.startedAt,
      env,
      servers: all(servers),
      workers: all(workers),
      redis: all(redis)[0] ?? { url: env.REDIS_URL, pid: null },
      mongo: all(mongo)[0] ?? { url: env.MONGO_URL, pid: null },
    });
  }
}
