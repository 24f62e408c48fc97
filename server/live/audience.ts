import type { CrowdMessage } from '../../sale/contract.ts';

/**
 * How many people are here: the sockets that watch each sale, over all instances. Each instance says once a second how
 * many it has, and tells its own pages the sum when that has changed.
 */
export interface Crowd {
  /** What all instances say. */
  hear(people: Record<string, number>): void;
  /** The last known count; null when nobody watches. */
  of(saleId: string): CrowdMessage | null;
}

export function openCrowd(send: (message: CrowdMessage) => void): Crowd {
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
