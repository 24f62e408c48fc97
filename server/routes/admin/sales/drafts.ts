import { hasSiteCodes } from '../../../../sale/access/access.ts';
import { type SaleSnapshot, salePage, saleSnapshot } from '../../../../sale/contract.ts';
import { deleteDraft, duplicateSale, findValues, listDrafts, publishDraft } from '../../../../sale/draft.ts';
import { findSale } from '../../../../sale/sale.ts';
import { byId, pageAfter } from '../../../http/inputs.ts';
import { type Refusal, refuse, wrongField } from '../../../http/problems.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import type { Shop } from '../../../shop.ts';
import { matches, noSale } from '../../sales.ts';
import { unpayable } from './payable.ts';
import { unsafeDoors } from './room.ts';
import { codesAtSite } from './sale-input.ts';
import { keyReused, noCaptcha, noSiteKeys } from './sales.ts';

/** Sales before they are public. `POST /api/sales` makes one with `draft: true`; `PATCH /api/sales/:id` changes it. */
export const draftRoutes = ({
  collections,
  announceSale,
  payments,
  redis,
  captcha,
  sitePasses,
}: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/drafts',
    access: 'viewer',
    scope: 'sales:read',
    summary: 'The drafts, newest first, page by page',
    query: pageAfter,
    answer: [200, salePage],
    handle: async ({ query }) => ({ status: 200, body: await listDrafts(collections, query.cursor) }),
  }),
  route({
    method: 'post',
    path: '/api/sales/:id/publication',
    access: 'admin',
    scope: 'sales:write',
    summary: 'Publish a draft; with If-Match only as it was when it was read',
    params: byId,
    takesIfMatch: true,
    answer: [200, saleSnapshot],
    problems: ['not-found', 'precondition-failed', 'busy'],
    /** Publishing twice is the same as once. */
    async handle({ params, ...call }) {
      const values = await findValues(collections, params.id);
      const refused =
        values &&
        (noCaptcha({ captcha }, values) ??
          noSiteKeys({ sitePasses }, values) ??
          (hasSiteCodes(values) ? wrongField('phases', codesAtSite) : null) ??
          (await unsafeDoors({ redis }, values)));
      if (refused) return refused;
      const ifMatch = call.request.header('if-match');
      let refusal: Refusal | null = null;
      const isAsConfirmed = (draft: SaleSnapshot) => {
        const prices = draft.items.map(({ price }) => price);
        refusal = unpayable({ payments }, { ...draft, prices });
        return refusal === null && matches(draft, ifMatch);
      };
      const published = await publishDraft(collections, params.id, isAsConfirmed, byOf(call));
      if (published === null) return noSale(params.id);
      if (published === 'changed')
        return (
          refusal ??
          refuse('precondition-failed', 'The draft has changed since it was read. Look at it again.')
        );
      if (published === 'over') return wrongField('closesAt', 'expected a time that has not passed');
      announceSale(published);
      return { status: 200, body: published };
    },
  }),
  route({
    method: 'post',
    path: '/api/sales/:id/duplicates',
    access: 'admin',
    scope: 'sales:write',
    summary: 'Make a draft with the values of a sale or of another draft',
    params: byId,
    takesIdempotencyKey: true,
    answer: [201, saleSnapshot],
    headers: ['Location'],
    problems: ['not-found', 'key-reused'],
    async handle({ params, idempotencyKey, ...call }) {
      const maker = { by: byOf(call), idempotencyKey };
      const values = await findValues(collections, params.id);
      const refused = values?.site ? await unsafeDoors({ redis }, values) : null;
      if (refused) return refused;
      const draft = await duplicateSale(collections, params.id, maker);
      if (draft === 'key_reused') return keyReused('This key made another draft before');
      if (!draft) return noSale(params.id);
      return { status: 201, body: draft, headers: { Location: `/api/sales/${draft.id}` } };
    },
  }),
  route({
    method: 'delete',
    path: '/api/sales/:id',
    access: 'admin',
    scope: 'sales:write',
    summary: 'Delete a draft',
    params: byId,
    answer: [204, null],
    problems: ['not-found', 'already-published'],
    async handle({ params, ...call }) {
      if (await deleteDraft(collections, params.id, byOf(call))) return { status: 204 };
      if (!(await findSale(collections, params.id))) return noSale(params.id);
      return refuse('already-published', 'Only a draft can be deleted. A published sale can be called off.');
    },
  }),
];
