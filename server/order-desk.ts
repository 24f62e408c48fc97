import type { z } from 'zod';
import { everyOrder, searchOrders } from '../sale/order-search.ts';
import { readSnapshot } from '../sale/sale.ts';
import { csvLine } from './csv.ts';
import type { byId, orderSearch } from './inputs.ts';
import type { Answer, Call } from './route.ts';
import { noSale } from './sales.ts';
import type { Shop } from './shop.ts';

export async function findOrders(
  { collections }: Shop,
  { query }: Call<unknown, z.infer<typeof orderSearch>>,
): Promise<Answer> {
  const { q: text, saleId, status, cursor } = query;
  return { status: 200, body: await searchOrders(collections, { text, saleId, status, cursor }) };
}

/** More orders than this are for a tool that reads MongoDB. */
const exportedOrders = 200_000;

const columns = [
  'order',
  'sale',
  'status',
  'reason',
  'quantity',
  'amount',
  'currency',
  'buyer',
  'email',
  'name',
];
const times = ['created at', 'settled at'];

/** All orders of a sale as CSV, sent while they are read. */
export async function exportOrders(
  { collections }: Shop,
  { params }: Call<z.infer<typeof byId>>,
): Promise<Answer> {
  const sale = await readSnapshot(collections, params.id);
  if (!sale) throw noSale(params.id);
  const { amount, currency } = sale.price;

  async function* lines(): AsyncGenerator<string> {
    yield csvLine([...columns, ...times]);
    for await (const orders of everyOrder(collections, params.id, exportedOrders)) {
      yield orders
        .map(({ id, saleId, status, reason, quantity, buyerId, email, name, createdAt, settledAt }) => {
          const paid = status === 'paid' ? amount * quantity : 0;
          const what = [id, saleId, status, reason ?? '', quantity, paid, currency];
          return csvLine([...what, buyerId, email ?? '', name ?? '', createdAt, settledAt ?? '']);
        })
        .join('');
    }
  }
  const headers = {
    'Content-Type': 'text/csv; charset=utf-8',
    'Content-Disposition': `attachment; filename="orders-${params.id}.csv"`,
  };
  return { status: 200, text: lines(), headers };
}
