/** What the server refused, in the reader's language: the server itself says it in English and for programs. */

/** @import { Problem } from '../shared/api.js' */
/** @import { Problem as ProblemDetails } from '../../sale/contract.ts' */

import { texts } from './texts.js';

/** @typedef {NonNullable<ProblemDetails['errors']>[number]} FieldError */

/** What is wrong with each field. @param {Problem} problem @returns {{ field: string, message: string }[]} */
export const faultsIn = ({ details }) =>
  (details.errors ?? []).map((error) => ({ field: error.field, message: faultText(error) }));

/** @param {Problem} problem */
export function problemText({ name, message, details }) {
  const [first] = details.errors ?? [];
  if (first) return faultText(first);
  return textIn(texts.problems, name) ?? texts.otherProblem(message);
}

/** @param {FieldError} error */
function faultText({ field, message, fault, limit }) {
  const own = textIn(texts.fieldFaults, field.split('.').at(-1) ?? '');
  if (own !== undefined) return own;
  if (fault === 'missing') return texts.faults.missing;
  if (fault && limit !== undefined) return texts.faults[fault](limit);
  return texts.otherProblem(message);
}

/** @param {Record<string, string>} all @param {string} name */
const textIn = (all, name) => (Object.hasOwn(all, name) ? all[name] : undefined);
