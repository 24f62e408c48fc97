import type { RehearsalReport, RehearsalStep } from '../insight/contract.ts';
import type { SaleMode } from '../sale/contract.ts';

/** Why a sale cannot be rehearsed; null when it can. */
export const faultOf = ({ mode }: { mode?: SaleMode | undefined }): string | null =>
  mode === 'room'
    ? 'A sale with a waiting room cannot be rehearsed: its buyers come in at its own pace, not all at once'
    : null;

/** What a buyer feels, and what gives way when it gets worse than that. */
export interface Target {
  name: keyof RehearsalStep['parts'];
  title: string;
  /** What of the deployment it depends on. */
  dependsOn: string;
  /** 99 of 100 must be faster. */
  p99Ms: number;
}

/** In the order of a buyer's way, which is also the order in which one slow part makes the next ones slow. */
export const targets: Target[] = [
  { name: 'browse', title: 'A page or its figures come', dependsOn: 'pages and nginx', p99Ms: 1_000 },
  { name: 'gather', title: 'A tab is connected', dependsOn: 'sockets of the servers', p99Ms: 5_000 },
  {
    name: 'press',
    title: 'A press of Buy or an entry is answered',
    dependsOn: 'admission: servers and Redis',
    p99Ms: 500,
  },
  {
    name: 'settle',
    title: 'An accepted order has its outcome',
    dependsOn: 'settlement: worker and MongoDB',
    p99Ms: 2_000,
  },
  { name: 'draw', title: 'The draw is made', dependsOn: 'draw: worker and MongoDB', p99Ms: 30_000 },
  {
    name: 'pay',
    title: 'A held order is paid',
    dependsOn: 'payments: servers, worker and provider',
    p99Ms: 5_000,
  },
];

/** Within this time before the opening, all buyers must be able to sign in. */
export const signInSeconds = 300;

/** A player that is busier than this makes everything late by itself. */
const maxPlayerShare = 0.9;

/** @returns the targets that a step missed, the first of which gave way first. */
export function missedIn({ parts }: Pick<RehearsalStep, 'parts'>): Target[] {
  return targets.filter(({ name, p99Ms }) => {
    const part = parts[name];
    return part !== undefined && part.count > 0 && (part.failed > 0 || part.p99Ms > p99Ms);
  });
}

export const signInsTakeSeconds = ({ signIns }: Pick<RehearsalReport, 'signIns'>, buyers: number) =>
  signIns.perSecond > 0 ? Math.ceil(buyers / signIns.perSecond) : Number.POSITIVE_INFINITY;

/** How many can sign in in time: all where the sign-ins are not the shop's own, and none was played. */
function signedInWithin({ count, failed, perSecond }: RehearsalReport['signIns']): number {
  if (count === 0) return Number.POSITIVE_INFINITY;
  return failed > 0 ? 0 : Math.floor(perSecond * signInSeconds);
}

/**
 * What a rehearsal says: a crowd was taken when none of its steps' targets was missed, and all of it can sign in in time.
 * @param measured without the verdict.
 */
export function verdictOf(
  measured: Pick<RehearsalReport, 'buyers' | 'steps' | 'signIns'>,
): Pick<RehearsalReport, 'go' | 'taken' | 'weakest' | 'weakestPart'> {
  const { buyers, steps, signIns } = measured;
  const good = steps.filter((step) => missedIn(step).length === 0);
  const played = Math.max(0, ...good.map((step) => step.buyers));
  const signedIn = signedInWithin(signIns);
  const taken = Math.min(played, signedIn);
  const go = taken >= buyers;
  if (go) return { go, taken, weakest: null };
  const broken = steps.filter((step) => missedIn(step).length > 0).sort((a, b) => a.buyers - b.buyers)[0];
  if (!broken || signedIn < broken.buyers)
    return { go, taken, weakest: 'sign-in: password hashing on the servers', weakestPart: 'signIn' };
  const player =
    'the machine that played the buyers, which says nothing about the shop: play from a larger one';
  if (broken.playerShare > maxPlayerShare) return { go, taken, weakest: player, weakestPart: 'player' };
  const [first] = missedIn(broken);
  return first
    ? { go, taken, weakest: first.dependsOn, weakestPart: first.name }
    : { go, taken, weakest: null };
}
