/** @import { Order } from '../../sale/contract.ts' */

/**
 * What is known of a buyer's orders, newest first. Orders never vanish: one that a message told of stays, although an
 * answer that was asked for before it does not have it.
 * @param {Order[]} known @param {Order[]} news @returns {Order[]}
 */
export function mergeOrders(known, news) {
  const byId = new Map([...known, ...news].map((order) => [order.id, order]));
  return [...byId.values()].sort((one, other) => other.createdAt.localeCompare(one.createdAt));
}
