import { readdirSync, readFileSync } from 'node:fs';

/** /proc reports CPU time in hundredths of a second. */
const ticksPerSecond = 100;

/**
 * CPU seconds that all processes of a group have used until now. Every part of Stampede leads a process group, so that
 * nginx' workers count as nginx.
 * @returns NaN where there is no /proc.
 */
function cpuSecondsOfGroup(leaderPid: number): number {
  try {
    return processesOfGroup(leaderPid).reduce((seconds, { cpuSeconds }) => seconds + cpuSeconds, 0);
  } catch {
    return Number.NaN;
  }
}

/** The running processes of a group, and the CPU seconds of each, including its children that have exited. */
function processesOfGroup(leaderPid: number): { pid: string; cpuSeconds: number }[] {
  return readdirSync('/proc').flatMap((pid) => {
    const fields = /^\d+$/.test(pid) ? statOf(pid) : [];
    if (Number(fields[2]) !== leaderPid) return [];
    // utime, stime, cutime, cstime: the last two count exited children, such as the one that rewrites Redis' AOF.
    const ticks = fields.slice(11, 15).reduce((total, field) => total + Number(field), 0);
    return [{ pid, cpuSeconds: ticks / ticksPerSecond }];
  });
}

/** The fields of /proc/<pid>/stat after the name, which may contain spaces: state, ppid, pgrp, … */
function statOf(pid: string): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // The process exited meanwhile.
  }
}

/** @returns a function that returns the CPU seconds each process has used since this call, by name. */
export function measureCpu(processes: () => { name: string; pid: number }[]): () => Record<string, number> {
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

/** Resident memory in MB, and open files and sockets, of a process group. */
export function memoryAndHandlesOfGroup(leaderPid: number): { memoryMb: number; handles: number } {
  let [memoryMb, handles] = [0, 0];
  for (const { pid } of processesOfGroup(leaderPid)) {
    try {
      const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
      memoryMb += (pages * pageBytes) / 2 ** 20;
      handles += readdirSync(`/proc/${pid}/fd`).length;
    } catch {
      // The process exited meanwhile.
    }
  }
  return { memoryMb, handles };
}

const pageBytes = 4_096;
