/** @import { Order } from '../../sale/contract.ts' */

/**
 * Merges a buyer's orders, newest first. An order never disappears: one received by socket stays, even when an answer
 * requested before it does not contain it.
 * @param {Order[]} known @param {Order[]} received @returns {Order[]}
 */
export function mergeOrders(known, received) {
  const byId = new Map([...known, ...received].map((order) => [order.id, order]));
  return [...byId.values()].sort((one, other) => other.createdAt.localeCompare(one.createdAt));
}
