import { z } from 'zod';
import { logStaffAction } from '../../../accounts/staff-log.ts';
import { adminOrder, adminOrderPage } from '../../../insight/contract.ts';
import { everyOrder, searchOrders } from '../../../insight/order-search.ts';
import { decimalOf } from '../../../public/shared/money.js';
import { type SaleSnapshot, settledStatus } from '../../../sale/contract.ts';
import { readSaleSnapshot } from '../../../sale/sale.ts';
import type { Collections } from '../../../store/collections.ts';
import { byId, cursorLike, id } from '../../http/inputs.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';
import { noSale } from '../sales.ts';
import { byteOrderMark, csvLines } from './csv.ts';

const orderSearch = z.strictObject({
  q: z.string().trim().max(254).default(''),
  saleId: id.optional(),
  status: settledStatus.extract(['paid', 'rejected', 'cancelled']).optional(),
  /** A sequence number of the event log for a sale's orders; a time and an id for a buyer's orders. */
  cursor: cursorLike(/^(\d{1,10}|\d{13}\.[\w-]{1,64})$/),
});

/** The other fields are not documented, because only the control room's page reads them. */
const foundOrders = adminOrderPage.extend({ orders: z.array(adminOrder.pick({ id: true }).loose()) }).loose();

export const orderAdminRoutes = ({ collections }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/orders',
    access: 'admin',
    summary: 'Find orders by id, buyer or e-mail address',
    query: orderSearch,
    answer: [200, foundOrders],
    async handle({ query: { q: text, saleId, status, cursor } }) {
      return { status: 200, body: await searchOrders(collections, { text, saleId, status, cursor }) };
    },
  }),
  route({
    method: 'get',
    path: '/api/admin/sales/:id/orders.csv',
    access: 'admin',
    summary: 'Every order of a sale, in the order in which they were settled',
    params: byId,
    answer: [200, z.string()],
    media: 'text/csv',
    problems: ['not-found'],
    async handle({ params: { id }, ...call }) {
      const sale = await readSaleSnapshot(collections, id);
      if (!sale) return noSale(id);
      // It has names and e-mail addresses.
      const entry = { ...byOf(call), action: 'orders.exported', subject: { kind: 'sale', id } };
      await logStaffAction(collections, entry);
      const headers = {
        'Content-Type': 'text/csv; charset=utf-8',
        'Content-Disposition': `attachment; filename="orders-${id}.csv"`,
      };
      return { status: 200, text: csvOfOrders(collections, sale), headers };
    },
  }),
];

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
 * Streams all orders of a sale as CSV, as fast as the client reads. Amounts are decimals in the sale's currency, times are ISO
 * 8601 in UTC.
 */
async function* csvOfOrders(
  collections: Collections,
  { id: ofSale, price }: SaleSnapshot,
): AsyncGenerator<string> {
  const nothing = decimalOf({ ...price, amount: 0 });
  yield byteOrderMark + csvLines([[...columns, ...times]]);
  for await (const orders of everyOrder(collections, ofSale)) {
    const rows = orders.map((order) => {
      const { id, saleId, status, reason, quantity, buyerId, email, name, createdAt, settledAt } = order;
      const paid = status === 'paid' ? decimalOf(price, quantity) : nothing;
      const what = [id, saleId, status, reason ?? '', quantity, paid, price.currency];
      return [...what, buyerId, email ?? '', name ?? '', createdAt, settledAt ?? ''];
    });
    yield csvLines(rows);
  }
}
