import { LRUCache } from 'lru-cache';
import { plainTheme, readTheme, type Theme } from '../../catalogue/theme.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { withTimeout } from '../../runtime/with-timeout.ts';
import type { Draw, SaleSnapshot } from '../../sale/contract.ts';
import { readDraw } from '../../sale/places/published.ts';
import { listForBuyers, readSaleSnapshot } from '../../sale/sale.ts';
import type { Shop } from '../shop.ts';

/** What the pages show first, up to a second old. */
export interface ShownSales {
  /** @returns null when there is no such sale, and undefined when MongoDB does not answer. */
  sale(id: string): Promise<SaleSnapshot | null | undefined>;
  /** The sales in the order in which buyers need them; undefined when MongoDB does not answer. */
  list(): Promise<SaleSnapshot[] | undefined>;
  /** What the draw of a sale has published; null when there is none, and undefined when MongoDB does not answer. */
  draw(saleId: string): Promise<Draw | null | undefined>;
  /** How the shop looks; as it comes, until MongoDB has told. */
  theme(): Promise<Theme>;
}

const maxSales = 1_000;
const maxAgeMs = 1_000;
/** A page is shown without its sale rather than late; its script fetches the sale then. */
const patienceMs = 500;

/**
 * Reads each sale from MongoDB at most once a second, however many look at it. While MongoDB is away, the last ones are shown.
 * @param isAway whether MongoDB is known not to answer, so that no page waits for it.
 */
export function openShownSales(
  { collections, beaconChain }: Pick<Shop, 'collections' | 'beaconChain'>,
  isAway: () => boolean,
): ShownSales {
  const options = { ttl: maxAgeMs, allowStaleOnFetchRejection: true, noDeleteOnFetchRejection: true };
  const sales = new LRUCache<string, { sale: SaleSnapshot | null }>({
    ...options,
    max: maxSales,
    fetchMethod: async (id) => ({ sale: await readSaleSnapshot(collections, id) }),
  });
  const lists = new LRUCache<'all', SaleSnapshot[]>({
    ...options,
    max: 1,
    fetchMethod: async () => (await listForBuyers(collections)).sales,
  });
  const themes = new LRUCache<'theme', Theme>({
    ...options,
    max: 1,
    fetchMethod: () => readTheme(collections),
  });
  const draws = new LRUCache<string, { draw: Draw | null }>({
    ...options,
    max: maxSales,
    fetchMethod: async (id) => ({ draw: await readDraw(collections, beaconChain, id) }),
  });
  const inTime = async <Value>(work: () => Promise<Value | undefined>, last: () => Value | undefined) =>
    isAway() ? last() : await withTimeout(work(), patienceMs).catch(last);
  /** The time is told anew, because a page's clock follows it. */
  const asOfNow = (sale: SaleSnapshot | null | undefined) =>
    sale && { ...sale, serverTime: mongoClock.now().toISOString() };
  return {
    sale: async (id) => {
      const last = () => sales.peek(id, { allowStale: true });
      return asOfNow((await inTime(() => sales.fetch(id), last))?.sale);
    },
    list: () =>
      inTime(
        () => lists.fetch('all'),
        () => lists.peek('all', { allowStale: true }),
      ),
    draw: async (id) => {
      const last = () => draws.peek(id, { allowStale: true });
      return (await inTime(() => draws.fetch(id), last))?.draw;
    },
    theme: async () => {
      const last = () => themes.peek('theme', { allowStale: true });
      return (await inTime(() => themes.fetch('theme'), last)) ?? plainTheme;
    },
  };
}
