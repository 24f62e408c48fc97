import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import { openRedis, type Redis } from '../../ops/local/databases/redis.mjs';
import { ROOT } from '../../ops/local/folders.mjs';
import { renderNginxConfig } from '../../ops/local/nginx/nginx.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { launch, run, stop, waitUntil } from '../../ops/local/processes/process.mjs';
import { readConfig } from '../../runtime/config.ts';
import { needs, pathOf } from '../support/needs.ts';

/*
 * Checks the files themselves, which needs no Docker engine.
 * compose-spec.schema.json is the Compose Specification's own (github.com/compose-spec/compose-go, Apache-2.0).
 */
interface Service {
  build?: string;
  image: string;
  command?: string[];
  environment?: Record<string, string | number>;
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: object;
}

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const text = read('docker-compose.yml');
const compose = parse(text, { merge: true }) as { services: Record<string, Service>; volumes: object };
const { services } = compose;
const dockerfile = read('Dockerfile');
const nginx = pathOf('nginx');

/** Interpolates `${NAME:-default}` as compose does; a required variable gets a test value. */
function interpolate(value: string | number): string {
  return String(value).replace(/\$\{(\w+):(-|\?)([^}]*)\}/g, (_, _name, kind, rest) =>
    kind === '-' ? rest : 'a-secret-for-tests-of-32-characters-or-more',
  );
}
const environmentOf = (name: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(services[name]?.environment ?? {}).map(([key, value]) => [key, interpolate(value)]),
  );

describe('docker-compose.yml', () => {
  test('follows the Compose Specification', () => {
    const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(
      JSON.parse(read('test/ops/compose-spec.schema.json')),
    );
    validate(compose);
    expect(validate.errors).toBeNull();
  });

  test('refers only to existing paths and volumes', () => {
    for (const { build, volumes = [] } of Object.values(services)) {
      if (build) expect(existsSync(join(ROOT, build, 'Dockerfile'))).toBe(true);
      for (const [source = ''] of volumes.map((volume) => volume.split(':'))) {
        if (source.startsWith('.')) expect(existsSync(join(ROOT, source)), source).toBe(true);
        else expect(Object.keys(compose.volumes)).toContain(source);
      }
    }
  });

  test('waits for each dependency to be healthy', () => {
    for (const { depends_on = {}, healthcheck } of Object.values(services)) {
      expect(healthcheck).toBeDefined();
      for (const [dependency, { condition }] of Object.entries(depends_on)) {
        expect(Object.keys(services)).toContain(dependency);
        expect(condition).toBe('service_healthy');
      }
    }
  });

  test('gives every variable a default or an error message', () => {
    const variables = text.match(/\$\{[^}]*\}/g) ?? [];
    // An empty default is valid, because config.ts treats it as unset.
    for (const variable of variables) expect(variable).toMatch(/^\$\{\w+:(-.*|\?.+)\}$/);
  });

  test('contains no secret', () => {
    for (const { environment = {} } of Object.values(services)) {
      for (const [name, value] of Object.entries(environment)) {
        // Each is asked for, or empty until somebody sets it.
        if (/SECRET|PASSWORD|TOKEN|KEY/.test(name)) expect(value).toMatch(/^\$\{\w+:(?:\?.+|-)\}$/);
        expect(String(value), name).not.toMatch(/:\/\/[^/]*:[^/]*@/);
      }
    }
  });

  test('pins every image', () => {
    const images = Object.values(services).flatMap(({ build, image }) => (build ? [] : [image]));
    const base = dockerfile.match(/^FROM (\S+)/m)?.[1] ?? '';
    for (const image of [...images, base]) expect(image).toMatch(/:v?\d+\.\d+\.\d+/);
  });

  test('lets --scale make more servers and workers, which nginx and Prometheus find', () => {
    for (const name of ['server', 'worker']) {
      // Two containers cannot have one name or one port of the machine.
      for (const single of ['container_name', 'hostname', 'ports'])
        expect(services[name]).not.toHaveProperty(single);
    }
    const { STAMPEDE_UPSTREAM_SERVERS, STAMPEDE_PURCHASE_SERVERS, STAMPEDE_RESOLVER } =
      environmentOf('nginx');
    const port = environmentOf('server').PORT;
    for (const upstream of [STAMPEDE_UPSTREAM_SERVERS, STAMPEDE_PURCHASE_SERVERS]) {
      expect(upstream).toMatch(new RegExp(`^server server:${port} resolve `));
    }
    expect(STAMPEDE_RESOLVER).toBe('127.0.0.11');
    const [scrape] = parse(read('ops/prometheus.compose.yml')).scrape_configs;
    expect(scrape.dns_sd_configs).toMatchObject([{ names: ['server', 'worker'], port: Number(port) }]);
  });

  test.each(['server', 'worker'])('sets only what the %s knows, to values it takes', (name) => {
    const environment = environmentOf(name);
    const known = readConfig(environment);
    expect(Object.keys(known)).toEqual(expect.arrayContaining(Object.keys(environment)));
  });

  test('produces a valid nginx configuration', needs('nginx'), async () => {
    const dir = await mkdtemp(join(tmpdir(), 'stampede-nginx-'));
    const values = environmentOf('nginx');
    const rendered = renderNginxConfig({ ...values, STAMPEDE_NGINX_DIR: dir })
      // Only Docker's DNS knows the host name, and only nginx 1.27.3 and later know `resolve`.
      .replaceAll('server:8080 resolve', '127.0.0.1:8080');
    const file = join(dir, 'nginx.conf');
    await writeFile(file, rendered);
    const { ok, output } = await run(nginx ?? '', ['-t', '-p', dir, '-c', file], { deadlineMs: 10_000 });
    await rm(dir, { recursive: true });
    expect(ok, output).toBe(true);
  });
});

describe('the image', () => {
  const sources = [...dockerfile.matchAll(/^COPY (.+) \S+$/gm)].flatMap(([, list]) => list?.split(' ') ?? []);
  let image: string;
  let redis: Redis;

  /** Copies the files that the Dockerfile copies, with the packages that `npm ci --omit=dev` installs. */
  beforeAll(async () => {
    image = await mkdtemp(join(tmpdir(), 'stampede-image-'));
    for (const source of sources) await cp(join(ROOT, source), join(image, source), { recursive: true });
    const { packages } = JSON.parse(read('package-lock.json'));
    for (const path of Object.keys(packages)) {
      const nested = path.lastIndexOf('node_modules/') > 0;
      if (path === '' || nested || packages[path].dev || !existsSync(join(ROOT, path))) continue;
      mkdirSync(dirname(join(image, path)), { recursive: true });
      symlinkSync(join(ROOT, path), join(image, path));
    }
    redis = await openRedis({ dataDir: join(image, 'redis') });
  });
  afterAll(async () => {
    await redis.close();
    await rm(image, { recursive: true });
  });

  test('is built from existing files, and does not run as root', () => {
    expect(sources.length).toBeGreaterThan(5);
    for (const source of sources) expect(existsSync(join(ROOT, source)), source).toBe(true);
    const users = [...dockerfile.matchAll(/^USER (\S+)/gm)].map(([, user]) => user);
    expect(users.at(-1)).toBe('node');
  });

  test('starts the server by default', () => {
    const command = dockerfile.match(/^CMD (.+)$/m)?.[1] ?? '';
    expect(JSON.parse(command)).toEqual(services.server?.command);
  });

  test.each(['server', 'worker'])('gives the %s the flags that `npm start` does', (name) => {
    expect(services[name]?.command?.slice(0, 2)).toEqual(['sh', 'ops/node.sh']);
    expect(read('ops/local/app-process.mjs')).toContain('ops/node.sh');
    for (const file of ['docker-compose.yml', 'Dockerfile', 'ops/local/app-process.mjs'])
      expect(read(file)).not.toMatch(/--(max-semi|initial-old|no-memory|no-flush)/);
  });

  test.each(['server', 'worker'])('runs the %s, which becomes ready', async (name) => {
    const [program = '', ...args] = services[name]?.command ?? [];
    const port = await freePort();
    const database = new URL(inject('mongoUrl'));
    database.pathname = '/compose';
    const launched = await launch(name, program, args, {
      cwd: image,
      logFile: join(image, `${name}.log`),
      env: {
        PATH: process.env.PATH,
        ...environmentOf(name),
        ...{ HOST: '127.0.0.1', PORT: String(port), MONGO_URL: database.href, REDIS_URL: redis.url },
      },
    });
    try {
      await waitUntil(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, {
        deadlineMs: 25_000,
        what: `${name} is not ready`,
        launched,
      });
    } finally {
      await stop(launched);
    }
    expect(launched.ending()).toBe('exit code 0');
  });
});
