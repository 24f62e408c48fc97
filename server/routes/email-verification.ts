import { z } from 'zod';
import { requestVerification, verifyEmail } from '../../accounts/email-verification.ts';
import { addressOf } from '../../accounts/user.ts';
import { linkToken } from '../http/inputs.ts';
import { allow, verificationKeyOf } from '../http/limits.ts';
import { isRefusal, refuse } from '../http/problems.ts';
import { type Route, route } from '../http/route.ts';
import type { Shop } from '../shop.ts';
import { noMail } from './passwords.ts';

export const emailVerificationRoutes = ({ collections, limits, mails }: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/account/email-verification',
    access: 'buyer',
    summary: 'Mail me another link that verifies my address',
    answer: [202, null],
    problems: ['email-verified', 'not-found', 'no-mail'],
    async handle({ identity: { userId } }) {
      if (!mails) return noMail();
      const record = await collections.users.findOne({ _id: userId });
      if (!record) return noAccount();
      const key = verificationKeyOf(addressOf(record) ?? userId);
      const headers = allow(limits.accountMails, await limits.accountMails.take(key));
      if (isRefusal(headers)) return headers;
      const requested = await requestVerification(collections, mails, userId);
      if (requested === null) return noAccount();
      if (requested === 'verified_before')
        return refuse('email-verified', 'Renew the session: its next access token says so');
      return { status: 202, headers };
    },
  }),
  route({
    method: 'post',
    path: '/api/email-verifications',
    access: 'anyone',
    summary: 'Verify an address with the link from the mail; access tokens say so from the next renewal on',
    body: z.strictObject({ token: linkToken }),
    answer: [204, null],
    problems: ['link-expired'],
    async handle({ body: { token }, request }) {
      const allowed = allow(limits.signIns, await limits.signIns.take(request.network));
      if (isRefusal(allowed)) return allowed;
      if (!(await verifyEmail(collections, token))) return refuse('link-expired', 'Ask for a new mail');
      return { status: 204 };
    },
  }),
];

const noAccount = () => refuse('not-found', 'There is no such account');
