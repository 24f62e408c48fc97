/** Runs pieces of work one after the other, in the order in which they were asked for. */
export type Exclusive = <Value>(work: () => Promise<Value>) => Promise<Value>;

export function openMutex(): Exclusive {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const run = last.then(work);
    last = run.catch(() => {});
    return run;
  };
}
