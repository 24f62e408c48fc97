import type { SendMailOptions } from 'nodemailer';
import { addressOf } from '../../accounts/user.ts';
import { mongoClock } from '../../runtime/clock.ts';
import type { Collections } from '../../store/collections.ts';
import type { MailRecord } from '../../store/event-collections.ts';
import { layOut, type Shop, textsIn } from './layout.ts';

/** @returns the mail about a call into a waiting room; null when the person has come, left or missed it, or has no account or address, and when the sale is over. */
export async function writeCallMail(
  { places, users, sales, products }: Collections,
  id: string,
  { placeId, number }: NonNullable<MailRecord['call']>,
  shop: Shop,
): Promise<SendMailOptions | null> {
  const place = await places.findOne({ _id: placeId });
  const call = place?.calls?.at(-1);
  if (place?.state !== 'called' || call?.number !== number || call.answerBy <= mongoClock.now()) return null;
  const user = await users.findOne({ _id: place.buyerId });
  const sale = await sales.findOne({ _id: place.saleId });
  const to = user && addressOf(user);
  // A place stays called when its room has ended.
  if (!to || !sale || sale.calledOffAt || sale.closesAt <= mongoClock.now()) return null;
  const name = (await products.findOne({ _id: sale.productId }, { projection: { name: 1 } }))?.name ?? '';
  const texts = textsIn(user.language ?? sale.language);
  const { subject, text, again, comeIn } = texts.called;
  const time = new Intl.DateTimeFormat(texts.language, { timeStyle: 'long', timeZone: shop.timeZone });
  const until = time.format(call.answerBy);
  const link = { url: `${shop.url}/sales/${place.saleId}`, label: comeIn };
  const content = {
    to,
    subject: subject(name),
    paragraphs: [(place.missed ? again : text)(name, until)],
    link,
    notes: [],
  };
  return layOut(id, content, texts, shop);
}
