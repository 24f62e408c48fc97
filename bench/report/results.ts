import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

const folder = new URL('../results/', import.meta.url);

/** Where and how a result came about: without it a figure means nothing. */
export interface Circumstances {
  at: string;
  command: string;
  node: string;
  cpu: string;
  cores: number;
  memoryGb: number;
}

/** Writes bench/results/<scenario>.json. @returns its path, as a reader would type it. */
export function saveResult(scenario: string, result: object): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(fileOf(scenario), `${JSON.stringify({ ...circumstances(), ...result }, rounded, 2)}\n`);
  return `bench/results/${scenario}.json`;
}

/** @returns null when the scenario has not been run yet. */
export function readResult<Result>(scenario: string): (Circumstances & Result) | null {
  try {
    return JSON.parse(readFileSync(fileOf(scenario), 'utf8'));
  } catch {
    return null;
  }
}

const fileOf = (scenario: string) => fileURLToPath(new URL(`${scenario}.json`, folder));

function circumstances(): Circumstances {
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

/** More digits than these would only be noise in a diff. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(5)) : value;
}
