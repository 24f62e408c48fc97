import type { PhaseAccess } from '../contract.ts';

/** A part of a sale's time, from which on more people may buy: everybody, those on the sale's list, or those with a code. */
export interface PhaseRecord {
  name: string;
  opensAt: Date;
  access: PhaseAccess;
}

/** What an admission has to know of a phase. */
interface GatePhase {
  opensMs: number;
  access: PhaseAccess;
}

/** The gate's field for a sale's phases; empty when it has none. */
export const phasesFieldOf = ({ phases = [] }: { phases?: PhaseRecord[] | undefined }): string =>
  phases.length === 0 ? '' : JSON.stringify(phases.map(({ opensAt, access }) => [opensAt.getTime(), access]));

export const phasesIn = (field: string): GatePhase[] =>
  field === ''
    ? []
    : (JSON.parse(field) as [number, PhaseAccess][]).map(([opensMs, access]) => ({ opensMs, access }));

/** What lets a buyer in. */
export interface Credentials {
  /** Whether the buyer's address is on the sale's list, and confirmed. */
  isMember: boolean;
  /** A valid code of the sale, and how many orders it lets in; null without one. */
  code: { id: string; uses: number } | null;
}

/** From when on a buyer may buy, in Unix ms; null: never. */
export interface Entry {
  /** Without redeeming a code. */
  opensMs: number | null;
  /** By redeeming one. */
  withCodeMs: number | null;
}

/** A phase that has begun stays open until the end of the sale, so each buyer's entry is the first phase that lets them in. Pure. */
export function entryOf(phases: readonly GatePhase[], { isMember, code }: Credentials): Entry {
  const first = (lets: (access: PhaseAccess) => boolean) =>
    phases.find(({ access }) => lets(access))?.opensMs ?? null;
  return {
    opensMs: first((access) => access === 'everybody' || (access === 'list' && isMember)),
    withCodeMs: code ? first((access) => access === 'code') : null,
  };
}

/** Whether a phase for everybody has begun, after which nobody needs a list or a code. @param nowMs by Redis' clock. */
export const isForEverybody = (phases: readonly GatePhase[], nowMs: number): boolean =>
  phases.some(({ access, opensMs }) => access === 'everybody' && opensMs <= nowMs);

/** The earlier of both; null when it never opens. */
export const firstEntryMs = ({ opensMs, withCodeMs }: Entry): number | null => {
  const times = [opensMs, withCodeMs].filter((time) => time !== null);
  return times.length > 0 ? Math.min(...times) : null;
};

/**
 * Why these cannot be the phases of a sale; null when they can. The first one begins with the sale, because a sale that is open to
 * nobody would look like one that is sold out.
 */
export function phasesFault(
  phases: readonly Pick<PhaseRecord, 'opensAt'>[],
  { opensAt, closesAt }: { opensAt: Date; closesAt: Date },
): string | null {
  const [first, ...others] = phases;
  if (first && first.opensAt.getTime() !== opensAt.getTime())
    return `expected the first phase to begin when the sale opens, at ${opensAt.toISOString()}`;
  const isOutOfOrder = others.some((phase, n) => phase.opensAt <= (phases[n]?.opensAt ?? phase.opensAt));
  if (isOutOfOrder) return 'expected each phase to begin after the one before it';
  if (phases.some((phase) => phase.opensAt >= closesAt))
    return 'expected every phase to begin before the end';
  return null;
}

/**
 * Whether a sale with a site has a phase with codes. The uses of a code are counted by orders, and such a sale has none, so one code would let
 * in everybody.
 */
export const hasSiteCodes = ({
  site,
  phases = [],
}: {
  site?: object | null | undefined;
  phases?: readonly Pick<PhaseRecord, 'access'>[] | undefined;
}): boolean => Boolean(site) && phases.some(({ access }) => access === 'code');
