/** The requests of the views of staff, API keys and the staff log, one function for each endpoint. */

/** @import { Theme } from '../../../catalogue/theme.ts' */
/** @import { ApiKey, StaffEntryPage, StaffInvitation, StaffMember } from '../../../insight/contract.ts' */
/** @import { Session } from '../../../sale/contract.ts' */

import { Problem, Unreachable } from '../../shared/api.js';
import { download, request, send } from '../http.js';

/** Long enough to export a million entries. */
const DOWNLOAD_DEADLINE_MS = 15 * 60_000;

/** @returns {Promise<{ staff: StaffMember[], invitations: StaffInvitation[], more: boolean }>} */
export const fetchStaff = () => request('GET', '/admin/staff');

/** @param {string} id @param {string} role @returns {Promise<StaffMember>} */
export const changeRole = (id, role) =>
  request('PATCH', `/admin/staff/${encodeURIComponent(id)}`, { body: { role } });

/** @param {string} id */
export const removeStaff = (id) => request('DELETE', `/admin/staff/${encodeURIComponent(id)}`);

/** @param {{ email: string, role: string }} invitation @returns {Promise<{ token: string | null }>} */
export const invite = (invitation) => request('POST', '/admin/staff-invitations', { body: invitation });

/** @param {string} id */
export const withdrawInvitation = (id) =>
  request('DELETE', `/admin/staff-invitations/${encodeURIComponent(id)}`);

/** @returns {Promise<{ apiKeys: ApiKey[] }>} */
export const fetchApiKeys = () => request('GET', '/admin/api-keys');

/** @param {{ name: string, scopes: string[] }} key @returns {Promise<ApiKey & { key: string }>} */
export const createApiKey = (key) => request('POST', '/admin/api-keys', { body: key });

/** @param {string} id */
export const revokeApiKey = (id) => request('DELETE', `/admin/api-keys/${encodeURIComponent(id)}`);

/** @param {Record<string, string>} query @returns {Promise<StaffEntryPage>} */
export const searchStaffLog = (query) => request('GET', `/admin/staff-log?${new URLSearchParams(query)}`);

/** @param {Record<string, string>} query */
export async function downloadStaffLog(query) {
  const path = `/admin/staff-log.csv?${new URLSearchParams(query)}`;
  const response = await send('GET', path, { deadlineMs: DOWNLOAD_DEADLINE_MS });
  download(await response.blob(), 'staff-log.csv');
}

/** @returns {Promise<Theme>} */
export const fetchTheme = () => request('GET', '/admin/theme');

/** @param {object} change @returns {Promise<Theme>} */
export const changeTheme = (change) => request('PATCH', '/admin/theme', { body: change });

/** @param {string} token @returns {Promise<{ email: string, role: string, hasAccount: boolean }>} */
export const readInvitation = (token) => sendAsNobody('/staff-invitations', { token });

/** @param {{ token: string, password: string, name?: string }} answer @returns {Promise<Session>} */
export const acceptInvitation = (answer) => sendAsNobody('/staff-invitations/acceptance', answer);

const ANSWER_DEADLINE_MS = 30_000;

/** Sends JSON without a token, because whoever is invited may have no account. @param {string} path @param {object} body */
async function sendAsNobody(path, body) {
  try {
    const response = await fetch(`/api${path}`, {
      method: 'POST',
      signal: AbortSignal.timeout(ANSWER_DEADLINE_MS),
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Problem(response, await response.json().catch(() => ({})));
    return await response.json();
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Unreachable(`POST ${path}`, { cause: error });
  }
}
