import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

const folder = new URL('../results/', import.meta.url);

/** The machine, the versions and the command of a run, without which its figures mean nothing. */
export interface RunEnvironment {
  at: string;
  command: string;
  node: string;
  cpu: string;
  cores: number;
  memoryGb: number;
}

/** Writes bench/results/<scenario>.json. @returns its path relative to the repository. */
export function saveResult(scenario: string, result: object): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(fileOf(scenario), `${JSON.stringify({ ...runEnvironment(), ...result }, rounded, 2)}\n`);
  return `bench/results/${scenario}.json`;
}

/** @returns null when the scenario has no result yet. */
export function readResult<Result>(scenario: string): (RunEnvironment & Result) | null {
  try {
    return JSON.parse(readFileSync(fileOf(scenario), 'utf8'));
  } catch {
    return null;
  }
}

const fileOf = (scenario: string) => fileURLToPath(new URL(`${scenario}.json`, folder));

function runEnvironment(): RunEnvironment {
  const [first] = cpus();
  return {
    at: new Date().toISOString(),
    command: `npm run bench -- ${process.argv.slice(2).join(' ')}`,
    node: process.version,
    cpu: first?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
  };
}

/** Rounds to five digits, because more would only be noise in a diff. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(5)) : value;
}
