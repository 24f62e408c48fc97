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
    // The name is in parentheses and may hold spaces; what follows is state, ppid, pgrp, … utime, stime.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(fields[2]) !== leaderPid) return 0;
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  } catch {
    return 0; // It ended while we looked.
  }
}

/** @returns a function that says how many CPU seconds each process used since this call, by name. */
export function watchCpu(processes: { name: string; pid: number }[]): () => Record<string, number> {
  const now = () => processes.map(({ pid }) => cpuSecondsOfGroup(pid));
  const before = now();
  const ownBefore = process.cpuUsage();
  return () => {
    const after = now();
    const { user, system } = process.cpuUsage(ownBefore);
    const used = processes.map(({ name }, n) => [name, (after[n] ?? 0) - (before[n] ?? 0)] as const);
    return Object.fromEntries([...used, ['load', (user + system) / 1e6] as const]);
  };
}
