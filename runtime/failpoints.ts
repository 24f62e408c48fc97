/**
 * Moments at which a test makes this process die or hang, where a signal from outside could not hit the moment.
 *
 *   flushing    a flush is about to be sent         settling   a transaction is about to begin
 *   flushed     Redis has it, nobody was answered   deciding   everything is written, nothing committed
 *                                                   committed  MongoDB has it, nobody was told
 *                                                   told       everyone was told, but Bull
 *   written     MongoDB has a cancellation or a change of a sale, and nobody was told
 *   relayed     the bus has events, and the log's position does not say so
 *   handled     a subscriber handled events, and has not acknowledged them
 */
export type Failpoint =
  | 'flushing'
  | 'flushed'
  | 'settling'
  | 'deciding'
  | 'committed'
  | 'told'
  | 'written'
  | 'relayed'
  | 'handled';

interface Armed {
  /** Which visit it is, from 1. */
  visit: number;
  /** Null kills; a number blocks the event loop for so many ms. */
  blockMs: number | null;
}

const armed = new Map<string, Armed>();

const pattern = /^([a-z]+)@(\d+)=(?:kill|block:(\d+))$/;

/**
 * @param spec e.g. `committed@3=kill` or `settling@1=block:4000`, several of them separated by commas.
 * @throws Error when it cannot be read.
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
  while (Date.now() < end); // A killed process does not go on until the signal is there.
}
