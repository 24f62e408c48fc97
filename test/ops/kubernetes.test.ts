import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { Counters } from '../../insight/counters.ts';
import { ROOT } from '../../ops/local/folders.mjs';
import { run } from '../../ops/local/processes/process.mjs';
import { readConfig } from '../../runtime/config.ts';
import { type ClusterFigures, openClusterMetrics } from '../../runtime/observe/cluster-metrics.ts';
import { openServerMetrics } from '../../server/metrics.ts';
import { openWorkerMetrics } from '../../worker/metrics.ts';
import { needs, pathOf } from '../support/needs.ts';

/*
 * No cluster is needed: what is checked is everything that can be wrong in the files themselves, by themselves and, where
 * there is a kubectl, as it puts them together.
 */

/** A resource or a patch of one, as far as a test looks into it. */
interface Resource {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; annotations?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: kubernetes.schema.json says what it is.
  spec: any;
}
interface Container {
  name: string;
  image?: string;
  command?: string[];
  args?: string[];
  env?: { name: string; value?: string }[];
  ports?: { name: string; containerPort: number }[];
  securityContext?: object;
  resources?: Record<'requests' | 'limits', Record<string, string>>;
  [probe: `${string}Probe`]: { httpGet?: { path: string; port: string }; tcpSocket?: { port: string } };
}
interface Kustomization {
  namespace?: string;
  configMapGenerator?: { name: string; envs?: string[]; literals?: string[]; files?: string[] }[];
  patches?: { target: { kind: string }; patch?: string }[];
}

const folder = join(ROOT, 'ops/kubernetes');
const overlays = ['one-node', 'production'] as const;
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const load = (text: string): Resource[] =>
  parseAllDocuments(text, { merge: true }).map((document) => document.toJS());
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.yaml'));
const kustomizations = new Map<string, Kustomization>(
  files
    .filter((file) => file.endsWith('/kustomization.yaml'))
    .map((file) => [file.split('/')[0] ?? '', parse(read(`ops/kubernetes/${file}`), { merge: true })]),
);
const sources = files
  .filter((file) => !file.endsWith('/kustomization.yaml') && file !== 'restricted/container.yaml')
  .flatMap((file) => load(read(`ops/kubernetes/${file}`)));
const named = (kind: string, name: string, among = sources) =>
  among.find((one) => one.kind === kind && one.metadata.name === name);
const containersOf = (resources: Resource[]): Container[] =>
  resources.flatMap(({ spec }) => spec?.template?.spec?.containers ?? []);
const containers = containersOf(sources);
const specOf = (kind: string, name: string) => named(kind, name)?.spec;
const containerOf = (kind: string, name: string): Container =>
  specOf(kind, name)?.template.spec.containers[0];
const environmentOf = ({ env = [] }: Container) =>
  Object.fromEntries(env.map(({ name, value = '' }) => [name, value]));

const compose: {
  services: Record<string, { image: string; command: string[]; environment: Record<string, string> }>;
} = parse(read('docker-compose.yml'), { merge: true });
const dockerfile = read('Dockerfile');
const nginxTemplate = read('nginx/nginx.conf');

const pairs = (lines: string[]) =>
  Object.fromEntries(
    lines.filter((line) => /^\w+=/.test(line)).map((line) => line.split(/=(.*)/s).slice(0, 2)),
  ) as Record<string, string>;
const baseSettings = pairs(read('ops/kubernetes/base/settings.env').split('\n'));
const literalsOf = (overlay: string) =>
  pairs(kustomizations.get(overlay)?.configMapGenerator?.flatMap(({ literals = [] }) => literals) ?? []);
const imageSettings = pairs(
  (dockerfile.match(/^ENV (.+)$/gm) ?? []).flatMap((line) => line.slice(4).split(' ')),
);
const secretNames: string[] = specOf('ExternalSecret', 'stampede').data.map(
  ({ secretKey }: { secretKey: string }) => secretKey,
);
const secrets = {
  JWT_SECRET: 'a-secret-for-tests-of-32-characters-or-more',
  MONGO_URL: 'mongodb+srv://db.example.com/shop',
  REDIS_URL: 'rediss+sentinel://a.example.com:26379,b.example.com:26379/shop',
};
/** What a server or worker of the overlay finds in its environment. */
const settingsOf = (overlay: string): Record<string, string> => ({
  ...imageSettings,
  ...secrets,
  ...baseSettings,
  ...literalsOf(overlay),
});

const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema(JSON.parse(read('test/ops/kubernetes.schema.json')), 'kubernetes');
/** @returns null when it follows the schema of its kind. */
function faultsOf({ apiVersion, kind, ...rest }: Resource): unknown {
  const name = encodeURIComponent(`${apiVersion} ${kind}`.replace('/', '~1'));
  const validate = ajv.getSchema(`kubernetes#/kinds/${name}`);
  if (!validate) return `there is no schema of ${apiVersion} ${kind}`;
  return validate({ apiVersion, kind, ...rest }) ? null : validate.errors;
}

describe('what the manifests name is in the code', () => {
  test.each(overlays)('settings of %s are known, and have values that are taken', (overlay) => {
    const { STAMPEDE_DATA_DIR: _, ...environment } = settingsOf(overlay);
    expect(Object.keys(readConfig(environment))).toEqual(expect.arrayContaining(Object.keys(environment)));
    const inPods = containers.filter(({ name }) => name === 'app').flatMap(({ env = [] }) => env);
    const patched = [...kustomizations.values()].flatMap(({ patches = [] }) =>
      patches.flatMap(({ patch = '' }) => [...patch.matchAll(/\{ name: (\w+),/g)].map(([, name]) => name)),
    );
    for (const name of [...inPods.map(({ name }) => name), ...patched, ...secretNames]) {
      expect(Object.keys(readConfig(environment)), name).toContain(name);
    }
  });

  test('every setting of docker compose is here, or is left out for a reason', () => {
    const leftOut: Record<string, string> = {
      RABBITMQ_URL: 'the Secret has it where there is a RabbitMQ',
      SMTP_URL: 'the Secret has it where buyers get mail',
      OIDC_CLIENT_SECRET: 'the Secret has it where there is an identity provider',
      STRIPE_SECRET_KEY: 'the Secret has it where PAYMENT_PROVIDER is stripe',
      STRIPE_PUBLISHABLE_KEY: 'the Secret has it where PAYMENT_PROVIDER is stripe',
      STRIPE_WEBHOOK_SECRETS: 'the Secret has it where PAYMENT_PROVIDER is stripe',
      EXTERNAL_CHECKOUT_URL: 'the shop adds it where PAYMENT_PROVIDER is external',
      PROXY_ANSWERS_DIR: 'nginx runs in pods of its own, and no folder is shared between pods',
    };
    const here = { ...settingsOf('one-node'), ...leftOut };
    for (const service of ['server', 'worker']) {
      const { environment = {} } = compose.services[service] ?? {};
      expect(Object.keys(here)).toEqual(expect.arrayContaining(Object.keys(environment)));
    }
    const known = Object.keys(settingsOf('one-node'));
    expect(Object.keys(leftOut).filter((name) => known.includes(name))).toEqual([]);
  });

  test('a pod has longer to stop than the process takes for it, and listens until nginx has asked DNS again', () => {
    const { STOP_DEADLINE_MS, DRAIN_NOTICE_MS } = readConfig(settingsOf('production'));
    const [pod] = load(read('ops/kubernetes/app/pod.yaml'));
    expect(pod?.spec.template.spec.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(STOP_DEADLINE_MS);
    const validSeconds = Number(/resolver .* valid=(\d+)s/.exec(nginxTemplate)?.[1]);
    expect(DRAIN_NOTICE_MS).toBeGreaterThan(validSeconds * 1_000);
  });

  test('commands are those of docker compose and the image, and their files are in the image', () => {
    expect(containerOf('Deployment', 'server')).not.toHaveProperty('args');
    expect(containerOf('Deployment', 'worker').args).toEqual(compose.services.worker?.command);
    expect(containerOf('StatefulSet', 'mongo').args).toEqual(compose.services.mongo?.command);
    expect(containerOf('StatefulSet', 'redis').args).toEqual(compose.services.redis?.command);
    const entries = containers.flatMap(({ args = [] }) => args.filter((arg) => arg.endsWith('.ts')));
    expect(entries.length).toBeGreaterThan(2);
    for (const entry of entries) {
      expect(existsSync(join(ROOT, entry)), entry).toBe(true);
      expect(dockerfile).toContain(`COPY ${entry.split('/')[0]} `);
    }
    for (const name of ['nginx', 'mongo', 'redis']) {
      const { image } = containers.find((container) => container.name === name) ?? {};
      expect(image).toBe(compose.services[name]?.image);
    }
  });

  test('files that become ConfigMaps are there', () => {
    for (const place of ['nginx', 'ops/redis']) {
      const { configMapGenerator = [] }: Kustomization = parse(read(`${place}/kustomization.yaml`));
      for (const file of configMapGenerator.flatMap(({ files = [] }) => files)) {
        expect(existsSync(join(ROOT, place, file.split('=').at(-1) ?? '')), file).toBe(true);
      }
    }
  });

  test('probes and Prometheus ask for paths that are answered, at ports that are there', () => {
    const ports = containers.flatMap(({ ports = [] }) => ports);
    for (const { name, containerPort } of ports.filter(({ name }) => name === 'http')) {
      expect([name, String(containerPort)]).toEqual(['http', imageSettings.PORT]);
    }
    const probes = containers.flatMap((container) =>
      (['startupProbe', 'readinessProbe', 'livenessProbe'] as const).flatMap((kind) => container[kind] ?? []),
    );
    const asked = probes.flatMap(({ httpGet }) => httpGet?.path ?? []);
    expect(new Set(asked)).toEqual(new Set(['/healthz', '/readyz']));
    for (const path of asked) expect(read('runtime/observe/health.ts')).toContain(`'${path}'`);
    const [{ path }] = specOf('PodMonitor', 'stampede').podMetricsEndpoints;
    expect(read('runtime/observe/metrics.ts')).toContain(`'${path}'`);
    const names = ports.map(({ name }) => name);
    for (const { spec } of sources.filter(({ kind }) => kind === 'Service')) {
      for (const { targetPort } of spec.ports) expect(names).toContain(targetPort);
    }
    for (const { httpGet, tcpSocket } of probes) {
      const port = (httpGet ?? tcpSocket)?.port;
      if (port) expect(names).toContain(port);
    }
  });

  test('autoscaling asks for metrics that there are', () => {
    const [ofServers, ofWorkers] = [new Registry(), new Registry()];
    const totals = { admissions: {}, orders: {}, payments: {} } as Counters['totals'];
    openServerMetrics(ofServers, { totals });
    openWorkerMetrics(
      ofWorkers,
      { totals },
      () => false,
      () => [],
    );
    openClusterMetrics(ofWorkers, {} as ClusterFigures);
    const queries = sources
      .filter(({ kind }) => kind === 'ScaledObject')
      .flatMap(({ spec }) => spec.triggers.flatMap(({ metadata }: { metadata: object }) => metadata))
      .flatMap(({ query = '' }: { query?: string }) => query.match(/\bstampede_\w+/g) ?? []);
    expect(queries.length).toBe(3);
    for (const name of queries) {
      const metric = name.replace(/_bucket$/, '');
      expect(ofServers.getSingleMetric(metric) ?? ofWorkers.getSingleMetric(metric), name).toBeDefined();
    }
    for (const { kind, spec } of sources.filter(({ kind }) => kind === 'ScaledObject')) {
      expect(named('Deployment', spec.scaleTargetRef.name), kind).toBeDefined();
    }
  });

  test('nginx’ template gets just the variables that it has, and finds the servers', () => {
    const given = environmentOf(containerOf('Deployment', 'nginx'));
    const wanted = new Set(nginxTemplate.match(/(?<=\$\{)STAMPEDE_\w+(?=\})/g));
    expect(new Set(Object.keys(given).filter((name) => name.startsWith('STAMPEDE_')))).toEqual(wanted);
    for (const overlay of overlays) {
      const host = `server.${kustomizations.get(overlay)?.namespace}.svc.cluster.local:${imageSettings.PORT}`;
      expect(given.STAMPEDE_UPSTREAM_SERVERS).toContain(`server ${host} resolve `);
      expect(given.STAMPEDE_PURCHASE_SERVERS).toContain(`server ${host} resolve `);
    }
  });

  test('the Ingress has the widest bounds of nginx, and the address that PUBLIC_URL says', () => {
    const { annotations = {} } = named('Ingress', 'shop')?.metadata ?? {};
    const annotation = (name: string) => annotations[`nginx.ingress.kubernetes.io/${name}`];
    const widest = (directive: string) =>
      [...nginxTemplate.matchAll(new RegExp(`${directive} (\\d+)[sm];`, 'g'))]
        .map(([, value]) => Number(value))
        .reduce((a, b) => Math.max(a, b));
    expect(annotation('proxy-read-timeout')).toBe(String(widest('proxy_read_timeout')));
    expect(annotation('proxy-send-timeout')).toBe(String(widest('proxy_send_timeout')));
    expect(annotation('proxy-body-size')).toBe(`${widest('client_max_body_size')}m`);
    for (const overlay of overlays) {
      const patch = kustomizations.get(overlay)?.patches?.find(({ target }) => target.kind === 'Ingress');
      const hosts = parse(patch?.patch ?? '').map(({ value }: { value: string }) => value);
      const { host } = new URL(literalsOf(overlay).PUBLIC_URL ?? '');
      expect(hosts).toEqual([host, host]);
    }
  });

  test('the databases of one node are where its settings say', () => {
    const { MONGO_URL = '', REDIS_URL = '' } = literalsOf('one-node');
    for (const [url, name] of [[MONGO_URL, 'mongo'] as const, [REDIS_URL, 'redis'] as const]) {
      const { port } = specOf('Service', name).ports[0];
      expect(new URL(url).host).toBe(`${name}:${port}`);
      expect(containerOf('StatefulSet', name).ports?.[0]?.containerPort).toBe(port);
    }
  });

  test('the alerts become a PrometheusRule as they are', async () => {
    const { ok, stdout } = await run('sh', [join(folder, 'prometheus-rule.sh')], { deadlineMs: 10_000 });
    expect(ok).toBe(true);
    const [rule] = load(stdout) as [Resource];
    expect(faultsOf(rule)).toBeNull();
    expect(rule.spec).toEqual(parse(read('ops/alerts.yml')));
  });

  test('no secret is in a file', () => {
    expect(sources.filter(({ kind }) => kind === 'Secret')).toEqual([]);
    for (const name of ['JWT_SECRET', 'SMTP_URL', 'RABBITMQ_URL']) {
      expect({ ...baseSettings, ...literalsOf('one-node'), ...literalsOf('production') }).not.toHaveProperty(
        name,
      );
    }
    expect(read('.gitignore')).toContain('ops/kubernetes/one-node/secrets.env');
  });
});

test('what is whole follows the schema of its kind, and a field that there is not is found', () => {
  // Of these a part is in a patch, and only kubectl puts them together.
  const isPatched = ({ kind, metadata }: Resource) =>
    kind === 'Job' || (kind === 'Deployment' && metadata.name !== 'nginx');
  for (const resource of sources.filter((one) => !isPatched(one))) {
    expect([resource.metadata.name, faultsOf(resource)]).toEqual([resource.metadata.name, null]);
  }
  const policy = structuredClone(named('NetworkPolicy', 'nginx')) as Resource;
  policy.spec.ingress[0].sources = [];
  expect(faultsOf(policy)).toMatchObject([{ params: { additionalProperty: 'sources' } }]);
});

describe('as kubectl puts them together', needs('kubectl'), () => {
  let dir: string;
  const texts = new Map<string, string>();
  const resourcesOf = (overlay: string) => load(texts.get(overlay) ?? '');

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'stampede-kubernetes-'));
    for (const place of ['nginx', 'ops/redis', 'ops/kubernetes']) {
      await cp(join(ROOT, place), join(dir, place), { recursive: true });
    }
    await writeFile(join(dir, 'ops/kubernetes/one-node/secrets.env'), `JWT_SECRET=${secrets.JWT_SECRET}\n`);
    const withSubscriber = join(dir, 'ops/kubernetes/with-subscriber');
    await cp(join(dir, 'ops/kubernetes/production'), withSubscriber, { recursive: true });
    const kustomization = read('ops/kubernetes/production/kustomization.yaml');
    await writeFile(
      join(withSubscriber, 'kustomization.yaml'),
      kustomization.replace('components: [', 'components: [../subscriber, '),
    );
    for (const overlay of [...overlays, 'with-subscriber']) {
      const { ok, stdout, output } = await run(
        pathOf('kubectl') ?? '',
        ['kustomize', join(dir, 'ops/kubernetes', overlay)],
        { deadlineMs: 60_000 },
      );
      expect(ok, output).toBe(true);
      texts.set(overlay, stdout);
    }
  });
  afterAll(() => rm(dir, { recursive: true }));

  test.each([...overlays, 'with-subscriber'])('%s follows the schemas', (overlay) => {
    const resources = resourcesOf(overlay);
    expect(resources.length).toBeGreaterThan(15);
    for (const resource of resources) {
      expect([resource.metadata.name, faultsOf(resource)]).toEqual([resource.metadata.name, null]);
    }
  });

  test.each([...overlays, 'with-subscriber'])('no pod of %s may do more than it needs', (overlay) => {
    const pods = resourcesOf(overlay).flatMap(({ spec }) => spec?.template?.spec ?? []);
    expect(pods.length).toBeGreaterThan(3);
    for (const pod of pods) {
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: expect.any(Number),
          seccompProfile: { type: 'RuntimeDefault' },
        },
      });
      expect(pod.topologySpreadConstraints).toHaveLength(2);
      for (const { securityContext, resources } of pod.containers as Container[]) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        for (const kind of ['requests', 'limits'] as const) {
          expect(Object.keys(resources?.[kind] ?? {}).sort()).toEqual(['cpu', 'ephemeral-storage', 'memory']);
        }
      }
    }
  });

  test('what serves or works can be probed, and one at a time be taken away', () => {
    const resources = resourcesOf('with-subscriber');
    for (const name of ['server', 'worker', 'subscriber']) {
      const [app] = named('Deployment', name, resources)?.spec.template.spec.containers ?? [];
      for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe'])
        expect(app).toHaveProperty(probe);
      expect(named('PodDisruptionBudget', name, resources)?.spec).toMatchObject({ maxUnavailable: 1 });
    }
    const [worker] = named('Deployment', 'worker', resources)?.spec.template.spec.containers ?? [];
    expect(environmentOf(worker)).toMatchObject({ SUBSCRIBERS: 'none' });
  });

  test('the network lets those speak who have to, and nobody else', () => {
    const policies = resourcesOf('one-node').filter(({ kind }) => kind === 'NetworkPolicy');
    const refused = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] };
    expect(named('NetworkPolicy', 'deny-all', policies)?.spec).toEqual(refused);
    const components = ['nginx', 'server', 'worker', 'migrate', 'mongo', 'redis'];
    const ports: Record<string, string> = { mongo: 'mongo', redis: 'redis' };
    const spoken = components.flatMap((from) =>
      components
        .filter((to) => allows(policies, { from, to, port: ports[to] ?? 'http' }))
        .map((to) => `${from} → ${to}`),
    );
    expect(spoken).toEqual([
      'nginx → server',
      ...['server → mongo', 'server → redis', 'worker → mongo', 'worker → redis'],
      ...['migrate → mongo', 'migrate → redis', 'mongo → mongo'],
    ]);
  });

  test.each(overlays)('kube-score finds nothing critical in %s', needs('kube-score'), async (overlay) => {
    const file = join(dir, `${overlay}.yaml`);
    await writeFile(file, texts.get(overlay) ?? '');
    const ignored = [
      // A tag is never pushed twice, and a pod that starts in a rush should not wait for a registry.
      'container-image-pull-policy',
      // The users are those of the images.
      'container-security-context-user-group-id',
      // A server answers what it can while a database is away: see base/server.yaml.
      'pod-probes-identical',
      'pod-probes',
      // There is one of each database on one node.
      'statefulset-has-poddisruptionbudget',
    ];
    const args = ['score', '--ignore-test', ignored.join(','), file];
    const { ok, output } = await run(pathOf('kube-score') ?? '', args, { deadlineMs: 60_000 });
    expect(ok, output).toBe(true);
  });
});

interface Selector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values: string[] }[];
}
interface Rule {
  from?: { podSelector?: Selector }[];
  to?: { podSelector?: Selector }[];
  ports?: { port: string | number }[];
}

/** Whether a pod may open a connection to another one of the namespace: both have to agree. */
function allows(
  policies: Resource[],
  { from, to, port }: { from: string; to: string; port: string },
): boolean {
  const selects = ({ matchLabels = {}, matchExpressions = [] }: Selector, component: string) =>
    Object.values(matchLabels).every((value) => value === component) &&
    matchExpressions.every(({ operator, values }) => operator === 'In' && values.includes(component));
  const permits = (direction: 'ingress' | 'egress', of: string, other: string) =>
    policies
      .filter(({ spec }) => selects(spec.podSelector, of))
      .flatMap(({ spec }): Rule[] => spec[direction] ?? [])
      .some(
        ({ from = [], to = [], ports = [] }) =>
          [...from, ...to].some(({ podSelector }) => podSelector && selects(podSelector, other)) &&
          ports.some((one) => one.port === port),
      );
  return permits('egress', from, to) && permits('ingress', to, from);
}
