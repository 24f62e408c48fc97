import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { readSettings, settingNames } from '../../examples/campus-food/settings.ts';
import { ROOT } from '../../ops/local/folders.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { launch, run, stop, waitUntil } from '../../ops/local/processes/process.mjs';
import { bornAt } from '../../ops/local/processes/process-list.mjs';
import { needs, pathOf } from '../support/needs.ts';

interface Service {
  build?: { context: string; dockerfile: string };
  image: string;
  command?: string[];
  environment?: Record<string, string | number>;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: object;
}

const folder = 'examples/campus-food';
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const compose = parse(read(`${folder}/docker-compose.yml`), { merge: true });
const services: Record<string, Service> = compose.services;
const ours = Object.entries(services).filter(([, { build }]) => build);
const dockerfile = read(`${folder}/Dockerfile`);

/** The environment that compose gives a service when no variable is set outside. */
const environmentOf = ({ environment = {} }: Service) =>
  Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      String(value).replace(/\$\{\w+:-([^}]*)\}/, '$1'),
    ]),
  );

/** A Python with the packages of tests/requirements.txt; without one the three Python tests are skipped. */
const python = pathOf('campus food’s Python');
const programs = ['test_resilience.py', 'test_idempotency.py', 'test_dlq.py'];

describe('npm run campus-food', needs('RabbitMQ'), () => {
  let dataDir = '';
  let output = '';
  let child: ChildProcess;
  let exited: Promise<unknown[]>;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'stampede-campus-start-'));
    const { MONGO_URL, RABBITMQ_URL, ...inherited } = process.env;
    const script = JSON.parse(read('package.json')).scripts['campus-food'].split(' ').slice(1);
    // In a process group of its own, as a terminal starts it.
    child = spawn(process.execPath, script, {
      cwd: ROOT,
      detached: true,
      env: { ...inherited, STAMPEDE_DATA_DIR: dataDir, RESERVE_CHANCE: '1' },
    });
    exited = once(child, 'close');
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    await waitUntil(() => output.includes('Ctrl-C') || child.exitCode !== null, {
      deadlineMs: 90_000,
      what: 'it is not running',
    });
  }, 120_000);

  const found = (pattern: RegExp) => pattern.exec(output)?.[1] ?? output;
  const urlOf = (name: string) => found(new RegExp(`${name} +(http://\\S+)`));

  test('accepts the example order that it prints, and notifies the user', async () => {
    // The example is JSON.
    const body = found(/-d '(.+)'/);
    const headers = { 'Content-Type': 'application/json' };
    const placed = await fetch(`${urlOf('OrderService')}/order`, { method: 'POST', headers, body });
    expect(placed.status).toBe(202);
    const sent = await waitUntil(
      async () => {
        const answer = await fetch(`${urlOf('NotificationService')}/notifications`);
        const { notifications } = (await answer.json()) as { notifications: { text: string }[] };
        return notifications[0];
      },
      { deadlineMs: 20_000, what: 'nobody was notified' },
    );
    expect(sent.text).toBe('Reserved for you: 2 × ramen');
    const log = readFileSync(join(dataDir, 'campus/logs/notification_service.log'), 'utf8');
    expect(log).toContain('Reserved for you: 2 × ramen');
  });

  test('serves the management page of RabbitMQ with the default user and password', async () => {
    const headers = { Authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` };
    const queues = await waitUntil(
      async () => {
        const answer = await fetch(`${found(/management on (\S+)/)}/api/queues`, { headers });
        return answer.ok ? ((await answer.json()) as { name: string }[]) : null;
      },
      { deadlineMs: 20_000, what: 'the management page does not answer' },
    );
    const names = queues.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['order-events', 'inventory-events', 'order-events-dlq']));
  });

  test.each(programs)(
    'holds what tests/%s asks of it',
    { timeout: 160_000, ...needs('campus food’s Python') },
    async (program) => {
      const pid = found(/kill -STOP (\d+)/);
      const env = {
        ...process.env,
        CAMPUS_URL: urlOf('OrderService'),
        RABBITMQ_URL: found(/(amqp:\/\/[\d.:]+)/),
        STOP_INVENTORY: `kill -STOP ${pid}`,
        START_INVENTORY: `kill -CONT ${pid}`,
      };
      const options = { cwd: join(ROOT, folder, 'tests'), env, deadlineMs: 150_000 };
      const { ok, output: said } = await run(python ?? '', [program], options);
      expect(ok, said).toBe(true);
    },
  );

  afterAll(async () => {
    const { processes } = JSON.parse(readFileSync(join(dataDir, 'campus/processes.json'), 'utf8'));
    if (child.pid) process.kill(-child.pid, 'SIGINT');
    expect((await exited)[0]).toBe(0);
    expect(processes).toHaveLength(6);
    for (const { name, pid, born } of processes) expect(bornAt(pid), name).not.toBe(born);
    await rm(dataDir, { recursive: true });
  });
});

test('its docker-compose.yml follows the Compose Specification and waits for healthy services', () => {
  const schema = JSON.parse(read('test/ops/compose-spec.schema.json'));
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);
  validate(compose);
  expect(validate.errors).toBeNull();
  for (const { depends_on = {}, healthcheck } of Object.values(services)) {
    expect(healthcheck).toBeDefined();
    for (const { condition } of Object.values(depends_on)) expect(condition).toBe('service_healthy');
  }
});

test('it pins every image, and sets only known settings to valid values', () => {
  const images = Object.values(services).flatMap(({ build, image }) => (build ? [] : [image]));
  const base = /^FROM (\S+)/m.exec(dockerfile)?.[1] ?? '';
  for (const image of [...images, base]) expect(image).toMatch(/:\d+\.\d+\.\d+/);
  expect(ours).toHaveLength(3);
  for (const [, service] of ours) {
    const environment = environmentOf(service);
    readSettings(environment);
    expect(settingNames).toEqual(expect.arrayContaining(Object.keys(environment)));
    expect(
      existsSync(join(ROOT, folder, service.build?.context ?? '', service.build?.dockerfile ?? '')),
    ).toBe(true);
  }
});

test('its image contains everything the services need, and each reports its missing dependency', async () => {
  const image = await mkdtemp(join(tmpdir(), 'stampede-campus-image-'));
  try {
    await fillImage(image);
    for (const [name, service] of ours) await expectMissingDependency(image, name, service);
  } finally {
    await rm(image, { recursive: true });
  }
});

/** Copies the files that the Dockerfile copies, with the packages that `npm ci --omit=dev` installs. */
async function fillImage(image: string): Promise<void> {
  const sources = [...dockerfile.matchAll(/^COPY (.+) \S+$/gm)].flatMap(([, list]) => list?.split(' ') ?? []);
  for (const source of sources) await cp(join(ROOT, source), join(image, source), { recursive: true });
  const { packages } = JSON.parse(read('package-lock.json'));
  for (const path of Object.keys(packages)) {
    const isNested = path.lastIndexOf('node_modules/') > 0;
    if (path === '' || isNested || packages[path].dev || !existsSync(join(ROOT, path))) continue;
    mkdirSync(dirname(join(image, path)), { recursive: true });
    symlinkSync(join(ROOT, path), join(image, path));
  }
}

/** Without its dependencies a service listens and reports which one is missing. */
async function expectMissingDependency(image: string, name: string, service: Service): Promise<void> {
  const [program = '', ...args] = service.command ?? [];
  const [port, nowhere] = [await freePort(), await freePort()];
  const away = {
    MONGO_URL: `mongodb://127.0.0.1:${nowhere}/campus`,
    RABBITMQ_URL: `amqp://127.0.0.1:${nowhere}`,
  };
  const launched = await launch(name, program, args, {
    cwd: image,
    logFile: join(image, `${name}.log`),
    env: { PATH: process.env.PATH, ...environmentOf(service), ...away, PORT: String(port) },
  });
  try {
    const answer = await waitUntil(() => fetch(`http://127.0.0.1:${port}/health`), {
      deadlineMs: 25_000,
      what: `${name} does not listen`,
      launched,
    });
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ dependencies: { mongodb: 'down', rabbitmq: 'down' } });
  } finally {
    await stop(launched);
  }
  expect(launched.ending()).toBe('exit code 0');
}
