import { Schema } from 'mongoose';
import type { Theme } from '../catalogue/theme.ts';
import { type ApiScope, apiScope } from '../insight/contract.ts';
import type { OpenCollection } from './collections.ts';

/** The documents about those who run the shop. */

/** Who made a change: a member of staff, a server with an API key, or a command on the shop's machine. */
export interface ActorRecord {
  kind: 'account' | 'api_key' | 'command';
  /** The account's or the key's id; the operating system's user for a command. */
  id: string;
  /** The e-mail address at the time of the change, the key's name, or the command. Null for an account unknown here. */
  name: string | null;
  /** The role at the time of the change; null for a key or a command. */
  role: string | null;
}

/** An entry of the staff log: see accounts/staff-log.ts. */
export interface StaffEntryRecord {
  /** The entry's number, from 1 without gaps, with leading zeros. */
  _id: string;
  at: Date;
  actor: ActorRecord;
  /** The client's address, or the host on which a command ran. */
  from: string | null;
  /** Id of the HTTP request. */
  requestId: string | null;
  /** What was done, e.g. `sale.paused`. */
  action: string;
  subject: { kind: string; id: string };
  /** JSON of the changed fields; null when there is nothing to tell. */
  before: string | null;
  after: string | null;
  /** SHA-256 of the previous entry's hash and all fields of this one. */
  hash: string;
}

/** An entry of the staff log until the log has numbered it. */
export type NewStaffEntryRecord = Omit<StaffEntryRecord, 'hash'>;

/** A key with which a server calls the API. */
export interface ApiKeyRecord {
  _id: string;
  name: string;
  /** SHA-256 of the key. */
  hash: string;
  /** The key's first characters, by which its owner recognises it. */
  prefix: string;
  scopes: ApiScope[];
  createdAt: Date;
  /** Written at most once a minute; null before the first use. */
  lastUsedAt: Date | null;
}

/** What the shop set in the control room, by what it is about. */
export interface SettingRecord {
  _id: 'theme';
  theme: Theme;
  updatedAt: Date;
}

const id = { type: String, required: true } as const;
const text = { type: String, default: null } as const;
const time = { type: Date, required: true } as const;
const options = { versionKey: false, minimize: false, strict: 'throw' } as const;

const newEntry = {
  _id: id,
  at: time,
  actor: { kind: id, id, name: text, role: text },
  from: text,
  requestId: text,
  action: id,
  subject: { kind: id, id },
  before: text,
  after: text,
};

const newStaffEntry = new Schema<NewStaffEntryRecord>(newEntry, {
  ...options,
  collection: 'new_staff_entries',
}).index({ at: 1, _id: 1 });

const staffEntry = new Schema<StaffEntryRecord>(
  { ...newEntry, hash: id },
  { ...options, collection: 'staff_log' },
)
  .index({ 'actor.id': 1, _id: -1 })
  .index({ 'actor.name': 1, _id: -1 })
  .index({ action: 1, _id: -1 })
  .index({ 'subject.id': 1, _id: -1 })
  .index({ at: -1, _id: -1 });

const apiKey = new Schema<ApiKeyRecord>(
  {
    _id: id,
    name: id,
    hash: { type: String, required: true, unique: true },
    prefix: id,
    scopes: { type: [String], required: true, enum: apiScope.options },
    createdAt: time,
    lastUsedAt: { type: Date, default: null },
  },
  { ...options, collection: 'api_keys' },
);

const setting = new Schema<SettingRecord>(
  { _id: id as never, theme: { type: Schema.Types.Mixed } as never, updatedAt: time },
  { ...options, collection: 'settings' },
);

export function openStaffCollections(open: OpenCollection) {
  return {
    settings: open<SettingRecord>('Setting', setting),
    apiKeys: open<ApiKeyRecord>('ApiKey', apiKey),
    newStaffEntries: open<NewStaffEntryRecord>('NewStaffEntry', newStaffEntry),
    staffLog: open<StaffEntryRecord>('StaffEntry', staffEntry),
  };
}
