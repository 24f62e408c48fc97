import { LRUCache } from 'lru-cache';
import type { AliasDomains } from '../../accounts/email-address.ts';
import { groupCommit } from '../../runtime/group-commit.ts';
import type { CodeRecord } from '../../store/access-collections.ts';
import type { Collections, SaleRecord } from '../../store/collections.ts';
import { allowanceKey, codeHolderOf } from '../settlement/decide.ts';
import { type Credentials, type Entry, entryOf, phasesFieldOf, phasesIn } from './access.ts';
import { codeIdOf, codeKeyOf } from './codes.ts';
import { areListed } from './list.ts';

/** Who asks to buy, and what they show. */
export interface Visitor {
  userId: string;
  /** Whether the account's address is confirmed; only then it may be on a list. */
  emailVerified: boolean;
  /** As it was typed. */
  code?: string | undefined;
}

/** What a visitor's credentials come to in a sale. */
export interface Admittance extends Entry, Credentials {
  /** Whether the visitor showed a code that is none of the sale's, or was revoked. */
  isCodeRefused: boolean;
}

export interface Door {
  /** @param phases the gate's field. @throws MongoDB's error when it is unavailable and the answer is not known. */
  admittanceOf(saleId: string, phases: string, visitor: Visitor): Promise<Admittance>;
  /** The gate's field of a sale's phases, and its opening; null when there is no such sale. */
  termsOf(saleId: string): Promise<{ phases: string; opensAt: Date } | null>;
  /** How often a code was used. */
  countUses(saleId: string, codeId: string): Promise<number>;
}

/** How long an answer of MongoDB is used again, so that a code that was revoked is refused soon. */
const freshMs = 1_000;
const remembered = 20_000;
const maxBatch = 500;
const maxWaiting = 20_000;
/** A visitor whose place among the remembered goes to others still gets the answer. */
const memory = { max: remembered, ttl: freshMs, ignoreFetchAbort: true };

/**
 * Says who may come in, and when. What it needs is read from MongoDB, for all visitors of a moment together. The uses of a code are not
 * counted here: admission counts them in the gate, and settlement in its transaction.
 */
export function openDoor(collections: Collections, aliasDomains: AliasDomains): Door {
  const lists = groupCommit<{ saleId: string; userId: string }, boolean>({
    send: (asked) => areListed(collections, asked, aliasDomains),
    maxBatch,
    maxWaiting,
  });
  const codes = groupCommit<string, CodeRecord | null>({
    async send(keys) {
      const found = await collections.codes.find({ _id: { $in: keys } }).toArray();
      const byKey = new Map(found.map((record) => [record._id, record]));
      return keys.map((key) => byKey.get(key) ?? null);
    },
    maxBatch,
    maxWaiting,
  });
  const members = new LRUCache<string, { isMember: boolean }, { saleId: string; userId: string }>({
    ...memory,
    fetchMethod: async (_, __, { context }) => ({ isMember: await lists.submit(context) }),
  });
  const knownCodes = new LRUCache<string, { record: CodeRecord | null }>({
    ...memory,
    fetchMethod: async (key) => ({ record: await codes.submit(key) }),
  });
  const terms = new LRUCache<string, { sale: Pick<SaleRecord, 'phases' | 'opensAt'> | null }>({
    ...memory,
    async fetchMethod(saleId) {
      const projection = { phases: 1, opensAt: 1 };
      return { sale: await collections.sales.findOne({ _id: saleId }, { projection }) };
    },
  });

  async function readCode(saleId: string, typed: string): Promise<Credentials['code']> {
    const id = codeIdOf(saleId, typed);
    const known = id === null ? null : await knownCodes.fetch(codeKeyOf(saleId, id));
    const record = known?.record ?? null;
    return id && record && !record.revokedAt ? { id, uses: record.uses } : null;
  }

  return {
    async admittanceOf(saleId, phases, { userId, emailVerified, code: typed }) {
      const all = phasesIn(phases);
      const has = (access: string) => all.some((phase) => phase.access === access);
      const asked = { saleId, userId };
      const [listed, code] = await Promise.all([
        emailVerified && has('list') ? members.fetch(`${saleId}:${userId}`, { context: asked }) : null,
        typed && has('code') ? readCode(saleId, typed) : null,
      ]);
      const isMember = listed?.isMember ?? false;
      const isCodeRefused = Boolean(typed) && has('code') && code === null;
      return { ...entryOf(all, { isMember, code }), isMember, code, isCodeRefused };
    },

    async termsOf(saleId) {
      const sale = (await terms.fetch(saleId))?.sale;
      return sale ? { phases: phasesFieldOf(sale), opensAt: sale.opensAt } : null;
    },

    async countUses(saleId, codeId) {
      const _id = allowanceKey(saleId, codeHolderOf(codeId));
      return (await collections.allowances.findOne({ _id }))?.units ?? 0;
    },
  };
}
