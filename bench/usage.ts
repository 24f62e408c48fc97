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
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids.reduce((seconds, pid) => seconds + cpuSecondsIn(pid, leaderPid), 0);
  } catch {
    return Number.NaN;
  }
}

function cpuSecondsIn(pid: string, leaderPid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name is in parentheses and may hold spaces; what follows is state, ppid, pgrp, … utime, stime, and those of
    // children that have ended, as Redis has them when it writes its file anew.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(fields[2]) !== leaderPid) return 0;
    return fields.slice(11, 15).reduce((ticks, field) => ticks + Number(field), 0) / ticksPerSecond;
  } catch {
    return 0; // It ended while we looked.
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
  for (const pid of pidsOfGroup(leaderPid)) {
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

function pidsOfGroup(leaderPid: number): string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => groupOf(pid) === leaderPid);
}

function groupOf(pid: string): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
  } catch {
    return Number.NaN;
  }
}
