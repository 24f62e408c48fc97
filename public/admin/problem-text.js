/** What the server refused, in the reader's language: the server itself says it in English and for programs. */

/** @import { Problem } from '../shared/api.js' */
/** @import { Problem as ProblemDetails } from '../../sale/contract.ts' */

import { texts } from './texts.js';

/** @typedef {NonNullable<ProblemDetails['errors']>[number]} FieldError */

/** What is wrong with each field. @param {Problem} problem @returns {{ field: string, message: string }[]} */
export const faultsIn = ({ name, details }) =>
  (details.errors ?? []).map((error) => ({ field: error.field, message: faultText(name, error) }));

/** @param {Problem} problem */
export function problemText({ name, message, details }) {
  const [first] = details.errors ?? [];
  if (first) return faultText(name, first);
  return textIn(texts.problems, name) ?? texts.otherProblem(message);
}

/** @param {string} name of the problem @param {FieldError} error */
function faultText(name, { field, message, fault, limit }) {
  // Another problem than bad input says why the field cannot be so now, which is no rule of the field.
  const why = textIn(texts.problems, name) ?? textIn(texts.fieldFaults, field.split('.').at(-1) ?? '');
  if (why !== undefined) return why;
  const [, line] = /^line (\d+)$/.exec(field) ?? [];
  if (line !== undefined) return texts.badLine(Number(line));
  if (fault === 'missing') return texts.faults.missing;
  if (fault && limit !== undefined) return texts.faults[fault](limit);
  return texts.otherProblem(message);
}

/** @param {Record<string, string>} all @param {string} name */
const textIn = (all, name) => (Object.hasOwn(all, name) ? all[name] : undefined);
