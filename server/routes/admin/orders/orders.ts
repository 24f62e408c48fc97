import { z } from 'zod';
import { logStaffAction } from '../../../../accounts/staff-log.ts';
import { type AdminOrder, adminOrder, adminOrderPage } from '../../../../insight/contract.ts';
import { everyOrder, searchOrders } from '../../../../insight/order-search.ts';
import { decimalOf } from '../../../../public/shared/money.js';
import {
  type OrderLine,
  type SaleItem,
  type SaleSnapshot,
  settledStatus,
} from '../../../../sale/contract.ts';
import { readSaleSnapshot } from '../../../../sale/sale.ts';
import type { Collections } from '../../../../store/collections.ts';
import { byId, cursorLike, id } from '../../../http/inputs.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import type { Shop } from '../../../shop.ts';
import { noSale } from '../../sales.ts';
import { byteOrderMark, csvLines } from '../csv.ts';

const orderSearch = z.strictObject({
  q: z.string().trim().max(254).default(''),
  saleId: id.optional(),
  status: settledStatus.optional(),
  /** A sequence number of the event log for a sale's orders; a time and an id for a buyer's orders. */
  cursor: cursorLike(/^(\d{1,10}|\d{13}\.[\w-]{1,64})$/),
});

/** The other fields are not documented, because only the control room's page reads them. */
const foundOrders = adminOrderPage.extend({ orders: z.array(adminOrder.pick({ id: true }).loose()) }).loose();

export const orderAdminRoutes = ({ collections }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/orders',
    access: 'desk',
    scope: 'orders:read',
    summary: 'Find orders by id, short number, e-mail address, buyer or words of a name',
    query: orderSearch,
    answer: [200, foundOrders],
    async handle({ query: { q: text, saleId, status, cursor } }) {
      return { status: 200, body: await searchOrders(collections, { text, saleId, status, cursor }) };
    },
  }),
  route({
    method: 'get',
    path: '/api/admin/sales/:id/orders.csv',
    access: 'desk',
    scope: 'orders:read',
    summary: 'Every line of every order of a sale, in the order in which they were settled',
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
  'product',
  'item',
  'buyer',
  'email',
  'name',
];
const times = ['created at', 'settled at'];
/** At the end, so that a program that reads the columns by their numbers goes on with them. */
const refunds = ['refunded'];

/**
 * Streams all orders of a sale as CSV, as fast as the client reads: a row for each line of an order. Amounts are decimals in the
 * sale's currency, and 0 where nothing is paid or the order is cancelled. What was refunded is in the order's first row. Times are
 * ISO 8601 in UTC.
 */
async function* csvOfOrders(collections: Collections, sale: SaleSnapshot): AsyncGenerator<string> {
  yield byteOrderMark + csvLines([[...columns, ...times, ...refunds]]);
  const items = new Map(sale.items.map((item) => [item.id, item]));
  for await (const orders of everyOrder(collections, sale.id))
    yield csvLines(
      orders.flatMap((order) => order.lines.map((line, n) => rowOf(order, line, items, n === 0))),
    );
}

function rowOf(order: AdminOrder, line: OrderLine, items: ReadonlyMap<string, SaleItem>, isFirst: boolean) {
  const { id, saleId, status, reason, cancelReason, buyerId, email, name, createdAt, settledAt } = order;
  const item = items.get(line.itemId);
  const currency = order.currency ?? item?.price.currency ?? '';
  const what = [id, saleId, status, reason ?? cancelReason ?? '', line.quantity];
  const money = [currency === '' ? '' : paidFor(order, line, item, currency), currency];
  const names = [item?.product.name ?? '', line.label || (item?.label ?? '')];
  const refunded = isFirst && isCharged(order) ? (order.refundedAmount ?? 0) : 0;
  return [
    ...[...what, ...money, ...names, buyerId, email ?? '', name ?? '', createdAt, settledAt ?? ''],
    currency === '' ? '' : decimalOf({ amount: refunded, currency }),
  ];
}

/** A refunded order was charged; what went back is in a column of its own. */
const isCharged = ({ status }: AdminOrder) => status === 'paid' || status === 'refunded';

/** An order of an earlier version knows no money, so that the item's price counts, which does not change after the opening. */
function paidFor(
  order: AdminOrder,
  { amount, quantity }: OrderLine,
  item: SaleItem | undefined,
  currency: string,
): string {
  if (!isCharged(order)) return decimalOf({ amount: 0, currency });
  if (amount !== null) return decimalOf({ amount, currency });
  return item ? decimalOf(item.price, quantity) : '';
}
