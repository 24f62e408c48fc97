/** The leaves of texts by their path; a function's value is what it says about samples. */
export function leavesOf(texts: unknown, path = ''): [path: string, text: string][] {
  if (typeof texts === 'function') return leavesOf(texts(2, 3, 4), path);
  if (typeof texts !== 'object' || texts === null) return [[path, String(texts)]];
  return Object.entries(texts).flatMap(([key, value]) => leavesOf(value, `${path}.${key}`));
}

/** Whether a text has three words in a row. */
export const isSentence = (text: string) => /\p{L}{2,}\P{L}+\p{L}{2,}\P{L}+\p{L}{2,}/u.test(text);
