/** Read by any Node: it imports nothing, and uses nothing that an old one does not know. */

const MAJOR_MIN = 20;
const MINOR_MIN = 19;

/** @throws Error of one line when this Node is too old for Stampede. */
export function checkNode(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > MAJOR_MIN || (major === MAJOR_MIN && minor >= MINOR_MIN)) return;
  const needed = `${MAJOR_MIN}.${MINOR_MIN}`;
  throw new Error(`Stampede needs Node ${needed} or newer, and this is ${version}: see https://nodejs.org`);
}

/**
 * Loads a module unless this Node is too old for it. What is thrown on purpose is one line that says what to do, and is
 * told without a stack; anything else is a fault of ours.
 * @param {() => Promise<unknown>} load
 */
export async function loadOnNewNode(load) {
  try {
    checkNode();
    await load();
  } catch (error) {
    const fault = /** @type {Error} */ (error);
    console.error(fault.constructor === Error ? fault.message : fault.stack);
    process.exit(1);
  }
}
