/** Runs work under the mutex: one call at a time, in the order of the calls. */
export type Exclusive = <Value>(work: () => Promise<Value>) => Promise<Value>;

export function openMutex(): Exclusive {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const run = last.then(work);
    last = run.catch(() => {});
    return run;
  };
}
