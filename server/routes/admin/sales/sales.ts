import { type RoomSite, saleSnapshot } from '../../../../sale/contract.ts';
import { changeDraft, createDraft, type Maker } from '../../../../sale/draft.ts';
import { itemsOf } from '../../../../sale/items.ts';
import {
  createSale,
  createSaleOnce,
  findProducts,
  findSale,
  snapshotOfRecord,
  unknownProduct,
} from '../../../../sale/sale.ts';
import type { SaleChange, SaleChangeRefusal } from '../../../../sale/sale-change.ts';
import { byId } from '../../../http/inputs.ts';
import { type Refusal, refuse, wrongField } from '../../../http/problems.ts';
import { type Answer, byOf, type Route, route } from '../../../http/route.ts';
import { takesEffectSoon } from '../../../live/announcements.ts';
import type { Shop } from '../../../shop.ts';
import { noSale } from '../../sales.ts';
import { termsOf, unpayable } from './payable.ts';
import { noProduct } from './products.ts';
import { unsafeDoors } from './room.ts';
import {
  aboveStock,
  beaconOutside,
  codesAtSite,
  drawOutside,
  listInRoom,
  newSale,
  newSaleOf,
  oldTooLow,
  paceOutside,
  saleChange,
  saleChangeOf,
  tooDear,
} from './sale-input.ts';

export function saleAdminRoutes(shop: Shop): Route[] {
  const { collections, announceSale } = shop;
  return [
    route({
      method: 'post',
      path: '/api/sales',
      access: 'admin',
      scope: 'sales:write',
      summary: 'Put items on sale: products, or sizes of one',
      body: newSale,
      takesIdempotencyKey: true,
      answer: [201, saleSnapshot],
      headers: ['Location'],
      problems: ['not-found', 'key-reused'],
      async handle({ body, idempotencyKey, ...call }) {
        const [sale, by] = [newSaleOf(body), byOf(call)];
        const maker = { by, idempotencyKey };
        const refusal =
          noCaptcha(shop, body) ??
          noSiteKeys(shop, body) ??
          unpayable(shop, termsOf(sale)) ??
          // A server of the version before would publish the draft without its site.
          (body.draft && !body.site ? null : await unsafeDoors(shop, sale));
        if (refusal) return refusal;
        const snapshot = body.draft
          ? await createDraft(collections, sale, maker)
          : idempotencyKey
            ? await createSaleOnce(collections, sale, { ...maker, idempotencyKey })
            : await createSale(collections, sale, by);
        if (snapshot === 'key_reused') return keyReused('This key made another sale before');
        if ('noProduct' in snapshot) return noProduct(snapshot.noProduct);
        if (!body.draft) announceSale(snapshot);
        return { status: 201, body: snapshot, headers: { Location: `/api/sales/${snapshot.id}` } };
      },
    }),
    route({
      method: 'patch',
      path: '/api/sales/:id',
      access: 'admin',
      scope: 'sales:write',
      summary: 'Change a sale or a draft: pause, stock, window, limit; until it opens also items and prices',
      params: byId,
      body: saleChange,
      takesIdempotencyKey: true,
      answer: [200, saleSnapshot],
      problems: [
        'not-found',
        'already-open',
        'already-published',
        'too-few-left',
        'called-off',
        'key-reused',
        'busy',
      ],
      /** A change that is repeated with its Idempotency-Key is made once, and gets the same answer. */
      async handle({ params, body, idempotencyKey, ...call }) {
        const [change, maker] = [saleChangeOf(body), { by: byOf(call), idempotencyKey }];
        const { site, phases } = change;
        const doors = { phases, ...(site && { mode: 'room' as const, site }) };
        const refusal =
          noCaptcha(shop, body) ??
          noSiteKeys(shop, body) ??
          (await unpayableAfter(shop, params.id, change)) ??
          (await unsafeDoors(shop, doors));
        if (refusal) return refusal;
        const ofSale = await changePublished(shop, params.id, change, maker);
        if (ofSale !== 'unknown_sale') return ofSale;
        const draft = await changeDraft(collections, params.id, change, maker);
        if (typeof draft === 'string') return refusalOfChange(draft, params.id);
        if ('noProduct' in draft) return noProduct(draft.noProduct);
        return { status: 200, body: draft, headers: keyHeader(maker) };
      },
    }),
    route({
      method: 'post',
      path: '/api/sales/:id/call-off',
      access: 'admin',
      scope: 'sales:write',
      summary: 'Call a sale off: nothing more is sold, and all its orders are cancelled',
      params: byId,
      answer: [200, saleSnapshot],
      problems: ['not-found', 'busy'],
      /** Calling off twice is the same as once. */
      async handle({ params, ...call }) {
        const maker = { by: byOf(call), idempotencyKey: undefined };
        const answer = await changePublished(shop, params.id, { calledOff: true }, maker);
        return answer === 'unknown_sale' ? noSale(params.id) : answer;
      },
    }),
  ];
}

export const noCaptcha = (shop: Pick<Shop, 'captcha'>, { captcha }: { captcha?: boolean | undefined }) =>
  captcha && !shop.captcha
    ? wrongField('captcha', 'expected false, because the shop has no CAPTCHA_PROVIDER')
    : null;

/** A pass into another site has to be signed. */
export const noSiteKeys = (
  { sitePasses }: Pick<Shop, 'sitePasses'>,
  { site }: { site?: RoomSite | null | undefined },
) =>
  site && sitePasses.keysOf(site.url) === null
    ? wrongField('site.url', 'expected none, because the servers have no ROOM_PASS_KEYS')
    : null;

/** @returns why orders could not be paid any more after a change of prices, the limit or the time to pay; null when they can. */
async function unpayableAfter(shop: Shop, saleId: string, change: SaleChange): Promise<Refusal | null> {
  const { price, items, limitPerBuyer, paymentWindowSeconds } = change;
  const isSame = !price && !items && limitPerBuyer === undefined && paymentWindowSeconds === undefined;
  if (isSame) return null;
  const { collections } = shop;
  const sale = await findSale(collections, saleId);
  const before = sale
    ? { ...sale, items: itemsOf(sale), currency: sale.price.currency }
    : (await collections.drafts.findOne({ _id: saleId }))?.sale;
  if (!before) return null;
  const changed = {
    ...before,
    ...(items && { items: items.list, currency: items.currency }),
    ...(price && { items: [{ amount: price.amount }], currency: price.currency }),
    ...(limitPerBuyer !== undefined && { limitPerBuyer }),
    ...(paymentWindowSeconds !== undefined && { paymentWindowSeconds }),
  };
  return unpayable(shop, termsOf(changed));
}

async function changePublished(
  { collections, changeSale }: Shop,
  saleId: string,
  change: SaleChange,
  maker: Maker,
): Promise<Answer | Refusal | 'unknown_sale'> {
  const items = change.items?.list ?? [];
  const unknown = unknownProduct(items, await findProducts(collections, items));
  if (unknown) return noProduct(unknown);
  const changed = await changeSale({ saleId, change, ...maker });
  if (changed === 'unknown_sale') return changed;
  if (typeof changed === 'string') return refusalOfChange(changed, saleId);
  const snapshot = await snapshotOfRecord(collections, changed.sale);
  if (!snapshot) return noSale(saleId);
  const headers = {
    ...keyHeader(maker),
    ...(!changed.isAnnounced && takesEffectSoon),
  };
  return { status: 200, body: snapshot, headers };
}

const keyHeader = ({ idempotencyKey: key }: Maker): Record<string, string> =>
  key ? { 'Idempotency-Key': key } : {};

/** What is answered to a refused change: a conflict with what has happened, or the field that cannot be so. */
function refusalOfChange(refusal: SaleChangeRefusal, saleId: string): Refusal {
  switch (refusal) {
    case 'unknown_sale':
      return noSale(saleId);
    case 'key_reused':
      return keyReused('This key came with another change of this sale before');
    case 'called_off':
      return refuse('called-off', 'A sale that was called off cannot be changed any more');
    case 'too_few_left':
      return conflict('too-few-left', 'withdrawStock', 'expected at most the units that are left');
    case 'price_is_fixed':
      return conflict('already-open', 'price', fixed('The price', 'Add a new sale at another price.'));
    case 'items_are_fixed':
      return conflict('already-open', 'items', fixed('The items', 'Add or withdraw stock of them instead.'));
    case 'limit_only_grows':
      return conflict('already-open', 'limitPerBuyer', fixed('The limit', 'It can only be raised.'));
    case 'mode_is_fixed':
      return conflict('already-published', 'mode', 'expected a draft: how units are given out is published');
    case 'draw_is_fixed':
      return conflict('already-open', 'drawAt', fixed('The draw', 'Its end can be moved.'));
    case 'draw_outside':
      return wrongField('drawAt', drawOutside);
    case 'beacon_is_fixed':
      return conflict(
        'already-published',
        'drawBeacon',
        'expected a draft: what a draw depends on is published',
      );
    case 'no_draw':
      return wrongField('drawBeacon', beaconOutside);
    case 'no_room':
      return wrongField('roomPerMinute', paceOutside);
    case 'site_outside':
      return wrongField('site', paceOutside);
    case 'codes_at_site':
      return wrongField('phases', codesAtSite);
    case 'site_is_fixed':
      return conflict(
        'already-published',
        'site.url',
        'expected the `url` of before, or a draft: whether things are bought is published, and the keys of a site follow from its `url`',
      );
    case 'room_is_list':
      return wrongField('waitingList', listInRoom);
    case 'item_limit_only_grows':
      return conflict('already-open', 'itemLimits', fixed('The limit', 'It can only be raised.'));
    case 'terms_are_fixed': {
      const terms = 'Who may buy, the language of the mails, and the time to pay';
      return conflict('already-open', 'paymentWindowSeconds', fixed(terms, 'Add a new sale with others.'));
    }
    case 'phases_outside':
      return wrongField(
        'phases',
        'expected the first phase to begin with the sale, each after the one before it, and all before its end; send them with opensAt',
      );
    case 'no_item_limit':
      return wrongField('itemLimits', "expected none: the only item has the sale's limit");
    case 'closes_first':
      return wrongField('closesAt', 'expected a time after opensAt');
    case 'unknown_item':
      return wrongField('itemId', 'expected the id of an item of this sale');
    case 'limit_above_stock':
      return wrongField('limitPerBuyer', aboveStock);
    case 'limit_too_dear':
      return wrongField('limitPerBuyer', tooDear);
    case 'old_price_too_low':
      return wrongField('oldAmount', oldTooLow);
    case 'not_in_draft':
      return wrongField('paused', 'expected a published sale; this one is a draft');
  }
}

const fixed = (what: string, instead: string) =>
  `${what} cannot change: the sale has opened, or opens now, and people buy what they saw. ${instead}`;

const conflict = (
  name: 'already-open' | 'already-published' | 'too-few-left',
  field: string,
  message: string,
) => refuse(name, message, { errors: [{ field, message }] });

export function keyReused(what: string): Refusal {
  return refuse('key-reused', `${what}; expected the same again, or a new key`);
}
