/** The summary that `npm start` prints: what is running where, and what to do next. */
import { relative } from 'node:path';

/**
 * `password` is null when it is unknown.
 * @typedef {{ saleId: string, accounts: { email: string, password: string | null, role: string }[] }} Demo
 */

/**
 * @param {import('./system.mjs').System} system
 * @param {Demo} demo
 * @returns {string}
 */
export function screenOf(system, demo) {
  const processes = Object.values(system.parts)
    .flat()
    .map(({ name, part }) => [name, address(part().url), String(part().pid), shorter(part().logFile)]);
  return [
    '',
    `  ${bold('Stampede runs at')}  ${bold(system.url)}`,
    '',
    `  ${bold('The demo sale')}     ${system.url}/sales/${demo.saleId}`,
    '',
    `  ${bold('Accounts')}`,
    ...accountLines(demo.accounts),
    '',
    `  ${bold('What runs where')}`,
    ...table([['name', 'address', 'pid', 'log'], ...processes]),
    '',
    `  Ctrl-C stops everything. The data stays in ${shorter(system.settings.dataDir)}.`,
    '',
  ].join('\n');
}

/** @param {Demo['accounts']} accounts */
function accountLines(accounts) {
  const another = '    `npm run admin -- create YOU@EXAMPLE.COM` makes another admin and shows its password.';
  const rows = accounts.map(({ email, password, role }) => [email, password ?? '(not known here)', role]);
  const isComplete = rows.length > 0 && accounts.every(({ password }) => password !== null);
  return [
    ...(rows.length > 0
      ? table([['e-mail', 'password', 'role'], ...rows])
      : ['    Those that this shop has.']),
    ...(isComplete ? [] : [another]),
  ];
}

/** Removes the driver's options. @param {string} url */
const address = (url) => url.replace(/\/?\?.*/, '');

/** @param {string} path */
function shorter(path) {
  const fromHere = relative('', path);
  return fromHere.startsWith('..') ? path : fromHere;
}

/** @param {string[][]} rows the first is the heading. */
function table(rows) {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row, index) => {
    const line = row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd();
    return `    ${index === 0 ? dim(line) : line}`;
  });
}

/** @param {string} text */
const bold = (text) => style(text, 1);
/** @param {string} text */
const dim = (text) => style(text, 2);

/** @param {string} text @param {number} code */
function style(text, code) {
  return process.stdout.isTTY ? `\x1b[${code}m${text}\x1b[0m` : text;
}
