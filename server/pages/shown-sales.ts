import { LRUCache } from 'lru-cache';
import { plainTheme, readTheme, type Theme } from '../../catalogue/theme.ts';
import { withTimeout } from '../../runtime/with-timeout.ts';
import type { SaleSnapshot } from '../../sale/contract.ts';
import { listForBuyers, readSaleSnapshot } from '../../sale/sale.ts';
import type { Collections } from '../../store/collections.ts';

/** What the pages show first, up to a second old. */
export interface ShownSales {
  /** @returns null when there is no such sale, and undefined when MongoDB does not answer. */
  sale(id: string): Promise<SaleSnapshot | null | undefined>;
  /** The sales in the order in which buyers need them; undefined when MongoDB does not answer. */
  list(): Promise<SaleSnapshot[] | undefined>;
  /** How the shop looks; as it comes, until MongoDB has told. */
  theme(): Promise<Theme>;
}

const maxSales = 1_000;
const maxAgeMs = 1_000;
/** A page is shown without its sale rather than late; its script fetches the sale then. */
const patienceMs = 500;

/** Reads each sale from MongoDB at most once a second, however many look at it. While MongoDB is away, the last ones are shown. */
export function openShownSales(collections: Collections): ShownSales {
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
  const inTime = <Value>(work: Promise<Value | undefined>, last: () => Value | undefined) =>
    withTimeout(work, patienceMs).catch(last);
  return {
    sale: async (id) => (await inTime(sales.fetch(id), () => sales.peek(id, { allowStale: true })))?.sale,
    list: () => inTime(lists.fetch('all'), () => lists.peek('all', { allowStale: true })),
    theme: async () =>
      (await inTime(themes.fetch('theme'), () => themes.peek('theme', { allowStale: true }))) ?? plainTheme,
  };
}
