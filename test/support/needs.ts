import { existsSync } from 'node:fs';
import { findRabbitHere } from '../../ops/local/databases/rabbit.mjs';
import { findProgram } from '../../ops/local/programs/program.mjs';

/** Where Debian and Ubuntu keep it. @returns null when it is not there. */
function findLibrary(file: string): string | null {
  const folders = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((arch) => `/usr/lib/${arch}/faketime`);
  return folders.map((folder) => `${folder}/${file}`).find((path) => existsSync(path)) ?? null;
}

/** What some tests need and `npm test` does not bring, with how to get it. */
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
  libfaketime: {
    path: findLibrary('libfaketime.so.1'),
    howTo: 'apt-get install faketime',
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
    /** The program for lack of which a test, or all tests of a suite, were left out. */
    lacks?: Program;
  }
}

export const howToGet = (program: Program): string => programs[program].howTo;

/** @returns its path; null when this machine has none. */
export const pathOf = (program: Program): string | null => programs[program].path;

/** Options of a test or suite that is left out where the program is missing; test/support/left-out.ts names it in the end. */
export const needs = (program: Program) => (pathOf(program) ? {} : { skip: true, meta: { lacks: program } });

/** Each of their tests needs RabbitMQ. */
const rabbitFiles = [
  'test/messages/rabbit-bus.test.ts',
  'test/faults/queue/rabbitmq.test.ts',
  'test/examples/campus-food.test.ts',
];
/** The files that are not even looked at. */
export const filesLeftOut = pathOf('RabbitMQ') ? [] : rabbitFiles;
