import type { SendMailOptions } from 'nodemailer';
import { addressOf } from '../../accounts/user.ts';
import type { CloudEvent } from '../../log/schemas.ts';
import type { Collections } from '../../store/collections.ts';
import { layOut, type Shop, textsIn } from './layout.ts';

const mailsAtOnce = 1_000;

/** The events after which everybody who entered a draw gets a mail. */
export const drawMailTypes = ['sale.drawn'] as const;

/** Stores a mail to each person who entered a draw that was made; none for a waiting room. Repeating it adds none. */
export async function storeDrawMails(
  { sales, places, mails }: Collections,
  event: CloudEvent,
  now: Date,
): Promise<void> {
  const { saleId } = event.data;
  // In a waiting room nobody can say when it is their turn, so its page tells them.
  if (await sales.findOne({ _id: saleId, mode: 'room' }, { projection: { _id: 1 } })) return;
  const drawn = { saleId, drawn: { $exists: true } };
  let writes: Parameters<typeof mails.bulkWrite>[0][number][] = [];
  const store = async () => {
    if (writes.length > 0) await mails.bulkWrite(writes, { ordered: false });
    writes = [];
  };
  for await (const { _id: placeId } of places.find(drawn, { projection: { _id: 1 } })) {
    const due = { state: 'waiting' as const, attempts: 0, unanswered: 0, dueAt: now, answer: null };
    writes.push({
      updateOne: {
        filter: { _id: `${event.id}:${placeId}` },
        update: { $setOnInsert: { ...due, event, placeId, createdAt: now } },
        upsert: true,
      },
    });
    if (writes.length === mailsAtOnce) await store();
  }
  await store();
}

/** @returns the mail about the number that a person drew; null when the person has left, or has no account or address, and for a waiting room. */
export async function writeDrawMail(
  { places, placeLists, users, sales, products }: Collections,
  { id, placeId }: { id: string; placeId: string },
  shop: Shop,
): Promise<SendMailOptions | null> {
  const place = await places.findOne({ _id: placeId });
  if (!place || place.state === 'left' || place.drawn === undefined) return null;
  const user = await users.findOne({ _id: place.buyerId });
  const sale = await sales.findOne({ _id: place.saleId });
  const to = user && addressOf(user);
  if (!to || !sale || sale.mode === 'room') return null;
  const product = await products.findOne({ _id: sale.productId }, { projection: { name: 1 } });
  const list = await placeLists.findOne({ _id: place.saleId });
  const texts = textsIn(user.language ?? sale.language);
  const { subject, text, check } = texts.drawn;
  return layOut(
    id,
    {
      to,
      subject: subject(product?.name ?? ''),
      paragraphs: [text(product?.name ?? '', place.drawn, list?.draw?.entries ?? place.drawn)],
      link: { url: `${shop.url}/draws/${place.saleId}`, label: check },
      notes: [],
    },
    texts,
    shop,
  );
}
