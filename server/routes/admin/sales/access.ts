import { z } from 'zod';
import {
  createCodes,
  listCodeBatches,
  maxCodesAtOnce,
  maxUses,
  revokeBatch,
  revokeCode,
} from '../../../../sale/access/codes.ts';
import { countListed, maxListed, readList, replaceList } from '../../../../sale/access/list.ts';
import { codeBatch, count } from '../../../../sale/contract.ts';
import { byId, id, line } from '../../../http/inputs.ts';
import { refuse, wrongField } from '../../../http/problems.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import type { Shop } from '../../../shop.ts';
import { code } from '../../purchases.ts';
import { noSale } from '../../sales.ts';

const list = z.object({ people: count.describe('How many people are on the list') });

/** 100,000 addresses with some columns beside them; as large as nginx.conf lets through. */
const listMaxBytes = 8 * 1_024 * 1_024;

/** The list and the codes that let people into the phases of a sale or a draft. */
export const saleAccessRoutes = ({ collections, aliasDomains }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/sales/:id/list',
    access: 'viewer',
    scope: 'sales:read',
    summary: 'How many people are on the list of a sale',
    params: byId,
    answer: [200, list],
    handle: async ({ params }) => ({
      status: 200,
      body: { people: await countListed(collections, params.id) },
    }),
  }),
  route({
    method: 'post',
    path: '/api/admin/sales/:id/list',
    access: 'admin',
    scope: 'sales:write',
    summary: `Replace the list of a sale: up to ${maxListed} addresses, each in a line or in a CSV`,
    params: byId,
    file: { type: 'text/csv', maxBytes: listMaxBytes },
    answer: [200, list],
    problems: ['not-found', 'body-too-large', 'unsupported-media-type', 'busy'],
    /** An empty file empties the list. */
    async handle({ params, body, ...call }) {
      const read = await readList((body as unknown as Buffer).toString('utf8'));
      if ('faults' in read) {
        const errors = read.faults.map(({ line, text }) => ({
          field: `line ${line}`,
          message: `expected an address like ann@example.com, got ${text}`,
        }));
        const summary = `${errors.map(({ field, message }) => `${field}: ${message}`).join('; ')}${read.more ? '; and more' : ''}`;
        return refuse('invalid-input', summary, { errors });
      }
      if (read.addresses.length > maxListed)
        return wrongField('list', `expected at most ${maxListed} addresses, got more`);
      const by = byOf(call);
      const people = await replaceList(collections, params.id, read.addresses, { by, aliasDomains });
      return people === null ? noSale(params.id) : { status: 200, body: { people } };
    },
  }),
  route({
    method: 'get',
    path: '/api/admin/sales/:id/codes',
    access: 'viewer',
    scope: 'sales:read',
    summary: 'The codes of a sale, in the batches in which they were made, and how often they were used',
    params: byId,
    answer: [200, z.object({ batches: z.array(codeBatch).describe('The newest first, at most 100') })],
    handle: async ({ params }) => ({
      status: 200,
      body: { batches: await listCodeBatches(collections, params.id) },
    }),
  }),
  route({
    method: 'post',
    path: '/api/admin/sales/:id/codes',
    access: 'admin',
    scope: 'sales:write',
    summary: 'Make codes for a sale, which are shown this once',
    params: byId,
    body: z.strictObject({
      name: line(60).default('').describe('What you call them'),
      codes: z.int().min(1).max(maxCodesAtOnce).describe('How many codes'),
      uses: z.int().min(1).max(maxUses).default(1).describe('How many orders each of them lets in'),
    }),
    answer: [201, z.object({ batch: codeBatch, codes: z.array(z.string()) })],
    problems: ['not-found', 'too-many-codes', 'busy'],
    async handle({ params, body, ...call }) {
      const made = await createCodes(collections, params.id, body, byOf(call));
      if (made === 'too_many')
        return refuse('too-many-codes', 'A sale has at most 100000 codes, made at most 100 times');
      return made ? { status: 201, body: made } : noSale(params.id);
    },
  }),
  route({
    method: 'post',
    path: '/api/admin/sales/:id/code-revocations',
    access: 'admin',
    scope: 'sales:write',
    summary: 'Revoke one code, such as one that was passed on; again changes nothing',
    params: byId,
    body: z.strictObject({ code }),
    answer: [200, z.object({ uses: count, used: count })],
    problems: ['not-found', 'busy'],
    async handle({ params, body, ...call }) {
      const revoked = await revokeCode(collections, params.id, body.code, byOf(call));
      return revoked
        ? { status: 200, body: revoked }
        : refuse('not-found', `There is no such code of sale ${params.id}`);
    },
  }),
  route({
    method: 'delete',
    path: '/api/admin/sales/:id/codes/:batchId',
    access: 'admin',
    scope: 'sales:write',
    summary: 'Revoke all codes of a batch; the orders that they let in stay',
    params: z.strictObject({ id, batchId: id }),
    answer: [204, null],
    problems: ['not-found', 'busy'],
    /** Revoking twice is the same as once. */
    async handle({ params: { id: saleId, batchId }, ...call }) {
      const isThere = await revokeBatch(collections, saleId, batchId, byOf(call));
      return isThere
        ? { status: 204 }
        : refuse('not-found', `There is no batch ${batchId} of codes of sale ${saleId}`);
    },
  }),
];
