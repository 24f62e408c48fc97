import { z } from 'zod';
import { emailAddress } from '../../../accounts/email-address.ts';
import {
  acceptInvitation,
  changeRole,
  invite,
  listStaff,
  readInvitation,
  withdrawInvitation,
} from '../../../accounts/staff.ts';
import type { By } from '../../../accounts/staff-log.ts';
import { staffInvitation, staffMember } from '../../../insight/contract.ts';
import { session, staffRole } from '../../../sale/contract.ts';
import { byId, linkToken, name, password, typedPassword } from '../../http/inputs.ts';
import { accountKeyOf, allow } from '../../http/limits.ts';
import { parse } from '../../http/pipeline.ts';
import { isRefusal, refuse } from '../../http/problems.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';
import { noPasswords } from '../passwords.ts';
import { answerWithSession } from '../sessions.ts';

export function staffRoutes(shop: Shop): Route[] {
  const { collections, limits, mails, tokenSecrets: secretsOf, bcryptCost } = shop;
  return [
    route({
      method: 'get',
      path: '/api/admin/staff',
      access: 'admin',
      summary: 'Who runs the shop, and who is asked to',
      answer: [
        200,
        z.object({
          staff: z.array(staffMember),
          invitations: z.array(staffInvitation),
          more: z.boolean().describe('Whether there are further ones, which are left out'),
        }),
      ],
      handle: async () => ({ status: 200, body: await listStaff(collections) }),
    }),
    route({
      method: 'patch',
      path: '/api/admin/staff/:id',
      access: 'admin',
      summary: 'Give somebody another role: their tokens and sockets end at once, and they sign in again',
      params: byId,
      body: z.strictObject({ role: staffRole }),
      answer: [200, staffMember],
      problems: ['not-found', 'last-admin', 'provider-role'],
      async handle({ params, body, ...call }) {
        const changed = await changeRole(collections, params.id, body.role, byOf(call));
        if (typeof changed === 'string') return refusalOf(changed, params.id);
        if (changed.revocation) shop.revokeTokens(changed.revocation);
        return { status: 200, body: changed.member };
      },
    }),
    route({
      method: 'delete',
      path: '/api/admin/staff/:id',
      access: 'admin',
      summary: 'Remove somebody from the staff, at once; the account stays as a buyer',
      params: byId,
      answer: [204, null],
      problems: ['not-found', 'last-admin', 'provider-role'],
      async handle({ params, ...call }) {
        const changed = await changeRole(collections, params.id, 'buyer', byOf(call));
        if (typeof changed === 'string') return refusalOf(changed, params.id);
        if (changed.revocation) shop.revokeTokens(changed.revocation);
        return { status: 204 };
      },
    }),
    route({
      method: 'post',
      path: '/api/admin/staff-invitations',
      access: 'admin',
      summary: 'Ask somebody to join the staff; an earlier invitation of this address ends',
      body: z.strictObject({ email: emailAddress, role: staffRole }),
      answer: [
        201,
        z.object({
          token: z
            .string()
            .nullable()
            .describe('What follows /admin#join= in the link, shown this once; null when it was mailed'),
        }),
      ],
      problems: ['no-passwords'],
      async handle({ body, ...call }) {
        if (!shop.takesPasswords) return noPasswords(shop);
        const token = await invite(collections, body, { mails, secretsOf }, byOf(call));
        return { status: 201, body: { token } };
      },
    }),
    route({
      method: 'delete',
      path: '/api/admin/staff-invitations/:id',
      access: 'admin',
      summary: 'Withdraw an invitation',
      params: byId,
      answer: [204, null],
      problems: ['not-found'],
      async handle({ params: { id }, ...call }) {
        const isWithdrawn = await withdrawInvitation(collections, id, byOf(call));
        return isWithdrawn ? { status: 204 } : refuse('not-found', `There is no invitation ${id}`);
      },
    }),
    route({
      method: 'post',
      path: '/api/staff-invitations',
      access: 'anyone',
      summary: 'What an invitation is for; it stays as it is',
      body: z.strictObject({ token: linkToken }),
      answer: [200, staffInvitation.pick({ email: true, role: true }).extend({ hasAccount: z.boolean() })],
      problems: ['link-expired'],
      async handle({ body }) {
        const invitation = await readInvitation(collections, body.token);
        return invitation ? { status: 200, body: invitation } : linkExpired();
      },
    }),
    route({
      method: 'post',
      path: '/api/staff-invitations/acceptance',
      access: 'anyone',
      summary: 'Join the staff: with the password of the account that the address has, or with a new account',
      body: z.strictObject({
        token: linkToken,
        password: typedPassword,
        name: name(100).optional().describe('Of a new account'),
      }),
      answer: [201, session],
      headers: ['Set-Cookie'],
      problems: ['link-expired', 'wrong-password', 'last-admin', 'no-passwords'],
      async handle({ body, request }) {
        if (!shop.takesPasswords) return noPasswords(shop);
        const allowed = allow(limits.signIns, await limits.signIns.take(request.network));
        if (isRefusal(allowed)) return allowed;
        const invitation = await readInvitation(collections, body.token);
        if (!invitation) return linkExpired();
        if (!invitation.hasAccount) {
          const chosen = parse(z.object({ password }), { password: body.password }, 'body');
          if (isRefusal(chosen)) return chosen;
        }
        const address = accountKeyOf(invitation.email);
        const headers = allow(limits.signInFailures, await limits.signInFailures.take(address));
        if (isRefusal(headers)) return headers;
        const by = (id: string): By => ({
          actor: { kind: 'account', id, role: invitation.role },
          from: request.address,
          requestId: request.header('x-request-id') ?? null,
        });
        const joining = { ...body, name: body.name ?? invitation.email.slice(0, 100) };
        const joined = await acceptInvitation(collections, joining, {
          bcryptCost,
          aliasDomains: shop.aliasDomains,
          by,
        });
        if (joined === 'expired') return linkExpired();
        if (joined === 'wrong_password')
          return refuse('wrong-password', 'expected the password of your account', {}, headers);
        await limits.signInFailures.giveBack(address);
        if (joined === 'last_admin') return refusalOf(joined, '');
        if (joined.revocation) shop.revokeTokens(joined.revocation);
        return await answerWithSession(shop, request, joined.account);
      },
    }),
  ];
}

const linkExpired = () => refuse('link-expired', 'Ask for a new invitation');

function refusalOf(refusal: 'unknown' | 'of_provider' | 'last_admin', id: string) {
  if (refusal === 'of_provider') return refuse('provider-role', 'Change it at the identity provider');
  if (refusal === 'last_admin') return refuse('last-admin', 'Make somebody else an admin first');
  return refuse('not-found', `Nobody with the id ${id} is on the staff`);
}
