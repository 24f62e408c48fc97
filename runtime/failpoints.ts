/**
 * Points in the code at which a test can kill or block this process, because a signal from outside cannot be timed so
 * precisely.
 *
 *   flushing    before a flush is sent              settling   before a transaction begins
 *   flushed     after Redis answered a flush        deciding   before a transaction commits
 *                                                   committed  after it committed
 *                                                   announced  after its result was announced, before the job completes
 *   written     after a cancellation or a change of a sale committed, before it is announced
 *   received    after a payment's webhook was stored, before it is answered
 *   marking     before the transaction that marks orders paid
 *   marked      after it committed, before it is announced
 *   refunding   after a refund by staff was written, before the provider is asked
 *   asking      before a payment provider is asked
 *   asked       after it answered, before the answer is stored
 *   expiring    before a transaction that expires holds        expired    after it committed
 *   closing    after the entries of a draw were closed     frozen     after the digest of their list was stored
 *   drawing    after the entries got their positions       drawn      after the seed was published
 *   offering   before a transaction that offers units commits             offered    after it committed
 *   calling    before a transaction that calls people into a room commits  called    after it committed
 *   relayed     after events were published, before the relay's position is stored
 *   handled     after a subscriber handled events, before they are acknowledged
 */
export type Failpoint =
  | 'flushing'
  | 'flushed'
  | 'settling'
  | 'deciding'
  | 'committed'
  | 'announced'
  | 'written'
  | 'received'
  | 'marking'
  | 'marked'
  | 'refunding'
  | 'asking'
  | 'asked'
  | 'expiring'
  | 'expired'
  | 'closing'
  | 'frozen'
  | 'drawing'
  | 'drawn'
  | 'calling'
  | 'called'
  | 'offering'
  | 'offered'
  | 'relayed'
  | 'handled';

interface Armed {
  /** How many more times the point has to be reached, this one included. */
  visit: number;
  /** Null kills the process; a number blocks its event loop for so many ms. */
  blockMs: number | null;
}

const armed = new Map<string, Armed>();

const pattern = /^([a-z]+)@(\d+)=(?:kill|block:(\d+))$/;

/**
 * @param spec e.g. `committed@3=kill` or `settling@1=block:4000`, several of them separated by commas.
 * @throws Error when the syntax is wrong.
 */
export function armFailpoints(spec: string): void {
  for (const part of spec.split(',').filter(Boolean)) {
    const match = pattern.exec(part);
    if (!match)
      throw new Error(`FAILPOINTS: expected e.g. committed@3=kill or settling@1=block:4000, got ${part}`);
    const [, name = '', visit, blockMs] = match;
    armed.set(name, { visit: Number(visit), blockMs: blockMs === undefined ? null : Number(blockMs) });
  }
}

/** Does nothing unless a test armed this point. */
export function failpoint(name: Failpoint): void {
  const point = armed.get(name);
  if (!point || --point.visit > 0) return;
  armed.delete(name);
  if (point.blockMs === null) process.kill(process.pid, 'SIGKILL');
  const end = Date.now() + (point.blockMs ?? 60_000);
  while (Date.now() < end); // Also after the kill, so that no more code runs before the signal arrives.
}
