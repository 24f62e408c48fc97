/** Texts that all tabs of this browser share. Where it blocks storage, or has no room, they last as long as the page. */

/** Where the session of a signed-in buyer is kept. */
export const SESSION = 'stampede.session';

/** @type {Map<string, string>} */
const ofPage = new Map();

/** @param {string} key @returns {string | null} */
export function readStored(key) {
  return ofPage.get(key) ?? attempt(() => localStorage.getItem(key), null);
}

/** @param {string} key @param {string} text @returns {boolean} whether it outlasts this page */
export function store(key, text) {
  const isStored = attempt(() => {
    localStorage.setItem(key, text);
    return true;
  }, false);
  if (isStored) ofPage.delete(key);
  else ofPage.set(key, text);
  return isStored;
}

/** @param {string} key */
export function dropStored(key) {
  ofPage.delete(key);
  attempt(() => localStorage.removeItem(key), undefined);
}

/** @param {string} prefix @returns {string[]} */
export function storedKeys(prefix) {
  const keys = [...ofPage.keys(), ...attempt(() => Object.keys(localStorage), [])];
  return [...new Set(keys)].filter((key) => key.startsWith(prefix));
}

export const isStorageBlocked = () => attempt(() => !localStorage, true);

/**
 * Already the mention of `localStorage` throws in a browser that blocks it.
 * @template Value @param {() => Value} work @param {Value} otherwise @returns {Value}
 */
function attempt(work, otherwise) {
  try {
    return work();
  } catch {
    return otherwise;
  }
}
