import type { z } from 'zod';
import { everyOrder, searchOrders } from '../../../insight/order-search.ts';
import { decimalOf } from '../../../public/shared/money.js';
import { readSaleSnapshot } from '../../../sale/sale.ts';
import type { Refusal } from '../../http/problems.ts';
import type { Answer, Call } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';
import type { byId, orderSearch } from '../inputs.ts';
import { noSale } from '../sales.ts';
import { byteOrderMark, csvLines } from './csv.ts';

export async function findOrders(
  { collections }: Shop,
  { query }: Call<unknown, z.infer<typeof orderSearch>>,
): Promise<Answer> {
  const { q: text, saleId, status, cursor } = query;
  return { status: 200, body: await searchOrders(collections, { text, saleId, status, cursor }) };
}

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

/**
 * All orders of a sale as CSV, sent while they are read and as fast as they are taken. An amount is a decimal of its
 * currency, a time is ISO 8601 in UTC.
 */
export async function exportOrders(
  { collections }: Shop,
  { params }: Call<z.infer<typeof byId>>,
): Promise<Answer | Refusal> {
  const sale = await readSaleSnapshot(collections, params.id);
  if (!sale) return noSale(params.id);
  const { price } = sale;
  const nothing = decimalOf({ ...price, amount: 0 });

  async function* lines(): AsyncGenerator<string> {
    yield byteOrderMark + csvLines([[...columns, ...times]]);
    for await (const orders of everyOrder(collections, params.id)) {
      const rows = orders.map((order) => {
        const { id, saleId, status, reason, quantity, buyerId, email, name, createdAt, settledAt } = order;
        const paid = status === 'paid' ? decimalOf(price, quantity) : nothing;
        const what = [id, saleId, status, reason ?? '', quantity, paid, price.currency];
        return [...what, buyerId, email ?? '', name ?? '', createdAt, settledAt ?? ''];
      });
      yield csvLines(rows);
    }
  }
  const headers = {
    'Content-Type': 'text/csv; charset=utf-8',
    'Content-Disposition': `attachment; filename="orders-${params.id}.csv"`,
  };
  return { status: 200, text: lines(), headers };
}
