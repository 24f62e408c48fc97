import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { printTable } from '../report/table.ts';

const folder = new URL('../results/profiles/', import.meta.url);
const fileOf = (name: string) => fileURLToPath(new URL(`${name}.cpuprofile`, folder));

export interface CpuProfile {
  nodes: {
    id: number;
    callFrame: { functionName: string; url: string; lineNumber: number };
    children?: number[];
  }[];
  samples: number[];
  /** Microseconds before each sample. */
  timeDeltas: number[];
}

/** The entry points that can be profiled. */
export const profiledEntries = {
  server: 'bench/measure/profiled/server.ts',
  worker: 'bench/measure/profiled/worker.ts',
};

/** Profiles processes while `work` runs. Each writes bench/results/profiles/<name>.cpuprofile. */
export async function profileDuring(
  processes: { name: string; pid: number }[],
  work: () => Promise<unknown>,
): Promise<void> {
  for (const { name } of processes) rmSync(fileOf(name), { force: true });
  for (const { pid } of processes) process.kill(pid, 'SIGUSR2');
  await work();
  for (const { pid } of processes) process.kill(pid, 'SIGUSR2');
  for (const { name } of processes) {
    await waitUntil(async () => readProfile(name) !== null, {
      deadlineMs: 20_000,
      what: `${name} wrote no profile`,
    });
  }
}

/** @returns null when the file does not exist yet, or is only half written. */
export function readProfile(name: string): CpuProfile | null {
  try {
    return JSON.parse(readFileSync(fileOf(name), 'utf8'));
  } catch {
    return null;
  }
}

/** Prints the self time of a profiled process by package and by function, the most expensive first. */
export function printProfile(name: string, top = 15): void {
  const { nodes, samples, timeDeltas } = readProfile(name) ?? { nodes: [], samples: [], timeDeltas: [] };
  const micros = new Map<number, number>();
  samples.forEach((id, n) => {
    micros.set(id, (micros.get(id) ?? 0) + (timeDeltas[n] ?? 0));
  });
  const [byPackage, byFunction] = [new Map<string, number>(), new Map<string, number>()];
  for (const { id, callFrame } of nodes) {
    const own = micros.get(id) ?? 0;
    if (callFrame.functionName === '(idle)') continue;
    const from = packageOf(callFrame.url, callFrame.functionName);
    add(byPackage, from, own);
    add(byFunction, `${callFrame.functionName || '(anonymous)'}  ${from}`, own);
  }
  const total = [...byPackage.values()].reduce((a, b) => a + b, 0);
  console.log(`\n${name}: self time, of ${(total / 1e6).toFixed(1)} s of CPU`);
  for (const entries of [byPackage, byFunction]) {
    const sorted = [...entries].sort((a, b) => b[1] - a[1]).slice(0, top);
    printTable(
      ['', '%'],
      sorted.map(([what, own]) => [`  ${what}`, ((own * 100) / total).toFixed(1)]),
    );
  }
}

/** The package, the Node module or the file of this project that a function belongs to. */
export function packageOf(url: string, functionName: string): string {
  if (url === '') return functionName.startsWith('(') ? functionName : 'native';
  if (url.startsWith('node:')) return url;
  const installed = /node_modules\/((?:@[^/]+\/)?[^/]+)(?!.*node_modules)/.exec(url);
  if (installed) return installed[1] as string;
  return /\/((?:sale|server|worker|runtime)\/[\w-]+\.ts)/.exec(url)?.[1] ?? 'other';
}

function add(totals: Map<string, number>, key: string, value: number): void {
  totals.set(key, (totals.get(key) ?? 0) + value);
}
