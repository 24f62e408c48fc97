import { z } from 'zod';
import { spelledAddress } from '../../accounts/email-address.ts';
import { changePassword, requestPasswordReset, resetPassword } from '../../accounts/password.ts';
import * as shapes from '../../sale/contract.ts';
import { linkToken, password, typedPassword } from '../http/inputs.ts';
import { accountKeyOf, allow } from '../http/limits.ts';
import { isRefusal, refuse } from '../http/problems.ts';
import { type Route, route } from '../http/route.ts';
import type { Shop } from '../shop.ts';
import { answerWithSession } from './sessions.ts';

export function passwordRoutes(shop: Shop): Route[] {
  const { collections, limits, mails, tokens, bcryptCost } = shop;
  return [
    route({
      method: 'post',
      path: '/api/password-resets',
      access: 'anyone',
      summary:
        'Forgot the password: mails a link, if there is an account; the answer is the same if there is none',
      body: z.strictObject({ email: spelledAddress }),
      answer: [202, null],
      problems: ['no-mail', 'no-passwords'],
      async handle({ body: { email }, request }) {
        if (!shop.takesPasswords) return noPasswords(shop);
        if (!mails) return noMail();
        const allowed = allow(limits.signIns, await limits.signIns.take(request.network));
        if (isRefusal(allowed)) return allowed;
        const headers = allow(limits.accountMails, await limits.accountMails.take(accountKeyOf(email)));
        if (isRefusal(headers)) return headers;
        await requestPasswordReset(collections, mails, email);
        return { status: 202, headers };
      },
    }),
    route({
      method: 'post',
      path: '/api/passwords',
      access: 'anyone',
      summary:
        'Choose a new password with the link from the mail; every session of the account ends, and one begins',
      body: z.strictObject({ token: linkToken, password }),
      answer: [201, shapes.session],
      headers: ['Set-Cookie'],
      problems: ['link-expired', 'no-passwords'],
      async handle({ body, request }) {
        if (!shop.takesPasswords) return noPasswords(shop);
        const allowed = allow(limits.signIns, await limits.signIns.take(request.network));
        if (isRefusal(allowed)) return allowed;
        const changed = await resetPassword(collections, mails, body, { bcryptCost });
        if (!changed) return refuse('link-expired', 'Ask for a new mail');
        shop.revokeTokens(changed.revocation);
        return await answerWithSession(shop, request, changed.account);
      },
    }),
    route({
      method: 'post',
      path: '/api/account/password',
      access: 'buyer',
      summary: 'Change my password: every other session ends',
      body: z.strictObject({ oldPassword: typedPassword, password }),
      answer: [200, shapes.session],
      problems: ['wrong-password', 'not-found', 'no-passwords'],
      async handle({ body, identity: { userId, sessionId } }) {
        if (!shop.takesPasswords) return noPasswords(shop);
        // Counted before the password is checked, so that concurrent guesses count as well.
        const headers = allow(limits.signInFailures, await limits.signInFailures.take(userId));
        if (isRefusal(headers)) return headers;
        const changed = await changePassword(collections, mails, userId, body, { bcryptCost, sessionId });
        if (changed === 'unknown') return refuse('not-found', 'There is no such account');
        if (changed === 'wrong_password')
          return refuse('wrong-password', 'expected the present password as `oldPassword`', {}, headers);
        await limits.signInFailures.giveBack(userId);
        shop.revokeTokens(changed.revocation);
        const { user, personId } = changed.account;
        return { status: 200, body: { user, token: tokens.issue(user, personId, sessionId) } };
      },
    }),
  ];
}

export const noPasswords = ({ provider }: Pick<Shop, 'provider'>) =>
  refuse('no-passwords', `Sign in at ${provider?.name}: GET /sign-in leads there`);

export const noMail = () => refuse('no-mail', 'The shop has set no SMTP_URL');
