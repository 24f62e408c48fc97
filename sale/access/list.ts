import { type AliasDomains, emailAddress, mailboxOf, normaliseEmail } from '../../accounts/email-address.ts';
import { openPersonKeys } from '../../accounts/person.ts';
import { appendStaffEntry, type By } from '../../accounts/staff-log.ts';
import { addressOf } from '../../accounts/user.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { inSlices } from '../../runtime/slices.ts';
import { type Collections, insertAll } from '../../store/collections.ts';

/**
 * The list of a sale: the people who may buy in a phase for members. An address is kept only as its key in `people`, a keyed hash,
 * so that the list outlives accounts like the limit does, and tells nobody's address.
 */

export const maxListed = 100_000;

/** Longer than any address; a longer line is not one. */
const maxLine = 320;
const faultsShown = 5;

/** A line of an upload that is not an address. */
export interface ListFault {
  line: number;
  text: string;
}

/**
 * Reads an uploaded list: an address in each line, or a CSV whose first column with an `@` has it. A first line without an address is
 * taken for the headings.
 * @returns the addresses, each once and in its normal form, or the first lines that cannot be read. It stops reading at `maxListed` + 1
 *   addresses, which the caller refuses.
 */
export async function readList(
  text: string,
): Promise<{ addresses: string[] } | { faults: ListFault[]; more: boolean }> {
  const addresses = new Set<string>();
  const faults: ListFault[] = [];
  let isFirst = true;
  let n = -1;
  for await (const whole of inSlices(linesOf(text))) {
    n += 1;
    if (whole.trim() === '') continue;
    const cells = whole.split(/[,;\t]/);
    const cell = (cells.find((part) => part.includes('@')) ?? '').trim().replace(/^"(.*)"$/, '$1');
    const read = emailAddress.safeParse(cell);
    if (read.success) addresses.add(read.data);
    else if (!isFirst || cell !== '') faults.push({ line: n + 1, text: whole.trim().slice(0, 80) });
    isFirst = false;
    if (faults.length > faultsShown || addresses.size > maxListed) break;
  }
  if (faults.length === 0) return { addresses: [...addresses] };
  return { faults: faults.slice(0, faultsShown), more: faults.length > faultsShown };
}

/** Without the byte order mark. A long line is cut. */
function* linesOf(text: string): Generator<string> {
  const ends = /\r\n|\n|\r|$/g;
  let from = text.startsWith('\ufeff') ? 1 : 0;
  while (from <= text.length) {
    ends.lastIndex = from;
    const { index = text.length, 0: end = '' } = ends.exec(text) ?? {};
    yield text.slice(from, Math.min(index, from + maxLine));
    if (end === '') return;
    from = index + end.length;
  }
}

const partIdOf = (saleId: string, key: string) => `${saleId}:${key.slice(0, 2)}`;

/** How long the transaction is retried after write conflicts. */
const patienceMs = 10_000;

/**
 * Replaces the list of a sale or a draft.
 * @returns how many people are on it; null when there is no such sale.
 */
export async function replaceList(
  collections: Collections,
  saleId: string,
  addresses: readonly string[],
  { by, aliasDomains }: { by: By; aliasDomains: AliasDomains },
): Promise<number | null> {
  const keyOf = await openPersonKeys(collections);
  const keys = new Set<string>();
  const parts = new Map<string, string[]>();
  for await (const address of inSlices(addresses)) {
    const key = keyOf(mailboxOf(address, aliasDomains));
    if (keys.has(key)) continue;
    keys.add(key);
    const id = partIdOf(saleId, key);
    const part = parts.get(id);
    if (part) part.push(key);
    else parts.set(id, [key]);
  }
  const records = [...parts].map(([_id, keys]) => ({ _id, saleId, keys }));
  return await transact(
    collections.connection,
    async (session) => {
      const here = { session, projection: { _id: 1 } };
      const known =
        (await collections.sales.findOne({ _id: saleId }, here)) ??
        (await collections.drafts.findOne({ _id: saleId }, here));
      if (!known) return null;
      const before = await countListed(collections, saleId);
      await collections.listParts.deleteMany({ saleId }, { session });
      if (records.length > 0) await insertAll(collections, collections.listParts, records, session);
      const subject = { kind: 'sale', id: saleId };
      const states = { before: { people: before }, after: { people: keys.size } };
      await appendStaffEntry(collections, session, { ...by, action: 'list.replaced', subject, ...states });
      return keys.size;
    },
    { patienceMs },
  );
}

/** How many people are on the list of a sale. */
export async function countListed({ listParts }: Collections, saleId: string): Promise<number> {
  const [sum] = await listParts
    .aggregate<{ people: number }>([
      { $match: { saleId } },
      { $group: { _id: null, people: { $sum: { $size: '$keys' } } } },
    ])
    .toArray();
  return sum?.people ?? 0;
}

/**
 * Whether each of these accounts belongs to a person on the list of the sale. An account without an address belongs to none.
 * @param asked at most a few hundred.
 */
export async function areListed(
  collections: Collections,
  asked: readonly { saleId: string; userId: string }[],
  aliasDomains: AliasDomains,
): Promise<boolean[]> {
  const keyOf = await openPersonKeys(collections);
  const users = await collections.users
    .find(
      { _id: { $in: asked.map(({ userId }) => userId) } },
      { projection: { email: 1, providerEmail: 1, emailVerifiedAt: 1 } },
    )
    .toArray();
  // Both forms, because the domains may have been changed since the list was uploaded.
  const keysByUser = new Map(
    users.map((user) => {
      const address = user.emailVerifiedAt ? addressOf(user) : null;
      const forms = address === null ? [] : [normaliseEmail(address), mailboxOf(address, aliasDomains)];
      return [user._id, [...new Set(forms)].map(keyOf)];
    }),
  );
  const wanted = asked.map(({ saleId, userId }) => ({ saleId, keys: keysByUser.get(userId) ?? [] }));
  const keys = wanted.flatMap((one) => one.keys);
  const ids = wanted.flatMap(({ saleId, keys }) => keys.map((key) => partIdOf(saleId, key)));
  const found =
    keys.length === 0
      ? []
      : await collections.listParts
          .aggregate<{ saleId: string; keys: string[] }>([
            { $match: { _id: { $in: [...new Set(ids)] } } },
            { $project: { saleId: 1, keys: { $setIntersection: ['$keys', keys] } } },
          ])
          .toArray();
  const listed = new Set(found.flatMap((part) => part.keys.map((key) => `${part.saleId}:${key}`)));
  return wanted.map(({ saleId, keys }) => keys.some((key) => listed.has(`${saleId}:${key}`)));
}
