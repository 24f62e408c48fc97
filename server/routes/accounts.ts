import { z } from 'zod';
import { type AccountReading, deleteAccount, exportAccount } from '../../accounts/account.ts';
import { emailAddress } from '../../accounts/email-address.ts';
import { revokeTokensOf } from '../../accounts/session.ts';
import { createUser, userOf } from '../../accounts/user.ts';
import { subjectOfSignUp } from '../../sale/bots/puzzles.ts';
import * as shapes from '../../sale/contract.ts';
import type { UserRecord } from '../../store/collections.ts';
import { bitsWithoutCaptcha, requireCaptcha, requireWork } from '../bots/entry.ts';
import { noSessionCookie } from '../http/identity/session-cookie.ts';
import { name, password } from '../http/inputs.ts';
import { allow, verificationKeyOf } from '../http/limits.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import { byOf, type Route, route } from '../http/route.ts';
import type { Shop } from '../shop.ts';
import { noPasswords } from './passwords.ts';
import { answerWithSession } from './sessions.ts';

export function accountRoutes(shop: Shop): Route[] {
  const { collections, gate, limits, tokens, mails, bcryptCost } = shop;
  return [
    route({
      method: 'post',
      path: '/api/users',
      access: 'anyone',
      summary: 'Sign up',
      body: z.strictObject({
        email: emailAddress,
        password,
        name: name(100),
        language: shapes.language.optional(),
      }),
      takesProofOfWork: true,
      takesCaptcha: true,
      answer: [201, shapes.session],
      headers: ['Set-Cookie'],
      problems: ['email-taken', 'work-required', 'captcha-required', 'no-passwords'],
      async handle({ body, request }) {
        if (!shop.takesPasswords) return noPasswords(shop);
        const allowed = allow(limits.signUps, await limits.signUps.take(request.network));
        if (isRefusal(allowed)) return allowed;
        const work = (bits: number) =>
          requireWork(shop, 'work-required', subjectOfSignUp(body.email), bits, request);
        const unsolved = work(shop.difficultyBits);
        if (unsolved) return unsolved;
        const captcha = shop.captcha?.isForSignUps ? await requireCaptcha(shop, 'sign-up', request) : null;
        if (isRefusal(captcha)) return captcha;
        const instead = captcha === 'away' && shop.difficultyBits === 0 ? work(bitsWithoutCaptcha) : null;
        if (instead) return instead;
        const mailsKey = verificationKeyOf(body.email);
        // Without a mail the account is made as well: the buyer can ask for one later.
        const isMailed = mails !== null && (await limits.accountMails.take(mailsKey)).isAllowed;
        const account = await createUser(collections, body, {
          bcryptCost,
          aliasDomains: shop.aliasDomains,
          alongside: isMailed ? (userId, session) => mails.sendLink('verify-email', userId, session) : null,
        });
        if (account === 'email_taken') {
          if (isMailed) await limits.accountMails.giveBack(mailsKey);
          return refuse('email-taken', 'Sign in instead');
        }
        return await answerWithSession(shop, request, account);
      },
    }),
    route({
      method: 'get',
      path: '/api/account',
      access: 'buyer',
      summary: 'My account as it is now',
      answer: [200, shapes.account],
      problems: ['not-found'],
      async handle({ identity: { userId } }) {
        const record = await collections.users.findOne({ _id: userId });
        return record ? { status: 200, body: accountBodyOf(record, shop) } : noAccount();
      },
    }),
    route({
      method: 'patch',
      path: '/api/account',
      access: 'buyer',
      summary: 'Change the language of the mails to me',
      body: z.strictObject({ language: shapes.language }),
      answer: [200, shapes.account],
      problems: ['not-found'],
      async handle({ identity: { userId }, body }) {
        const changed = { $set: body };
        const record = await collections.users.findOneAndUpdate({ _id: userId }, changed, {
          returnDocument: 'after',
        });
        return record ? { status: 200, body: accountBodyOf(record, shop) } : noAccount();
      },
    }),
    route({
      method: 'get',
      path: '/api/account/export',
      access: 'buyer',
      summary: 'Everything the shop keeps about me',
      answer: [200, shapes.accountExport],
      problems: ['not-found'],
      async handle({ identity: { userId } }) {
        const account = await exportAccount(collections, userId, await gate.listQueuedOf(userId));
        if (!account) return noAccount();
        return {
          status: 200,
          text: jsonOf(account),
          headers: {
            'Content-Type': 'application/json; charset=utf-8',
            'Content-Disposition': 'attachment; filename="stampede-account.json"',
          },
        };
      },
    }),
    route({
      method: 'delete',
      path: '/api/account',
      access: 'buyer',
      summary:
        'Delete my account: the orders stay without a name, and a keyed hash of the address keeps the limits',
      answer: [204, null],
      headers: ['Set-Cookie'],
      problems: ['not-found', 'last-admin'],
      async handle({ identity, request }) {
        const { userId } = identity;
        const isDeleted = await deleteAccount(collections, userId, byOf({ identity, request }));
        if (isDeleted === 'last_admin') return refuse('last-admin', 'Make somebody else an admin first');
        // Revoked even if the account was deleted before, because that server may have died before it revoked the tokens.
        shop.revokeTokens(await revokeTokensOf(collections, userId));
        if (!isDeleted) return noAccount();
        return { status: 204, headers: { 'Set-Cookie': noSessionCookie(request) } };
      },
    }),
    route({
      method: 'post',
      path: '/api/visitors',
      access: 'anyone',
      summary: 'A token for watching without an account',
      answer: [201, shapes.visitor],
      handle: () => ({ status: 201, body: { token: tokens.issueVisitor() } }),
    }),
  ];
}

/** Streams the account as JSON, because all its orders may be too long for memory. */
async function* jsonOf({
  sessions,
  networks,
  notes,
  marks,
  places,
  orders,
  ...account
}: AccountReading): AsyncGenerator<string> {
  yield JSON.stringify(account).slice(0, -1);
  for (const [name, list] of Object.entries({ sessions, networks, notes, marks, places, orders })) {
    yield `,"${name}":[`;
    let before = '';
    for await (const entry of list) {
      yield before + JSON.stringify(entry);
      before = ',';
    }
    yield ']';
  }
  yield '}';
}

function accountBodyOf(
  record: UserRecord,
  { takesPasswords }: Pick<Shop, 'takesPasswords'>,
): shapes.AccountDetails {
  const hasPassword = takesPasswords && record.passwordHash !== '';
  return { ...userOf(record), createdAt: record.createdAt.toISOString(), hasPassword };
}

function noAccount(): Refusal {
  return refuse('not-found', 'There is no such account');
}
