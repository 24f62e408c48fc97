import { hash } from 'node:crypto';
import type { ChainClient, ChainInfo } from 'drand-client';
import { LRUCache } from 'lru-cache';
import type { Log } from '../../runtime/observe/log.ts';
import type { BeaconRecord } from '../../store/place-collections.ts';

/**
 * The public random numbers of drand, which a draw can depend on, so that not even the shop can steer it. Independent
 * organisations sign one "round" every few seconds together, and nobody knows it before. The network's public key is here, so
 * that it does not matter which server answers.
 */
export interface BeaconChain {
  /** In hex, as the next one. */
  hash: string;
  publicKey: string;
  genesisSeconds: number;
  periodSeconds: number;
}

const quicknet: BeaconChain = {
  hash: '52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971',
  publicKey:
    '83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a',
  genesisSeconds: 1_692_803_367,
  periodSeconds: 3,
};

/** @param other `<hash>:<publicKey>:<genesisSeconds>:<periodSeconds>` of another chain, for tests; empty for drand's quicknet. */
export function beaconChain(other: string): BeaconChain {
  if (other === '') return quicknet;
  const [hash = '', publicKey = '', genesis, period] = other.split(':');
  return { hash, publicKey, genesisSeconds: Number(genesis), periodSeconds: Number(period) };
}

/** The list of entries is fixed at its end; the round is later than that, also when the leader was away for a moment. */
const delayMs = 60_000;

/** Names the round of a draw whose entries end at this time: nobody can know it then. */
export function roundFor(
  { hash, genesisSeconds, periodSeconds }: BeaconChain,
  endsAt: Date,
): Pick<BeaconRecord, 'chain' | 'round' | 'at'> {
  const seconds = (endsAt.getTime() + delayMs) / 1_000 - genesisSeconds;
  const periods = Math.ceil(seconds / periodSeconds);
  return {
    chain: hash,
    round: periods + 1,
    at: new Date((genesisSeconds + periods * periodSeconds) * 1_000),
  };
}

/** A published round, in hex. */
export type Round = { round: number; randomness: string; signature: string };

/** Why a published draw's round may have been known before its list was fixed; null when it was not. */
export function faultOfRound(
  chain: BeaconChain,
  { beacon, drawAt, frozenAt }: { beacon: Pick<BeaconRecord, 'round' | 'at'>; drawAt: Date; frozenAt: Date },
): string | null {
  const { genesisSeconds, periodSeconds } = chain;
  const at = new Date((genesisSeconds + (beacon.round - 1) * periodSeconds) * 1_000);
  if (beacon.at.getTime() !== at.getTime()) return `round ${beacon.round} is of ${at.toISOString()}`;
  const named = roundFor(chain, drawAt);
  if (beacon.round < named.round) return `it is earlier than round ${named.round}, which the sale named`;
  return frozenAt < at ? null : 'the list was fixed after it was known';
}

const hash256 = /^[0-9a-f]{64}$/;
const hexBytes = /^([0-9a-f]{2})+$/;

/** @returns the round, spelled in one way. @throws Error unless the network has signed exactly this round. */
export async function verifyRound(
  chain: BeaconChain,
  wanted: number,
  { round, randomness, signature }: Round,
): Promise<Round> {
  // The randomness keys the draw, and another spelling of it could give other bytes there.
  if (!hash256.test(randomness) || !hexBytes.test(signature)) throw new Error('answered no round');
  const { fetchBeacon } = await import('drand-client');
  const beacon = { round, randomness, signature };
  const info: ChainInfo = {
    public_key: chain.publicKey,
    period: chain.periodSeconds,
    genesis_time: chain.genesisSeconds,
    hash: chain.hash,
    groupHash: '',
    schemeID: 'bls-unchained-g1-rfc9380',
    metadata: { beaconID: '' },
  };
  const client: ChainClient = {
    options: { disableBeaconVerification: false, noCache: true },
    latest: async () => beacon,
    get: async () => beacon,
    chain: () => ({ baseUrl: '', info: async () => info }),
  };
  await fetchBeacon(client, wanted);
  return { round, signature, randomness: hash('sha256', Buffer.from(signature, 'hex')) };
}

const timeoutMs = 3_000;
/** Rounds that are remembered; one that is dropped is asked for again. */
const maxAsked = 1_000;
/** A round has less than 500. */
const maxBytes = 10_000;

/** A round, or why it is not here. */
type Answer = Partial<Round> & { error: string | null };

export interface BeaconSource {
  readonly chain: BeaconChain;
  /**
   * Asks for a round in the background, again after `retryMs` while it fails.
   * @returns the round once it is here and verified; otherwise why the last attempt failed, null before it has ended.
   */
  poll(round: number): Answer;
}

export function openBeacon(
  { url, chain, retryMs }: { url: string; chain: BeaconChain; retryMs: number },
  log: Log,
): BeaconSource {
  const asked = new LRUCache<number, { answer: Answer; againAtMs: number }>({ max: maxAsked });

  async function read(round: number): Promise<Round> {
    const response = await fetch(`${url.replace(/\/$/, '')}/${chain.hash}/public/${round}`, {
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!response.ok) throw new Error(`answered ${response.status}`);
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const part of response.body ?? []) {
      parts.push(part);
      bytes += part.length;
      if (bytes > maxBytes) throw new Error('answered too much');
    }
    return await verifyRound(chain, round, JSON.parse(Buffer.concat(parts).toString()));
  }

  return {
    chain,
    poll(round) {
      const known = asked.get(round);
      if (known && performance.now() < known.againAtMs) return known.answer;
      const entry = known ?? { answer: { error: null }, againAtMs: 0 };
      entry.againAtMs = Number.POSITIVE_INFINITY;
      asked.set(round, entry);
      read(round).then(
        (answer) => Object.assign(entry, { answer: { ...answer, error: null } }),
        (error: Error) => {
          const problem = { round, error: error.message };
          log.warn(problem, `random beacon unavailable, retrying in ${retryMs} ms`);
          Object.assign(entry, { answer: { error: error.message }, againAtMs: performance.now() + retryMs });
        },
      );
      return entry.answer;
    },
  };
}

/** What the drawn order is keyed with: the seed, followed by the randomness of the beacon where the draw depends on one. */
export const keyOf = (seed: Buffer, beacon: BeaconRecord | undefined): Buffer =>
  Buffer.concat([seed, Buffer.from((!beacon?.waivedAt && beacon?.randomness) || '', 'hex')]);

export const notHere = { randomness: null, signature: null, error: null, waivedAt: null } as const;

/** So long after its time a round counts as late, and the shop can go on without it. */
const lateMs = 30_000;

export const isLate = (
  { at, randomness, waivedAt }: Pick<BeaconRecord, 'at' | 'randomness' | 'waivedAt'>,
  now: Date,
): boolean => randomness === null && waivedAt === null && now.getTime() >= at.getTime() + lateMs;
