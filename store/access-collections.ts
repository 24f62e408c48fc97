import { Schema } from 'mongoose';
import type { OpenCollection } from './collections.ts';

/** The collections of what lets people into a phase of a sale: its list, and its codes. */

/**
 * A part of a sale's list: the keys in `people` of the addresses on it. The parts are small, so that one transaction replaces a list
 * of 100,000 and a look-up reads little.
 */
export interface ListPartRecord {
  /** `<saleId>:<first two characters of the keys>` */
  _id: string;
  saleId: string;
  keys: string[];
}

/** Codes that were made together. */
export interface CodeBatchRecord {
  _id: string;
  saleId: string;
  /** What staff call them, such as the newsletter in which they were sent. */
  name: string;
  codes: number;
  /** How many orders each code lets in. */
  uses: number;
  createdAt: Date;
  /** When all of its codes were revoked; null while they are valid. */
  revokedAt: Date | null;
}

export interface CodeRecord {
  /** `<saleId>:<codeId>`; the id is a hash of the code, which itself is not stored. */
  _id: string;
  saleId: string;
  batchId: string;
  uses: number;
  /** Null while it is valid. */
  revokedAt: Date | null;
}

const text = { type: String, required: true } as const;
const number = { type: Number, required: true } as const;
const options = { versionKey: false, minimize: false, strict: 'throw' } as const;

const listPart = new Schema<ListPartRecord>(
  { _id: text, saleId: { ...text, index: true }, keys: { type: [String], required: true } },
  { ...options, collection: 'sale_list_parts' },
);

const codeBatch = new Schema<CodeBatchRecord>(
  {
    _id: text,
    saleId: text,
    name: { type: String, default: '' },
    codes: number,
    uses: number,
    createdAt: { type: Date, required: true },
    revokedAt: { type: Date, default: null },
  },
  { ...options, collection: 'sale_code_batches' },
).index({ saleId: 1, createdAt: -1 });

const code = new Schema<CodeRecord>(
  { _id: text, saleId: text, batchId: text, uses: number, revokedAt: { type: Date, default: null } },
  { ...options, collection: 'sale_codes' },
).index({ saleId: 1, batchId: 1 });

export function openAccessCollections(open: OpenCollection) {
  return {
    listParts: open<ListPartRecord>('SaleListPart', listPart),
    codeBatches: open<CodeBatchRecord>('SaleCodeBatch', codeBatch),
    codes: open<CodeRecord>('SaleCode', code),
  };
}
