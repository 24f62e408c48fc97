import { nanoid } from 'nanoid';
import { byCommand, type System } from '../commands/system.ts';
import { audit } from '../insight/audit/audit.ts';
import { openMutex } from '../runtime/mutex.ts';
import { codeIdOf, createCodes } from '../sale/access/codes.ts';
import { openDoor } from '../sale/access/door.ts';
import { type Admit, openAdmission } from '../sale/admission/admission.ts';
import { unitsEverOnSale } from '../sale/admission/gate.ts';
import { openGateCheck } from '../sale/admission/gate-check.ts';
import { type Purchase, unitsIn } from '../sale/contract.ts';
import { firstItemId, hasSeveralItems, itemsOf } from '../sale/items.ts';
import { orderIdOf } from '../sale/order.ts';
import { makeDraw } from '../sale/places/drawing.ts';
import { offerUnits, takeFromGate } from '../sale/places/offers.ts';
import { placeIdOf } from '../sale/places/place.ts';
import { openPlaces, type PlaceRequest } from '../sale/places/places.ts';
import { readJob } from '../sale/queue/queue.ts';
import { callPeople } from '../sale/room/calls.ts';
import { comeIn } from '../sale/room/room.ts';
import { createSale, findSale } from '../sale/sale.ts';
import { changeSale } from '../sale/sale-change.ts';
import { cancelCalledOff } from '../sale/settlement/called-off.ts';
import { cancelOrders } from '../sale/settlement/cancellation.ts';
import { discard, rejectFailed } from '../sale/settlement/dead-letters.ts';
import { allowanceKey, codeHolderOf, holderOf, personOf } from '../sale/settlement/decide.ts';
import { expireHolds, payAuthorisedHolds } from '../sale/settlement/holds.ts';
import { requeueLost } from '../sale/settlement/lost-purchases.ts';
import { openReconciliation } from '../sale/settlement/reconciliation.ts';
import { settleBatch } from '../sale/settlement/transaction.ts';
import { keysOf, unsharded } from '../sale/shard.ts';
import type { SaleRecord } from '../store/collections.ts';
import { type Checkout, openCheckout } from './checkout.ts';
import {
  buyerCount,
  draw,
  initialStock,
  itemsOfSales,
  limitPerBuyer,
  limitPerItem,
  room,
  type Step,
  usesOfCodes,
  type WorkerDeath,
  withHolds,
  withList,
} from './history.ts';

interface Shop extends System {
  checkout: Checkout;
  /** Of the first sale. */
  codes: string[];
}

/** The buyers' pages: their purchases, and the accepted order ids. */
interface Pages {
  pressed: Purchase[];
  accepted: Map<string, Purchase>;
  /** The code that was shown with each purchase, by its order id. */
  shown: Map<string, string>;
}

const hourMs = 3_600_000;
const by = byCommand('npm run simulate');
const limits = {
  flushMaxPurchases: 100,
  flushMaxWaiting: 1_000,
  queueMaxPurchases: 1_000,
  memorySeconds: 3_600,
};

/**
 * Runs a history with the real gate, queue, `decide()` and settling transaction on a real Redis and MongoDB; only the
 * crashes are simulated. Then everything is repaired as in production: pages send lost purchases again, a worker drains the
 * queue, the reconciler runs.
 * @throws Error that says which invariant does not hold.
 */
export async function live(system: System, steps: Step[]): Promise<void> {
  await empty(system);
  const saleIds: string[] = [];
  for (const [sale] of itemsOfSales.entries()) saleIds.push(await putOnSale(system, sale));
  const codes = await makeCodes(system, saleIds[withList] ?? '');
  const { admit } = openAdmission({
    redis: system.redis,
    gate: system.gate,
    queue: system.queue,
    findSale: (saleId) => findSale(system.collections, saleId),
    door: openDoor(system.collections, []),
    requeueLost: ({ orderId, saleId }) => requeueLost(system, system.gate.shardOf(saleId), [orderId]),
    limits,
  });
  const pages: Pages = { pressed: [], accepted: new Map(), shown: new Map() };
  const shop = { ...system, checkout: openCheckout(system, by), codes };
  for (const step of steps) await take(step, shop, saleIds, admit, pages);
  await repair(shop, saleIds, admit, pages);
  await check(shop, saleIds, pages);
}

async function empty({ collections, redis }: System): Promise<void> {
  await redis.flushall();
  const { sales, orders, allowances, events, payments, simulatedPayments, ...others } = collections;
  const { codes, codeBatches, places, placeLists, mails } = others;
  for (const model of [
    ...[sales, orders, allowances, events, payments, simulatedPayments],
    ...[codes, codeBatches, places, placeLists, mails],
  ])
    await model.deleteMany();
}

async function putOnSale({ collections }: System, sale: number): Promise<string> {
  const items = itemsOfSales[sale] ?? 1;
  const productId = nanoid();
  await collections.products.insertOne({
    _id: productId,
    name: 'A lamp',
    description: '',
    image: '',
    createdAt: new Date(),
  });
  // People gather in the room until it opens.
  const opensAt = new Date(Date.now() + (sale === room ? hourMs / 2 : -hourMs));
  const newSale = {
    items: Array.from({ length: items }, (_, n) => ({
      productId,
      label: items > 1 ? `Size ${n}` : '',
      amount: 100,
      stock: initialStock,
      limitPerBuyer: items > 1 ? limitPerItem : null,
    })),
    currency: 'EUR',
    limitPerBuyer,
    waitingList: sale === withList,
    paymentWindowSeconds: sale === withHolds ? 3_600 : 0,
    ...(sale === room && { mode: 'room' as const }),
    ...(sale === draw && { mode: 'draw' as const, drawAt: new Date(Date.now() + hourMs / 2) }),
    ...(sale === withList && {
      phases: [{ name: 'With a code', opensAt, access: 'code' as const }],
    }),
    opensAt,
    closesAt: new Date(Date.now() + hourMs),
  };
  const made = await createSale(collections, newSale, by);
  if ('noProduct' in made) throw new Error('The product was deleted while its sale was created.');
  return made.id;
}

const heldOf = ({ orderId: _id = '', saleId = '' }: Partial<Purchase> = {}) =>
  ({ _id, saleId, status: 'held' }) as const;

async function makeCodes({ collections }: System, saleId: string): Promise<string[]> {
  const codes: string[] = [];
  for (const uses of usesOfCodes) {
    const made = await createCodes(collections, saleId, { name: '', codes: 1, uses }, by);
    if (made === null || made === 'too_many') throw new Error('The codes were not made.');
    codes.push(...made.codes);
  }
  return codes;
}

async function take(step: Step, system: Shop, saleIds: string[], admit: Admit, pages: Pages): Promise<void> {
  const { collections, gate } = system;
  switch (step.type) {
    case 'press':
      return await press(
        system,
        pages,
        admit,
        purchaseOf(step, saleIds, pages),
        system.codes[step.code] ?? '',
      );
    case 'work':
      return await work(system, step.jobs, step.dies);
    case 'cancel': {
      const purchase = pages.pressed[step.order];
      if (!purchase) return;
      const { orderId } = purchase;
      const { restock } = step;
      const request = { orderId, by: 'staff' as const, staff: by, reason: 'simulated', restock };
      const { cancelled } = await cancelOrders(collections, [request]);
      if (cancelled && step.announced) await gate.returnUnits(cancelled.returned);
      return;
    }
    case 'pay': {
      const purchase = pages.pressed[step.order];
      return purchase && (await system.checkout.pay(purchase, step.card, step.asks));
    }
    case 'webhook':
      return await system.checkout.hear(step.number);
    case 'settle_payments':
      return await system.checkout.settle();
    case 'refund': {
      const { orderId = '' } = pages.pressed[step.order] ?? {};
      const wanted = {
        amount: step.amount ?? undefined,
        key: step.key === null ? undefined : `key-${step.key}`,
      };
      return await system.checkout.refund(orderId, wanted, step.announced);
    }
    case 'incident':
      return await system.checkout.happen(pages.pressed[step.order]?.orderId ?? '', step.incident);
    case 'near_deadline': {
      const held = heldOf(pages.pressed[step.order]);
      await collections.orders.updateOne(held, { $set: { holdExpiresAt: new Date(Date.now() + 10_000) } });
      return;
    }
    case 'expire': {
      const { orders } = collections;
      const held = heldOf(pages.pressed[step.order]);
      await orders.updateOne(held, { $set: { holdExpiresAt: new Date(0) } });
      await payAuthorisedHolds(collections);
      const expired = await expireHolds(collections);
      if (expired && step.announced) await gate.returnUnits(expired.returned);
      return;
    }
    case 'change_stock':
      return await change(
        system,
        saleIds[step.sale] ?? '',
        {
          ...(step.units > 0 ? { addStock: step.units } : { withdrawStock: -step.units }),
          ...(hasSeveral(step) && { itemId: itemIdOf(step.item) }),
        },
        step.announced,
      );
    case 'call_off': {
      await change(system, saleIds[step.sale] ?? '', { calledOff: true }, step.announced);
      for (let left = step.passes; left > 0; left--) await cancelNext(system, { dies: left === 1 });
      return;
    }
    case 'wait': {
      const lines = [{ itemId: firstItemId, quantity: step.quantity }];
      const asks = step.leaves ? { action: 'leave' as const } : { action: 'join' as const, lines };
      return await changePlace(system, saleIds[withList] ?? '', step.buyer, asks, step.announced);
    }
    case 'enter': {
      const lines = [{ itemId: firstItemId, quantity: step.quantity }];
      const asks = step.leaves ? { action: 'leave' as const } : { action: 'enter' as const, lines };
      return await changePlace(system, saleIds[draw] ?? '', step.buyer, asks);
    }
    case 'gather': {
      const action = step.leaves ? 'leave' : 'gather';
      return await changePlace(system, saleIds[room] ?? '', step.buyer, { action });
    }
    case 'draw':
      return await drawLots(system, saleIds, step);
    case 'call':
      return await callIn(system, saleIds[room] ?? '');
    case 'come_in':
      await comeIn(collections, saleIds[room] ?? '', `buyer-${step.buyer}`, passSeconds);
      return;
    case 'miss': {
      const place = placeIdOf(saleIds[room] ?? '', `buyer-${step.buyer}`);
      const [past, { places }] = [new Date(0), collections];
      await places.updateOne({ _id: place, state: 'inside' }, { $set: { passUntil: past } });
      await places.updateOne({ _id: place, state: 'called' }, { $set: { 'calls.$[].answerBy': past } });
      return;
    }
    case 'offer':
      await offer(system, saleIds[step.sale] ?? '', pages, step.announced);
      return;
    case 'pause':
      return await change(system, saleIds[step.sale] ?? '', { paused: step.paused }, step.announced);
    case 'give_up':
      return await giveUpOldest(system, step.republish);
    case 'lose_jobs':
      return await loseJobs(system);
    case 'lose_redis':
      await system.redis.flushall();
      return;
    case 'forget':
      for (const shard of system.gate.shards)
        await system.redis.del(keysOf(shard).purchases + pages.pressed[step.order]?.orderId);
      return;
    case 'lose_place':
      return await losePlace(system, pages.pressed[step.order]?.orderId ?? '');
    case 'drift':
      return await drift(system, saleIds[step.sale] ?? '', step);
    case 'reconcile':
      return await reconcileNow(system);
  }
}

function purchaseOf(step: Extract<Step, { type: 'press' }>, saleIds: string[], { pressed }: Pages): Purchase {
  const before = step.again === null ? undefined : pressed[step.again];
  const isNow = { createdAt: createdAt() };
  if (before && step.unchanged) return { ...before, ...isNow };
  const saleId = saleIds[step.sale] ?? '';
  if (before) {
    const orderId = orderIdOf(before.buyerId, saleId, before.idempotencyKey);
    const { lines: _, ...rest } = before;
    return { ...rest, ...isNow, orderId, saleId, ...askedIn(step) };
  }
  const [personId, idempotencyKey] = [`buyer-${step.buyer}`, `press-${pressed.length}`];
  const buyerId = step.isBack ? `${personId}-back` : personId;
  const orderId = orderIdOf(buyerId, saleId, idempotencyKey);
  const whose = { buyerId, ...(step.isBack && { personId }) };
  return { orderId, saleId, ...whose, ...askedIn(step), idempotencyKey, ...isNow };
}

const hasSeveral = ({ sale }: { sale: number }) => (itemsOfSales[sale] ?? 1) > 1;
const itemIdOf = (item: number) => String(item + 1);

function askedIn(step: Extract<Step, { type: 'press' }>): Pick<Purchase, 'quantity' | 'lines'> {
  const { quantity, item, beside } = step;
  if (!hasSeveral(step)) return { quantity };
  const lines = [{ itemId: itemIdOf(item), quantity }];
  if (beside !== null && beside !== item) lines.push({ itemId: itemIdOf(beside), quantity: 1 });
  return { quantity: unitsIn(lines), lines };
}

/** A time later than all before, because two purchases of one browser never share a millisecond. */
function createdAt(): string {
  lastPressMs = Math.max(lastPressMs + 1, Date.now());
  return new Date(lastPressMs).toISOString();
}
let lastPressMs = 0;

async function press(
  { collections }: System,
  { pressed, accepted, shown }: Pages,
  admit: Admit,
  purchase: Purchase,
  code: string,
): Promise<void> {
  if (!pressed.some(({ orderId }) => orderId === purchase.orderId)) pressed.push(purchase);
  shown.set(purchase.orderId, code);
  const _id = placeIdOf(purchase.saleId, personOf(purchase));
  const inside = { _id, state: 'inside' as const, passUntil: { $gt: new Date() } };
  const hasPass = (await collections.places.findOne(inside)) !== null;
  const { outcome } = await admit(purchase, '', hasPass, { emailVerified: false, code });
  if (outcome === 'admitted' || outcome === 'known') accepted.set(purchase.orderId, purchase);
}

async function waitingJobs({ bulls }: System['queue']) {
  return (await Promise.all(bulls.map((bull) => bull.getJobs(['waiting'])))).flat().filter(Boolean);
}

async function work(
  { collections, gate, queue }: System,
  count: number,
  dies: WorkerDeath | null,
): Promise<void> {
  const waiting = await waitingJobs(queue);
  const jobs = waiting.sort((one, other) => one.timestamp - other.timestamp).slice(0, count);
  if (jobs.length === 0 || dies === 'before') return;
  const contents = jobs.map((job) => readJob(job.data));
  const purchases = contents.flatMap((content) => content.purchases);
  const again = contents.flatMap((content) => (content.again ? content.purchases : []));
  if (dies === 'inside') return await settleAndDie(collections, purchases);
  const { settledPurchases } = await settleBatch(collections, purchases, again);
  if (dies === 'committed') return;
  await gate.removeSettled(settledPurchases);
  if (dies === 'announced') return;
  for (const job of jobs) await job.remove();
}

/** Aborts the transaction after all its writes. */
async function settleAndDie(collections: System['collections'], purchases: Purchase[]): Promise<void> {
  const session = await collections.connection.startSession();
  session.startTransaction({ readConcern: { level: 'local' } });
  const [first] = purchases;
  await collections.sales.updateOne({ _id: first?.saleId ?? '' }, { $inc: { stock: -1 } }, { session });
  await session.abortTransaction();
  await session.endSession();
}

async function change(
  { collections, gate }: System,
  saleId: string,
  what: Parameters<typeof changeSale>[2],
  isAnnounced: boolean,
) {
  const sale = await changeSale(collections, saleId, what, by);
  if (isAnnounced && typeof sale !== 'string') await gate.sync(sale);
}

type Asked<Request> = Request extends unknown ? Omit<Request, 'saleId' | 'personId' | 'buyerId'> : never;

async function changePlace(
  { collections, gate }: System,
  saleId: string,
  buyer: number,
  asks: Asked<PlaceRequest>,
  isAnnounced = true,
): Promise<void> {
  const tell = async (sale: SaleRecord) => isAnnounced && (await gate.sync(sale));
  const { change } = openPlaces(collections, tell, { announce: () => {} });
  const buyerId = `buyer-${buyer}`;
  await change({ saleId, personId: buyerId, buyerId, ...asks });
}

/** Longer than a history takes, so that only a step ends it. */
const [passSeconds, answerSeconds] = [600, 600];
const chain = { hash: '', publicKey: '', genesisSeconds: 0, periodSeconds: 1 };
const noBeacon = { chain, poll: () => ({ error: null }) };

/** Also again, as by a leader after one that died: then it changes nothing. */
async function drawLots(
  system: System,
  saleIds: string[],
  { sale, announced }: Extract<Step, { type: 'draw' }>,
): Promise<void> {
  const { collections } = system;
  const saleId = saleIds[sale] ?? '';
  const now = new Date();
  const record = await findSale(collections, saleId);
  if (!record || record.calledOffAt) return;
  if (sale === draw) await collections.sales.updateOne({ _id: saleId }, { $min: { drawAt: now } });
  else if (record.opensAt > now) await change(system, saleId, { opensAt: now }, announced);
  if (((await findSale(collections, saleId))?.opensAt ?? now) > now) return;
  await makeDraw(collections, saleId, noBeacon);
}

async function callIn({ collections, gate }: System, saleId: string): Promise<void> {
  const stock = { gateLeft: await gate.unitsLeft(saleId), backlog: await gate.countQueued(saleId) };
  await callPeople(collections, saleId, stock, { answerSeconds, hasMails: true });
}

/** @returns whether somebody was offered something. */
async function offer(
  { collections, gate }: System,
  saleId: string,
  { pressed }: Pages,
  isAnnounced: boolean,
): Promise<boolean> {
  const offers = await offerUnits(collections, saleId, openMutex());
  if (!offers) return false;
  if (isAnnounced) await takeFromGate(gate, offers);
  pressed.push(...offers.purchases);
  return true;
}

const deadLetterShop = (system: System) => ({ ...system, announceSettled: () => {} });

/** @returns whether more orders of called-off sales may have to be cancelled. */
async function cancelNext({ collections, gate }: System, { dies }: { dies: boolean }): Promise<boolean> {
  const death = new Error('died');
  return await cancelCalledOff(collections, openMutex(), async ({ returned }) => {
    if (dies) throw death;
    await gate.returnUnits(returned);
  }).catch((error) => {
    if (error !== death) throw error;
    return true;
  });
}

async function giveUpOldest(system: System, thenRepublish: boolean): Promise<void> {
  const { bulls, shards } = system.queue;
  const counts = await Promise.all(bulls.map((bull) => bull.getWaitingCount()));
  const n = counts.findIndex((count) => count > 0);
  const job = await bulls[n]?.getNextJob();
  if (!job) return;
  const id = shards[n] === unsharded ? String(job.id) : `${shards[n]}-${job.id}`;
  await job.discard(); // No further attempts.
  await job.moveToFailed({ message: 'given up' });
  await rejectFailed(deadLetterShop(system), job.data);
  if (thenRepublish) await system.queue.republish(id);
  else await discard(deadLetterShop(system), id, by);
}

async function loseJobs({ queue }: System): Promise<void> {
  for (const bull of queue.bulls) {
    await bull.obliterate({ force: true });
    await bull.resume();
  }
}

async function losePlace({ redis, gate, queue }: System, orderId: string): Promise<void> {
  for (const job of await waitingJobs(queue)) {
    const isOnly = job?.data.purchases.length === 1 && job.data.purchases[0]?.orderId === orderId;
    if (isOnly) await job.remove();
  }
  for (const shard of gate.shards) await redis.zrem(keysOf(shard).queued, orderId);
}

async function drift(
  { redis, gate: { keyOf }, codes }: Shop,
  saleId: string,
  { item, buyer, code, left, units }: Extract<Step, { type: 'drift' }>,
): Promise<void> {
  const gate = keyOf(saleId);
  if (!(await redis.exists(gate))) return;
  await redis.hincrby(gate, 'left', left);
  await redis.hincrby(gate, `b:buyer-${buyer}`, units);
  if (await redis.hget(gate, 'phases')) {
    const codeId = codeIdOf(saleId, codes[code] ?? '') ?? '';
    await redis.hincrby(gate, `b:${codeHolderOf(codeId)}`, units);
  }
  const itemId = itemIdOf(item);
  if (!(await redis.hexists(gate, `left:${itemId}`))) return;
  await redis.hincrby(gate, `left:${itemId}`, -left);
  await redis.hincrby(gate, `b:buyer-${buyer}:${itemId}`, units);
}

const passesMax = 20;

async function reconcileNow(system: System): Promise<void> {
  await openReconciliation(deadLetterShop(system), { staleAfterMs: -1_000 })();
  for await (const { purchases } of system.gate.scan()) {
    for (const [shard, orderIds] of purchases) await requeueLost(system, shard, orderIds);
  }
  const check = openGateCheck({ ...system, exclusive: openMutex(), recompareAfterMs: 0 });
  for (let n = 0; n < passesMax && (await check.compareSettings()).hasMore; n++);
  for (let n = 0; n < passesMax && (await check.compareCounts()).hasMore; n++);
}

/** Repairs the shop until everything is settled. */
async function repair(system: Shop, saleIds: string[], admit: Admit, pages: Pages): Promise<void> {
  for (const saleId of saleIds) await change(system, saleId, { paused: false }, false);
  for (const purchase of pages.accepted.values()) {
    const known =
      (await system.collections.orders.findOne({ _id: purchase.orderId })) ||
      (await system.gate.findPurchase(purchase.orderId));
    if (known) continue;
    // A page that gets 404 sends the purchase again, and shows it as refused if it is refused now. The receipt has a pass for that.
    const shown = { emailVerified: false, code: pages.shown.get(purchase.orderId) };
    const hasPass = purchase.saleId === saleIds[room];
    const { outcome } = await admit({ ...purchase, createdAt: createdAt() }, '', hasPass, shown);
    if (outcome !== 'admitted' && outcome !== 'known') pages.accepted.delete(purchase.orderId);
  }
  for (let round = 0; round < 3; round++) {
    await reconcileNow(system);
    await work(system, 1_000, null);
    for (let n = 0; n < passesMax && (await cancelNext(system, { dies: false })); n++);
    for (const sale of [withList, draw])
      for (let n = 0; n < passesMax && (await offer(system, saleIds[sale] ?? '', pages, true)); n++);
    await callIn(system, saleIds[room] ?? '');
  }
  // A refund that is refused is asked for up to eight times, and five of them.
  await system.checkout.hearOfRefunds();
  for (let pass = 0; pass < settlePasses; pass++) await system.checkout.settle();
  await reconcileNow(system);
}

const settlePasses = 6;

async function check(system: Shop, saleIds: string[], { accepted }: Pages): Promise<void> {
  const report = await audit(system.collections, system.gate, system.queue, {
    provider: system.checkout.provider,
  });
  if (!report.ok) throw new Error(`The audit failed: ${JSON.stringify(report)}`);
  const ids = [...accepted.keys()];
  const final = await system.collections.orders.countDocuments({ _id: { $in: ids } });
  if (final !== ids.length) throw new Error(`I2: ${ids.length} accepted, ${final} have an order`);
  const calledOff = await system.collections.sales.distinct('_id', { phase: 'called_off' });
  const taken = { saleId: { $in: calledOff }, status: { $in: ['paid', 'held'] as const } };
  const kept = await system.collections.orders.countDocuments(taken);
  if (kept !== 0) throw new Error(`${kept} orders of a called-off sale are not cancelled`);
  for (const { _id, refunds } of await system.collections.payments.find().toArray()) {
    const keys = refunds.flatMap(({ key }) => key ?? []);
    if (new Set(keys).size < keys.length) throw new Error(`${_id} has two refunds of one request`);
  }
  const queued = await system.gate.countQueued();
  if (queued !== 0) throw new Error(`${queued} purchases stay queued`);
  for (const saleId of saleIds) {
    const counted = await countsOf(system, saleId);
    if (counted && counted.gate !== counted.mongo)
      throw new Error(`The gate counts ${counted.gate}, MongoDB ${counted.mongo}`);
  }
}

/** The counts of a sale in its gate and in MongoDB; null when the sale has no gate. */
async function countsOf({ gate, collections, codes }: Shop, saleId: string) {
  const sale = await collections.sales.findOne({ _id: saleId });
  const items = sale && hasSeveralItems(sale) ? itemsOf(sale) : [];
  const itemIds = items.map(({ id }) => id);
  const people = Array.from({ length: buyerCount }, (_, n) => `buyer-${n}`);
  const buyers = [
    ...people.flatMap((person) => [person, ...itemIds.map((id) => holderOf(person, id))]),
    ...codes.map((code) => codeHolderOf(codeIdOf(saleId, code) ?? '')),
  ];
  const { gates } = await gate.read([saleId], { buyers, queuedMax: 1, items: new Map([[saleId, itemIds]]) });
  const fields = gates.get(saleId);
  if (!fields || !sale) return null;
  const units = await Promise.all(
    buyers.map(
      async (buyer) =>
        (await collections.allowances.findOne({ _id: allowanceKey(saleId, buyer) }))?.units ?? 0,
    ),
  );
  const text = (...counts: unknown[]) => JSON.stringify(counts);
  return {
    gate: text(
      fields.left,
      fields.queued,
      fields.isPaused,
      fields.revision,
      fields.units,
      ...fields.buyers.values(),
      ...[...fields.items.values()].map(({ left, units }) => [left, units]),
    ),
    mongo: text(
      sale.stock,
      0,
      sale.paused,
      String(sale.revision),
      unitsEverOnSale(sale),
      ...units,
      ...items.map((item) => [item.stock, unitsEverOnSale(item)]),
    ),
  };
}
