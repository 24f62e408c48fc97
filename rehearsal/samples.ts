import type { RehearsalPart } from '../insight/contract.ts';

/** What one part of a crowd's way was like. */
export interface Sampler {
  /** @param fault what went wrong, if something did: a few words that group equal faults. */
  add(ms: number, fault?: string | null): void;
  part(): RehearsalPart;
}

const maxFaults = 5;

/** Collects the times of one part of the way, of any number of buyers. */
export function openSampler(): Sampler {
  const times: number[] = [];
  const faults = new Map<string, number>();
  return {
    add(ms, fault = null) {
      times.push(ms);
      if (fault !== null) faults.set(fault, (faults.get(fault) ?? 0) + 1);
    },
    part() {
      const sorted = times.toSorted((one, other) => one - other);
      const at = (share: number) => Math.round(sorted[Math.ceil(sorted.length * share) - 1] ?? 0);
      const most = [...faults].sort(([, one], [, other]) => other - one);
      return {
        count: times.length,
        failed: most.reduce((sum, [, count]) => sum + count, 0),
        faults: most.slice(0, maxFaults).map(([fault, count]) => `${count} × ${fault}`),
        p50Ms: at(0.5),
        p99Ms: at(0.99),
      };
    },
  };
}
