/** The part of the API that is about one's own account. Each call returns the body, or throws as those of api.js do. */

/** @import { AccountDetails, Session, SessionList } from '../../sale/contract.ts' */

import { call } from '../shared/api.js';

/** Where to sign in. @returns {Promise<{ provider: { name: string, path: string } | null, passwords?: boolean }>} */
export const fetchSignIn = async () => (await call('GET', '/sign-in')).body;

/** @param {string} token @returns {Promise<AccountDetails>} */
export const fetchAccount = async (token) => (await call('GET', '/account', { token })).body;

/** @param {string} token @param {{ language: string }} body @returns {Promise<AccountDetails>} */
export const changeAccount = async (token, body) => (await call('PATCH', '/account', { token, body })).body;

/** @param {string} token */
export const deleteAccount = (token) => call('DELETE', '/account', { token });

/** Everything that the shop stores about the account. @param {string} token @returns {Promise<unknown>} */
export const fetchExport = async (token) => (await call('GET', '/account/export', { token })).body;

/** Asks for a mail that verifies the address. @param {string} token */
export const requestVerification = (token) => call('POST', '/account/email-verification', { token });

/** @param {string} linkToken of the mail */
export const verifyEmail = (linkToken) =>
  call('POST', '/email-verifications', { body: { token: linkToken } });

/** Asks for a mail with which a forgotten password is replaced. @param {string} email */
export const requestPasswordReset = (email) => call('POST', '/password-resets', { body: { email } });

/** @param {string} linkToken of the mail @param {string} password @returns {Promise<Session>} */
export const resetPassword = async (linkToken, password) =>
  (await call('POST', '/passwords', { body: { token: linkToken, password } })).body;

/** @param {string} token @param {{ oldPassword: string, password: string }} body @returns {Promise<Session>} */
export const changePassword = async (token, body) =>
  (await call('POST', '/account/password', { token, body })).body;

/** @param {string} token @returns {Promise<SessionList>} */
export const fetchSessions = async (token) => (await call('GET', '/account/sessions', { token })).body;

/** @param {string} token @param {string} id */
export const endSessionById = (token, id) =>
  call('DELETE', `/account/sessions/${encodeURIComponent(id)}`, { token });
