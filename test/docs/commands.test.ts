import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { withDatabase } from '../../ops/local/databases/database-url.mjs';
import { ROOT } from '../../ops/local/folders.mjs';
import { freePort } from '../../ops/local/processes/port.mjs';
import { type Launched, launch, run, stop, waitUntil } from '../../ops/local/processes/process.mjs';
import { needs } from '../support/needs.ts';

/** Commands of the documents that end by themselves, with what makes them short enough for a test. */
const ending: Record<string, string> = {
  'npm run audit': '',
  'npm run events -- tail': '',
  'npm run replay': '',
  'npm run admin -- create YOU@EXAMPLE.COM': '',
  'npm run admin -- list': '',
  'npm run api-keys -- list': '',
  'npm run tls': '',
  'npm run bench -- burst': '--presses 400 --buyers 200 --stock 20 --connections 20',
  'npm run simulate -- --runs 1000': '--runs 2',
  "npm test -- test/sale/buying.test.ts -t 'a buyer signs up'": '',
};

/** Commands that run until they are stopped, with what they say when they are up. */
const lasting: Record<string, RegExp> = {
  'npm start': /Ctrl-C stops everything/,
  'npm run server': /listening/,
  'npm run worker': /worker started/,
  'npm run subscriber -- analytics,webhooks': /subscriber process started/,
};

/** Commands that a test cannot run, and why. */
const leftOut: Record<string, string> = {
  'npm run nemesis -- --minutes 5': 'it needs root; test/nemesis/nemesis.test.ts runs it',
  'npm run simulate-scale': 'it plans for minutes; test/bench/model.test.ts tests the simulation',
  'npm ci': 'it would replace the packages that this test runs on; .ci/run begins with it',
  'npm test': 'it runs this test',
  'npm test -- test/sale/buying.test.ts': 'it is run with the choice of one test',
  'npm run test:faults': '`npm test` runs the same files',
  'FAULTS_SEED=<n> npm run test:faults': '`npm test` runs the same files',
  '.ci/run': 'it runs this test',
  'npm run check': 'it takes minutes; .ci/run does it before the tests',
  'npm run format': 'it changes files',
  'npm run screenshots': 'it takes the pictures of README.md anew',
  'npm run verify-draw -- FILE': 'it needs the file of a draw; test/sale/places/places.test.ts runs it',
  'npm run verify-beacon -- FILE': 'as verify-draw',
  'npm run rehearse -- --sale ID --buyers N':
    'it needs the id of a sale; test/rehearsal/rehearsal.test.ts runs it',
  'npm run monitor': 'its port is fixed; test/ops/prometheus.test.ts runs Prometheus on these files',
  'npm run campus-food': 'test/examples/campus-start.test.ts runs it',
  'npm run example-shop': 'test/examples/shop.test.ts runs it',
  'npm run example-protected-page': 'test/examples/protected-page.test.ts runs it',
  'npm run client': 'it changes a file; test/server/openapi.test.ts says when it has to be run',
  'npm run bench -- model': 'it takes minutes',
  'npm run bench -- compare --rounds 2': 'it takes minutes',
  'npm run bench -- workers': 'it takes minutes',
  'npm run bench -- workers --engine rabbitmq': 'it takes minutes',
  'PORT=8081 npm start': 'it is run as `npm start`, on a free port',
  'PURCHASE_QUEUE=rabbitmq EVENT_BUS=rabbitmq npm start':
    'it may install RabbitMQ; test/faults/queue/rabbitmq.test.ts runs the same system',
  'docker compose --profile monitoring up': 'it needs a Docker engine',
  'JWT_SECRET=$(openssl rand -base64 48) docker compose up --build':
    'it needs a Docker engine; test/ops/compose.test.ts checks the files and runs what is in the image',
};

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const isCommand = (text: string) => /^([A-Z_]+=\S* |[A-Z_]+=\$\([^)]*\) )*(npm |docker |\.ci\/)/.test(text);

/** The commands in the indented blocks, the tables and the sentences of a document. */
function commandsOf(file: string): string[] {
  const text = read(file)
    // An option that a cell names by itself belongs to the command before it.
    .replace(/`(npm test -- \S+)`, and `(-t '[^']+')`/, '`$1`, `$1 $2`');
  const blocks = [...text.matchAll(/^ {4}(\S.*)$/gm)].map(([, line = '']) => line.replace(/\s+#.*$/, ''));
  const spans = [...text.matchAll(/`([^`]+)`/g)].map(([, span = '']) => span);
  return [...blocks, ...spans].filter(isCommand);
}
const commands = [...new Set(['README.md', 'CONTRIBUTING.md'].flatMap(commandsOf))];

test('every command of README and CONTRIBUTING is run here, or left out for a reason', () => {
  const known = [ending, lasting, leftOut].flatMap((list) => Object.keys(list));
  expect(commands.sort()).toEqual(known.sort());
});

describe('the commands', needs('nginx'), () => {
  let dir: string;
  let env: NodeJS.ProcessEnv;
  let shop: Launched;

  const start = (command: string, more: NodeJS.ProcessEnv = {}) =>
    launch(command, 'sh', ['-c', `exec ${command}`], {
      cwd: ROOT,
      logFile: join(dir, `${nanoid()}.log`),
      env: { ...env, ...more },
    });
  const says = (launched: Launched, pattern: RegExp) =>
    waitUntil(() => pattern.test(readFileSync(launched.logFile, 'utf8')), {
      deadlineMs: 60_000,
      what: `${launched.name} does not say ${pattern}`,
      launched,
    });

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'stampede-commands-'));
    // A command is not a part of the run of tests that started it.
    const inherited = Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_ENV$|npm_)/.test(name));
    env = { ...Object.fromEntries(inherited), STAMPEDE_DATA_DIR: dir };
    shop = await start('npm start', {
      PORT: String(await freePort()),
      MONGO_URL: withDatabase(inject('mongoUrl'), `commands-${nanoid(6)}`),
    });
    await says(shop, lasting['npm start'] ?? /./);
  });
  afterAll(async () => {
    // As Ctrl-C does, to all of its group.
    process.kill(-shop.pid, 'SIGINT');
    await shop.ended;
    await rm(dir, { recursive: true });
  });

  test.each(Object.keys(lasting).filter((command) => command !== 'npm start'))('%s', async (command) => {
    const { env: running } = JSON.parse(readFileSync(join(dir, 'running.json'), 'utf8'));
    const launched = await start(command, { ...running, PORT: String(await freePort()) });
    try {
      await says(launched, lasting[command] ?? /./);
    } finally {
      await stop(launched);
    }
  });

  test.each(Object.entries(ending))(
    '%s',
    async (command, options) => {
      const isChosenTest = command.startsWith('npm test');
      const { ok, output } = await run('sh', ['-c', `${command} ${options}`], {
        cwd: ROOT,
        env,
        deadlineMs: isChosenTest ? 120_000 : 50_000,
      });
      expect(ok, output).toBe(true);
      if (isChosenTest) expect(output).toMatch(/1 passed/);
    },
    130_000,
  );
});

describe('what the documents name', () => {
  const files = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
  const documents = files.filter((file) => file.endsWith('.md'));
  const names = new Set(files.map((file) => basename(file)));
  const folders = new Set(files.flatMap((file) => file.split('/').slice(0, -1)));
  const { scripts } = JSON.parse(read('package.json'));
  const madeByRuns = ['secrets.json', 'accounts.json', 'bench/results/report.html'];
  const isFile = /^[\w.-]+\.(ts|mjs|js|lua|md|html|css|json|ya?ml|sh|conf|png|svg|webp|py)$/;

  test.each(documents)('in %s is here', (file) => {
    const text = read(file);
    const here = (path: string) =>
      [ROOT, join(ROOT, dirname(file))].some((folder) => existsSync(join(folder, path)));

    for (const [, script = ''] of text.matchAll(/\bnpm run ([\w:-]+)/g))
      expect(scripts, `npm run ${script}`).toHaveProperty([script]);
    for (const [, link = ''] of text.matchAll(/\]\(((?!https?:|#)[^)#]+)/g))
      expect(existsSync(join(ROOT, dirname(file), link)), link).toBe(true);
    for (const [, span = ''] of text.matchAll(/`([^`\s]+)`/g)) {
      if (madeByRuns.includes(span)) continue;
      if (isFile.test(span)) expect(names, span).toContain(span);
      const [first = '', ...rest] = span.split('/');
      // A path of a folder of ours, or one that ends as a file of ours would; not what a run leaves, nor an address.
      const isPath = rest.length > 0 && (folders.has(first) || isFile.test(basename(span)));
      if (isPath && /^[\w.][\w./-]*$/.test(span) && first !== '.data') expect(here(span), span).toBe(true);
    }
  });

  test('the tests of the faults are here', () => {
    const cells = [...read('docs/RELIABILITY.md').matchAll(/\| ([^|]*) \|$/gm)].map(([, cell = '']) => cell);
    const tests = cells.flatMap((cell) =>
      [...cell.matchAll(/`([a-z-]+)`/g)].map(([, name]) => `${name}.test.ts`),
    );
    expect(tests.length).toBeGreaterThan(20);
    expect(tests.filter((name) => !names.has(name))).toEqual([]);
  });
});
