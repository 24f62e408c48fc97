import { unknownBefore } from '../../log/replay.ts';
import { readInSnapshot } from '../../runtime/databases/snapshot-read.ts';
import { linesOf } from '../../sale/items.ts';
import { formerOrderIdOf, orderIdOf } from '../../sale/order.ts';
import { allowanceKey, type Claim, claimsOf, type SaleLimits } from '../../sale/settlement/decide.ts';
import type { OrderRecord } from '../../store/collections.ts';
import { byOrder } from '../../store/payment-collections.ts';
import { addFinding, type Check, type Finding, noFinding } from './finding.ts';
import {
  addMoney,
  auditMoney,
  type MoneyFinding,
  type PayableOrder,
  payableOf,
  paymentRowOf,
} from './money.ts';
import {
  findAllowances,
  findOrders,
  type Order,
  type OrderState,
  orderOf,
  type Reading,
  type Rows,
  type Window,
} from './reading.ts';

type Entry = Rows['log'];

/** Checks I3 for one order. */
export function checkId({ _id, buyerId, idempotencyKey }: OrderRecord, saleId: string, I3: Check): void {
  const isDerived =
    _id === orderIdOf(buyerId, saleId, idempotencyKey) || _id === formerOrderIdOf(buyerId, idempotencyKey);
  I3.check(isDerived, () => `order ${_id} does not have the id derived from its buyer, sale and key`);
}

interface Found {
  /** Units in held and paid orders by item id, when the log was read to its end. */
  sold: Map<string, number>;
  I3: Check;
  I5: Check;
  I7: MoneyFinding;
}

/**
 * Compares the orders of one partition with their entries in the log and their payments, and adds what they take to the claims.
 * @param limits null when the sale does not exist.
 */
export async function compareOrders(
  reading: Reading,
  partition: number,
  limits: SaleLimits | null,
  { sold, I3, I5, I7 }: Found,
): Promise<void> {
  const { rows, saleId } = reading;
  const logged = readEntries(rows.read('log', partition));
  const payable = new Map<string, PayableOrder>();
  const seen = new Set<Entry[]>();

  function compare(order: Order): void {
    const [id, , , ownPayable] = order;
    if (ownPayable) payable.set(id, ownPayable);
    const entries = logged.get(id);
    const isLogged = limits !== null && entries !== undefined && isInLog(order, entries);
    if (entries) I5.check(isLogged, () => `order ${id}: the log says ${textOf(entries.at(-1)?.[1])}`);
    else if (limits) I5.check(false, () => `order ${id} is not in the log`);
    // A large sale's order that was deleted and made again meanwhile is read twice.
    if (entries && seen.has(entries)) return;
    if (entries) seen.add(entries);
    claim(order, isLogged ? entries : null);
  }

  /** Counts the units of an order as the log has them, or as it has them itself. */
  function claim([, state, code]: Order, entries: Entry[] | null): void {
    const [status, quantity, buyerId, personId, , lines] = state;
    const purchase = {
      buyerId,
      quantity,
      ...(personId && { personId }),
      ...(lines && { lines }),
      ...(code && { code }),
    };
    const changes = entries ? changesOf(entries, reading.startSeq) : isTaking(status) ? taken : [];
    if (changes.length === 0) return;
    const claims = claimsOf(purchase, limits ?? noLimits);
    for (const { sign, seq } of changes) {
      for (const { itemId, quantity: units } of linesOf(purchase))
        sold.set(itemId, (sold.get(itemId) ?? 0) + sign * units);
      for (const { holder, units, limit } of claims)
        rows.add('claims', holder, [holder, sign * units, limit, seq]);
    }
  }

  for (const order of rows.read('orders', partition)) compare(order);
  const late: string[] = [];
  for (const [id, entries] of logged) {
    if (seen.has(entries)) continue;
    // An order that was made while the orders were read may not have been read.
    if (limits && (entries[0]?.[2] ?? 0) > reading.startSeq) late.push(id);
    else I5.check(false, () => `order ${id}: the log says ${textOf(entries.at(-1)?.[1])}`);
  }
  for await (const record of findOrders(reading, late)) {
    const entries = logged.get(record._id) ?? [];
    seen.add(entries);
    I5.check(true, () => '');
    checkId(record, saleId, I3);
    const order = orderOf(record, [0, 0]);
    if (order[3]) payable.set(record._id, order[3]);
    claim(order, entries);
  }
  for (const id of late) {
    const entries = logged.get(id) ?? [];
    if (!seen.has(entries)) I5.check(false, () => `order ${id}: the log says ${textOf(entries.at(-1)?.[1])}`);
  }
  await checkMoney(reading, rows.read('payments', partition), payable, I7);
}

/** The entries of each order in the order of the log, each with its status. */
function readEntries(log: Iterable<Entry>): Map<string, Entry[]> {
  const logged = new Map<string, Entry[]>();
  for (const entry of log) {
    const [id, state] = entry;
    const before = logged.get(id);
    state[0] ??= before?.at(-1)?.[1][0] ?? unknownBefore;
    if (before) before.push(entry);
    else logged.set(id, [entry]);
  }
  return logged;
}

/** Whether the log says the same as the order at a number of its window. */
function isInLog([, state, , , [before, after]]: Order, entries: Entry[]): boolean {
  return entries.some(([, logged, seq], n) => {
    const nextSeq = entries[n + 1]?.[2] ?? Number.POSITIVE_INFINITY;
    const isOver = nextSeq <= before || nextSeq === seq;
    return seq <= after && !isOver && isSame(state, logged);
  });
}

function isSame(one: OrderState, other: OrderState): boolean {
  const [status, quantity, buyerId, personId, refundedAmount, lines] = one;
  const isAlike =
    status === other[0] &&
    quantity === other[1] &&
    buyerId === other[2] &&
    personId === other[3] &&
    refundedAmount === other[4];
  return isAlike && ((lines === null && other[5] === null) || textOf(one) === textOf(other));
}

function textOf(state: OrderState | undefined): string {
  if (!state) return 'nothing';
  const [status, quantity, buyerId, personId, refundedAmount, own] = state;
  const lines = linesOf({ quantity, ...(own && { lines: own }) });
  const each = lines.map((line) => `${line.quantity} of item ${line.itemId}`);
  const refunded = refundedAmount ? `, ${refundedAmount} of it refunded,` : '';
  return `${status}${refunded} ${quantity} (${each.join(', ')}) ${buyerId} of ${personId ?? buyerId}`;
}

const isTaking = (status: OrderState[0]) => status === 'paid' || status === 'held';

interface TakingChange {
  sign: 1 | -1;
  seq: number;
}

const taken: TakingChange[] = [{ sign: 1, seq: 0 }];

/** When an order began to take its units and gave them back; what was before a number of the log is summed up as number 0. */
function changesOf(entries: Entry[], startSeq: number): TakingChange[] {
  let isTakingThen = false;
  const changes: TakingChange[] = [];
  for (const [n, [, [status], seq]] of entries.entries()) {
    const isNext = n + 1 < entries.length && (entries[n + 1]?.[2] ?? 0) <= startSeq;
    if (isNext || isTaking(status) === isTakingThen) continue;
    isTakingThen = !isTakingThen;
    changes.push({ sign: isTakingThen ? 1 : -1, seq: seq <= startSeq ? 0 : seq });
  }
  return changes;
}

const noLimits = { limitPerBuyer: 0, items: new Map() };

async function checkMoney(
  reading: Reading,
  payments: Iterable<Rows['payments']>,
  orders: ReadonlyMap<string, PayableOrder>,
  I7: MoneyFinding,
): Promise<void> {
  const { money, broken } = auditMoney(payments, orders);
  if (reading.snapshot || broken.size === 0) return addMoney(I7, money);
  // Payments and orders were read at different times, so what does not agree is read again in one snapshot.
  const again = await checkMoneyAgain(reading, [...broken]);
  addMoney(I7, { ...money, breaches: again.breaches, examples: again.examples });
}

const ordersAtOnce = 1_000;

async function checkMoneyAgain({ collections, saleId }: Reading, orderIds: string[]): Promise<Finding> {
  const found = noFinding();
  for (let start = 0; start < orderIds.length; start += ordersAtOnce) {
    const ids = orderIds.slice(start, start + ordersAtOnce);
    const money = await readInSnapshot(collections.connection, async (snapshot) => {
      const records = await collections.orders.find({ _id: { $in: ids } }, snapshot).toArray();
      const payments = await collections.payments
        .find({ orderId: { $in: ids }, saleId }, { ...snapshot, hint: byOrder })
        .toArray();
      const payable = records
        .filter((order) => order.saleId === saleId && (order.paymentId || order.holdExpiresAt))
        .map((order): [string, PayableOrder] => [order._id, payableOf(order)]);
      return auditMoney(payments.map(paymentRowOf), new Map(payable)).money;
    });
    addFinding(found, money);
  }
  return found;
}

/** What a holder has of a limit. */
interface Held extends Pick<Claim, 'units' | 'limit'> {
  /** What has changed since reading began. */
  later?: { seq: number; units: number }[];
}

/** Checks I4 for the holders of one partition: no limit is exceeded, and the allowances are what the orders take. */
export async function compareAllowances(
  reading: Reading,
  partition: number,
  limits: SaleLimits | null,
  I4: Check,
): Promise<void> {
  const { rows, saleId } = reading;
  const all = new Map<string, Held>();
  for (const [holder, units, limit, seq] of rows.read('claims', partition)) {
    const held = all.get(holder) ?? { units: 0, limit };
    all.set(holder, held);
    held.units += units;
    if (seq === 0) continue;
    held.later ??= [];
    held.later.push({ seq, units });
  }
  for (const [holder, { units, limit }] of all) {
    const key = () => allowanceKey(saleId, holder);
    if (units > 0) I4.check(units <= limit, () => `${key()} has ${units} units, the limit is ${limit}`);
  }
  for (const [holder, units, window] of rows.read('allowances', partition)) {
    if (limits && isOfUnlimitedItem(holder, limits)) continue;
    const held = all.get(holder);
    all.delete(holder);
    const isRight = held ? isWithin(units, held, window) : units === 0;
    I4.check(
      isRight,
      () => `${allowanceKey(saleId, holder)}: allowance ${units}, orders ${held?.units ?? 0}`,
    );
  }
  // An allowance that was made while they were read may not have been read.
  const late: string[] = [];
  const lack = (key: string, { units }: Held) =>
    I4.check(false, () => `${key}: allowance 0, orders ${units}`);
  for (const [holder, held] of all) {
    if (held.units === 0) continue;
    const key = allowanceKey(saleId, holder);
    if (held.later && sumOf(held.later) === held.units) late.push(key);
    else lack(key, held);
  }
  const there = await findAllowances(reading, late);
  for (const key of late) {
    const held = all.get(key.slice(saleId.length + 1));
    if (held && !there.has(key)) lack(key, held);
  }
}

/** Its count changes no more since the limit of its item was removed. */
function isOfUnlimitedItem(holder: string, { items }: SaleLimits): boolean {
  const [, itemId = ''] = holder.split(':');
  return items.get(itemId)?.limitPerBuyer === null;
}

/** Whether the orders took so many units at a number of the log within a window. */
function isWithin(allowance: number, { units, later = [] }: Held, [before, after]: Window): boolean {
  let sum = units - sumOf(later);
  let seqOfSum = 0;
  for (const change of later.sort((one, other) => one.seq - other.seq)) {
    // What one number of the log changes, changes at once.
    if (change.seq > before && change.seq > seqOfSum && sum === allowance) return true;
    if (change.seq > after) return false;
    sum += change.units;
    seqOfSum = change.seq;
  }
  return sum === allowance;
}

const sumOf = (changes: { units: number }[]) => changes.reduce((sum, { units }) => sum + units, 0);
