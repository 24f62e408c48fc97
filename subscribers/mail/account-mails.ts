import type { SendMailOptions } from 'nodemailer';
import { type TokenSecrets, textOfToken } from '../../accounts/one-time-token.ts';
import { addressOf } from '../../accounts/user.ts';
import type { Language } from '../../sale/contract.ts';
import type { Collections } from '../../store/collections.ts';
import type { AccountMail } from '../../store/event-collections.ts';
import { layOut, type Shop, textsIn } from './layout.ts';

/** What a mail links to, in front of its token. A fragment is in no log and no Referer header. */
const paths: Record<AccountMail['kind'], string> = {
  'verify-email': '/account#verify=',
  'reset-password': '/account#reset=',
  'password-changed': '/account',
  'join-staff': '/admin#join=',
};

/** @returns null when nobody should get it: the account is deleted, or its link would not work any more. */
export async function writeAccountMail(
  collections: Collections,
  id: string,
  { kind, to, tokenId }: AccountMail,
  secretsOf: TokenSecrets,
  shop: Shop,
): Promise<SendMailOptions | null> {
  const recipient = 'address' in to ? to : await findRecipient(collections, to.userId);
  const token = tokenId === undefined ? '' : await textOfToken(collections, tokenId, secretsOf);
  if (!recipient || token === null) return null;
  const texts = textsIn(recipient.language);
  const { subject, paragraphs, action } = texts.account(shop.name)[kind];
  const link = { url: `${shop.url}${paths[kind]}${token}`, label: action };
  return layOut(id, { to: recipient.address, subject, paragraphs, link, notes: [] }, texts, shop);
}

async function findRecipient(
  { users }: Collections,
  userId: string,
): Promise<{ address: string; language?: Language } | null> {
  const projection = { email: 1, providerEmail: 1, language: 1 };
  const user = await users.findOne({ _id: userId }, { projection });
  const address = user && addressOf(user);
  return address ? { address, ...(user.language && { language: user.language }) } : null;
}
