import { z } from 'zod';
import { redisClock } from '../../runtime/clock.ts';
import { singleFlight } from '../../runtime/single-flight.ts';
import { subjectOf } from '../../sale/bots/puzzles.ts';
import { draw, place, puzzle, roomPass, roomStatus } from '../../sale/contract.ts';
import { linesOf } from '../../sale/items.ts';
import { waiveBeacon } from '../../sale/places/drawing.ts';
import { placeIdOf, readPlace } from '../../sale/places/place.ts';
import type { PlaceRefusal, PlaceRequest } from '../../sale/places/places.ts';
import { publishedDraw, readDraw } from '../../sale/places/published.ts';
import { mayTakePart } from '../../sale/rehearsal.ts';
import { comeIn } from '../../sale/room/room.ts';
import { allowanceKey } from '../../sale/settlement/decide.ts';
import { difficultyNow, placeDemands, requirePlace } from '../bots/entry.ts';
import type { Identity } from '../http/identity/tokens.ts';
import { byId } from '../http/inputs.ts';
import { type HttpRequest, parse } from '../http/pipeline.ts';
import { isRefusal, type Refusal, refuse, wrongField } from '../http/problems.ts';
import { type Answer, byOf, type Call, type Route, route } from '../http/route.ts';
import { openToAnySite } from '../pages/pages.ts';
import type { Shop } from '../shop.ts';
import { enterSale } from './access.ts';
import { noPassKeys } from './admin/sales/room.ts';
import { code, purchasedIn, purchaseRequest } from './purchases.ts';
import { noSale } from './sales.ts';

const returning = z.strictObject({
  returnTo: z
    .string()
    .max(2_000)
    .optional()
    .describe('The address that the person came from, at a site in front of which this waiting room stands'),
});

const cannotEnter = [
  'not-found',
  'not-open',
  'paused',
  'ended',
  'over-limit',
  'not-admitted',
  'code-refused',
  'code-used',
  ...placeDemands,
  'list-full',
  'place-offered',
  'busy',
] as const;

/** People's places in draws, on waiting lists and in waiting rooms, and what a draw publishes. */
export function placeRoutes(shop: Shop): Route[] {
  const { collections } = shop;
  const read = singleFlight((saleId) => readDraw(collections, shop.beaconChain, saleId));

  const noPlace = (saleId: string) => refuse('not-found', `You have no place in sale ${saleId}`);

  async function take(
    action: 'enter' | 'join',
    saleId: string,
    {
      body,
      identity,
      request,
    }: Pick<
      Call<unknown, unknown, z.infer<typeof purchaseRequest>, Identity>,
      'body' | 'identity' | 'request'
    >,
  ): Promise<Answer | Refusal> {
    const { userId: buyerId, personId } = identity;
    const redeems = await enter(saleId, identity, body.code);
    if (isRefusal(redeems)) return redeems;
    const lines = linesOf(purchasedIn(body));
    return await takePlace({ action, saleId, personId, buyerId, lines, redeems }, identity, request);
  }

  /** The person counts towards their network only with a place. */
  async function takePlace(place: PlaceRequest, identity: Identity, request: HttpRequest) {
    const { saleId, personId } = place;
    const entry = await requirePlace(shop, saleId, identity, request);
    if (isRefusal(entry)) return entry;
    // A change that failed may have been written all the same.
    let result: 'kept' | 'refused' = 'kept';
    try {
      const answer = await change({ ...place, ...entry });
      if (isRefusal(answer)) result = 'refused';
      return answer;
    } finally {
      if (entry.networkKey) await shop.networks.endPress(saleId, personId, result);
    }
  }

  /** Whoever leaves makes room for another person of their network, unless they have bought. */
  async function leave(place: PlaceRequest & { action: 'leave' }) {
    const { saleId, personId } = place;
    const isLimited = (await shop.demandsOf(saleId))?.networkLimit !== undefined;
    const waits = {
      _id: placeIdOf(saleId, personId),
      state: { $in: ['waiting' as const, 'called' as const] },
    };
    const isWaiting = isLimited && (await collections.places.findOne(waits)) !== null;
    // Somebody who asks for a place at the same time counts on, because they may have one again.
    const presses = isWaiting ? await shop.networks.endedPresses(saleId, personId) : null;
    const answer = await change(place);
    if (presses === null || isRefusal(answer)) return answer;
    const bought = await collections.allowances.findOne({ _id: allowanceKey(saleId, personId) });
    if (!bought?.units) await shop.networks.release(saleId, personId, presses);
    return answer;
  }

  const enter = (saleId: string, identity: Identity, code: string | undefined) =>
    enterSale(shop, saleId, identity, { code, nowMs: redisClock.now().getTime() });

  async function change(request: PlaceRequest): Promise<Answer | Refusal> {
    if (!mayTakePart(request.saleId, request.buyerId)) return noSale(request.saleId);
    const answer = await shop.changePlace(request);
    if (answer === null) return { status: 204 };
    if (typeof answer === 'string') return refusalOf(answer, request.saleId);
    return request.action === 'leave' ? { status: 204 } : { status: 200, body: answer };
  }

  const mine = (what: keyof typeof mineInWords) => [
    route({
      method: 'get',
      path: `/api/sales/:id/${what}/mine`,
      access: 'buyer',
      summary: mineInWords[what].read,
      params: byId,
      answer: [200, place],
      problems: ['not-found'],
      async handle({ params, identity }) {
        const found = await readPlace(collections, params.id, identity.personId);
        if (!found) return noPlace(params.id);
        return { status: 200, body: found };
      },
    }),
    route({
      method: 'delete',
      path: `/api/sales/:id/${what}/mine`,
      access: 'buyer',
      summary: mineInWords[what].leave,
      params: byId,
      answer: [204, null],
      problems: ['not-found', 'entries-closed', 'place-offered', 'place-inside', 'busy'],
      /** Leaving twice is the same as once. */
      handle: ({ params, identity: { personId, userId: buyerId } }) =>
        leave({ action: 'leave', saleId: params.id, personId, buyerId }),
    }),
  ];

  return [
    route({
      method: 'post',
      path: '/api/sales/:id/entries',
      access: 'buyer',
      summary: 'Enter a draw, or change the entry; a person has one',
      params: byId,
      body: purchaseRequest,
      answer: [200, place],
      problems: [...cannotEnter, 'no-draw', 'entries-closed'],
      ...demanded,
      handle: ({ params, ...call }) => take('enter', params.id, call),
    }),
    ...mine('entries'),
    route({
      method: 'post',
      path: '/api/sales/:id/waiting-list',
      access: 'buyer',
      summary:
        'Wait for units that come back; again: ask for fewer at the same place, or for others at the end',
      params: byId,
      body: purchaseRequest,
      answer: [200, place],
      problems: [...cannotEnter, 'no-waiting-list', 'still-on-sale', 'draw'],
      ...demanded,
      handle: ({ params, ...call }) => take('join', params.id, call),
    }),
    ...mine('waiting-list'),
    route({
      method: 'post',
      path: '/api/sales/:id/places',
      access: 'buyer',
      summary:
        'Take a place in the waiting room: before the opening one that is drawn then, later the last one',
      params: byId,
      query: z.strictObject({
        code: code
          .optional()
          .describe('Send Sale-Code instead, because addresses are logged; not taken by the next version'),
      }),
      takesCode: true,
      answer: [200, place],
      problems: [...cannotEnter, 'no-room', 'called-too-often'],
      ...demanded,
      async handle({ params, query, identity, request }) {
        const sent = parse(code.optional(), request.header('sale-code'), 'Sale-Code');
        if (isRefusal(sent)) return sent;
        const redeemed = await enter(params.id, identity, sent ?? query.code);
        if (isRefusal(redeemed)) return redeemed;
        const { userId: buyerId, personId } = identity;
        const place = { action: 'gather' as const, saleId: params.id, personId, buyerId };
        return await takePlace(place, identity, request);
      },
    }),
    ...mine('places'),
    route({
      method: 'post',
      path: '/api/sales/:id/places/mine/pass',
      access: 'buyer',
      summary: 'Come in when called: a pass to buy, which ends soon; asked for again it is the same',
      params: byId,
      query: returning,
      answer: [200, roomPass],
      problems: ['not-found', 'not-called', 'paused'],
      async handle({ params, query, identity: { personId } }) {
        const sale = await collections.sales.findOne({ _id: params.id }, { projection: { site: 1 } });
        const siteUrl = sale?.site?.url;
        const address = query.returnTo ?? siteUrl;
        const site = address === undefined ? undefined : shop.sitePasses.siteOf(address, siteUrl);
        if (site === null)
          return wrongField('returnTo', `expected an address of ${siteUrl ?? 'a site in ROOM_SITES'}`);
        if (site && shop.sitePasses.keysOf(site.href) === null) return refuse('unavailable', noPassKeys);
        const until = await comeIn(collections, params.id, personId, shop.roomPassSeconds);
        if (until === 'no_place') return noPlace(params.id);
        if (until === 'paused')
          return refuse('paused', 'It goes on when the shop resumes it, and so does your time');
        if (until === 'not_called')
          return refuse('not-called', 'Read your place, and come when it is `called`');
        const pass = shop.passes.issue(params.id, personId, until);
        const forSite = { saleId: params.id, personId, until, siteUrl };
        const returnUrl = site && (await shop.sitePasses.addressFor(site, forSite));
        return {
          status: 200,
          body: { pass, passUntil: until.toISOString(), ...(returnUrl && { returnUrl }) },
        };
      },
    }),
    route({
      method: 'get',
      path: '/api/sales/:id/puzzle',
      access: 'buyer',
      summary: 'A puzzle that the sale demands, to be solved before it is needed',
      params: byId,
      answer: [200, puzzle],
      problems: ['not-found'],
      async handle({ params, identity: { personId } }) {
        const demands = await shop.demandsOf(params.id);
        const bits = demands ? difficultyNow(shop, demands) : 0;
        if (bits === 0) return refuse('not-found', `Sale ${params.id} does not exist, or has no puzzles`);
        const forPurchases = demands?.isRoom ? 0 : shop.difficultyBits;
        const given = shop.puzzles.give(subjectOf(params.id, personId), Math.max(bits, forPurchases));
        return { status: 200, body: given };
      },
    }),
    route({
      method: 'get',
      path: '/api/sales/:id/room',
      access: 'anyone',
      summary: 'How far the waiting room got: one answer for everybody, a second old at most',
      params: byId,
      answer: [200, roomStatus],
      problems: ['not-found', 'no-room'],
      async handle({ params }) {
        const status = await shop.rooms.read(params.id);
        if (!status) return refuse('no-room', `Sale ${params.id} does not exist, or has no waiting room`);
        return {
          status: 200,
          body: status,
          headers: { 'Cache-Control': 'public, max-age=1', ...openToAnySite },
        };
      },
    }),
    route({
      method: 'get',
      path: '/api/sales/:id/draw',
      access: 'anyone',
      summary: 'What a draw publishes, so that anyone can check it',
      params: byId,
      answer: [200, draw],
      problems: ['not-found', 'no-draw'],
      async handle({ params }) {
        const found = await read(params.id);
        if (!found) return noDraw(params.id);
        return { status: 200, body: found, headers: { 'Cache-Control': 'no-cache', ...openToAnySite } };
      },
    }),
    route({
      method: 'post',
      path: '/api/sales/:id/draw/without-beacon',
      access: 'admin',
      summary: 'Make a draw without the public random number that it depends on, because that is late',
      params: byId,
      answer: [200, draw],
      problems: ['not-found', 'no-draw', 'beacon-not-late'],
      /** Again it is the same. That the shop has done so is published with the draw. */
      async handle({ params, ...call }) {
        const outcome = await waiveBeacon(collections, params.id, byOf(call));
        const found = await readDraw(collections, shop.beaconChain, params.id);
        if (outcome === 'unknown' || !found) return noDraw(params.id);
        if (outcome === 'waived') return { status: 200, body: found };
        const { at } = found.beacon ?? {};
        return refuse('beacon-not-late', at ? `It is expected at ${at}` : 'The draw depends on none');
      },
    }),
    route({
      method: 'get',
      path: '/api/sales/:id/draw/file',
      access: 'anyone',
      summary: 'A draw with its whole list as a file, for `npm run verify-draw`',
      params: byId,
      answer: [200, null],
      media: 'application/json',
      problems: ['not-found', 'no-draw'],
      async handle({ params }) {
        const found = await read(params.id);
        if (!found) return noDraw(params.id);
        const headers = {
          'Content-Type': 'application/json; charset=utf-8',
          'Content-Disposition': `attachment; filename="draw-${params.id}.json"`,
          // Nothing of a draw changes once it is made.
          'Cache-Control': found.state === 'drawn' ? 'public, max-age=86400' : 'no-cache',
          ...openToAnySite,
        };
        return { status: 200, text: publishedDraw(collections, found), headers };
      },
    }),
  ];
}

const demanded = { takesProofOfWork: true, takesCaptcha: true } as const;

const mineInWords = {
  entries: { read: 'My entry in the draw, and what became of it', leave: 'Take back my entry in the draw' },
  'waiting-list': { read: 'My place on the waiting list', leave: 'Leave the waiting list' },
  places: { read: 'My place in the waiting room', leave: 'Leave the waiting room' },
};

const noDraw = (saleId: string) => refuse('no-draw', `Sale ${saleId} does not exist, or is not a draw`);

function refusalOf(refusal: PlaceRefusal, saleId: string): Refusal {
  switch (refusal) {
    case 'unknown_sale':
      return noSale(saleId);
    case 'not_open':
      return refuse('not-open', 'Look at its opensAt');
    case 'paused':
      return refuse('paused', 'It goes on when the shop resumes it');
    case 'ended':
      return refuse('ended', 'Nothing is given out any more');
    case 'unknown_item': {
      const message = 'expected items of this sale';
      return refuse('invalid-input', `lines: ${message}`, { errors: [{ field: 'lines', message }] });
    }
    case 'over_limit':
      return refuse('over-limit', 'It would be over what one buyer may have');
    case 'no_draw':
      return refuse('no-draw', 'Buy instead');
    case 'entries_closed':
      return refuse('entries-closed', 'The list of entries is fixed');
    case 'no_room':
      return refuse('no-room', 'Buy instead');
    case 'called_out':
      return refuse('called-too-often', 'Others have not been called once');
    case 'no_waiting_list':
      return refuse('no-waiting-list', 'Units that come back are on sale for everybody');
    case 'still_on_sale':
      return refuse('still-on-sale', 'Buy instead');
    case 'not_drawn':
      return refuse('draw', `Enter the draw instead: POST /api/sales/${saleId}/entries`);
    case 'list_full':
      return refuse('list-full', 'Come back later');
    case 'inside':
      return refuse('place-inside', 'The place ends with the pass, with which you can still buy');
    case 'offered':
      return refuse(
        'place-offered',
        'It was your turn: the place became an order, which can be cancelled while it is held or paid',
      );
  }
}
