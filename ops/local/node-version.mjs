/** Must run in any Node: it imports nothing and uses no recent syntax. */

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
 * Loads a module unless this Node is too old for it. Expected errors are one line that says what to do and are printed
 * without a stack; any other error is a bug.
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
