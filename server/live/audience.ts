import type { CrowdMessage } from '../../sale/contract.ts';

/**
 * Counts the sockets that watch each sale, over all instances. Each instance publishes its own counts once a second, and
 * sends its pages the sum when it has changed.
 */
export interface Audience {
  /** @param people the sum of all instances' counts, by sale. */
  hear(people: Record<string, number>): void;
  /** The last known count; null when nobody watches. */
  of(saleId: string): CrowdMessage | null;
}

export function openAudience(send: (message: CrowdMessage) => void): Audience {
  let known = new Map<string, number>();
  return {
    hear(people) {
      const before = known;
      // A sale's id is what a page says it is, `constructor` as well: an object would have more keys than it was given.
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
