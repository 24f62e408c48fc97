import type { CrowdMessage } from '../../sale/contract.ts';

/**
 * The number of sockets that watch each sale, over all instances. Each instance publishes its own counts with its heartbeat
 * once a second, and sends its pages the sum when it changes.
 */
export interface Audience {
  /** @param people the sum of all instances' counts, by sale. */
  update(people: Record<string, number>): void;
  /** The last known count; null when no socket watches. */
  of(saleId: string): CrowdMessage | null;
}

export function openAudience(send: (message: CrowdMessage) => void): Audience {
  let known = new Map<string, number>();
  return {
    update(people) {
      const before = known;
      // A Map, because pages choose the sale id they watch, and `constructor` would be found in an object.
      known = new Map(Object.entries(people));
      for (const [saleId, count] of known) {
        if (before.get(saleId) !== count) send({ saleId, people: count });
      }
    },
    of(saleId) {
      const people = known.get(saleId);
      return people === undefined ? null : { saleId, people };
    },
  };
}
