import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts CPU time in hundredths of a second for whoever asks through /proc. */
const ticksPerSecond = 100;

/**
 * CPU seconds that a process and the others of its group have used until now. Every part of Stampede leads a group
 * of its own, so nginx' workers count as nginx.
 * @returns NaN where there is no /proc.
 */
function cpuSecondsOfGroup(leaderPid: number): number {
  try {
    return processesOfGroup(leaderPid).reduce((seconds, { cpuSeconds }) => seconds + cpuSeconds, 0);
  } catch {
    return Number.NaN;
  }
}

/** The living processes of a group, and the CPU seconds of each with its children that have ended. */
function processesOfGroup(leaderPid: number): { pid: string; cpuSeconds: number }[] {
  return readdirSync('/proc').flatMap((pid) => {
    const fields = /^\d+$/.test(pid) ? statOf(pid) : [];
    if (Number(fields[2]) !== leaderPid) return [];
    // utime, stime, and those of the children: Redis has one that writes its file anew.
    const ticks = fields.slice(11, 15).reduce((total, field) => total + Number(field), 0);
    return [{ pid, cpuSeconds: ticks / ticksPerSecond }];
  });
}

/** What /proc says of a process after its name, which may hold spaces: state, ppid, pgrp, … */
function statOf(pid: string): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // It ended while we looked.
  }
}

/** @returns a function that says how many CPU seconds each process used since this call, by name. */
export function watchCpu(processes: () => { name: string; pid: number }[]): () => Record<string, number> {
  const watched = processes();
  const now = () => watched.map(({ pid }) => cpuSecondsOfGroup(pid));
  const before = now();
  const ownBefore = process.cpuUsage();
  return () => {
    const after = now();
    const { user, system } = process.cpuUsage(ownBefore);
    const used = watched.map(({ name }, n) => [name, (after[n] ?? 0) - (before[n] ?? 0)] as const);
    return Object.fromEntries([...used, ['load', (user + system) / 1e6] as const]);
  };
}

/** What a process group holds: resident memory in MB, and open files and sockets. */
export function holdingsOfGroup(leaderPid: number): { memoryMb: number; handles: number } {
  let [memoryMb, handles] = [0, 0];
  for (const { pid } of processesOfGroup(leaderPid)) {
    try {
      const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
      memoryMb += (pages * pageBytes) / 2 ** 20;
      handles += readdirSync(`/proc/${pid}/fd`).length;
    } catch {
      // It ended while we looked.
    }
  }
  return { memoryMb, handles };
}

const pageBytes = 4_096;
