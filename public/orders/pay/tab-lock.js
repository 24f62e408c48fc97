/**
 * Only one of a buyer's tabs has an order's payment form open. A tab that is closed or crashes frees it. Without Web Locks
 * (plain http) several may have it, which is harmless: they pay the same payment.
 */

/** @param {string} name @param {() => void} onLost called when another tab took it over */
export function openTabLock(name, onLost) {
  /** @type {() => void} */
  let release = () => {};
  let isHeld = false;

  /** Holds the lock until `free`. @param {LockOptions} options @returns {Promise<boolean>} */
  const request = (options) =>
    new Promise((resolve) => {
      navigator.locks
        .request(name, options, (lock) => {
          isHeld = lock !== null;
          resolve(isHeld);
          return isHeld ? new Promise((end) => (release = () => end(undefined))) : undefined;
        })
        .catch(() => {
          isHeld = false;
          onLost();
        });
    });

  return {
    /** @param {boolean} fromAnother whether another tab has to give it up @returns {Promise<boolean>} whether it is held */
    async take(fromAnother) {
      if (!navigator.locks || isHeld) return true;
      return await request(fromAnother ? { steal: true } : { ifAvailable: true });
    },

    /** Resolves when no other tab holds it. */
    async whenFree() {
      await navigator.locks?.request(name, () => {});
    },

    free() {
      isHeld = false;
      release();
    },
  };
}
