import { parseArgs } from 'node:util';
import { runCommand } from '../commands/system.ts';
import { burst } from './burst.ts';

const usage = `npm run bench -- burst [--buyers N] [--presses N] [--stock N] [--connections N] [--sale ID]`;

/** `npm run bench -- <scenario>`: exit code 1 when an invariant is broken. */
await runCommand(async () => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      buyers: { type: 'string', default: '5000' },
      presses: { type: 'string', default: '20000' },
      stock: { type: 'string', default: '1000' },
      connections: { type: 'string', default: '200' },
      sale: { type: 'string' },
    },
  });
  if (positionals[0] !== 'burst') throw new Error(`expected a scenario:\n  ${usage}`);
  const options = {
    buyers: wholeNumber('buyers', values.buyers),
    presses: wholeNumber('presses', values.presses),
    stock: wholeNumber('stock', values.stock),
    connections: wholeNumber('connections', values.connections),
    sale: values.sale,
  };
  if (!(await burst(options)))
    throw new Error('The run broke an invariant, or presses got no proper answer.');
});

function wholeNumber(name: string, text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new Error(`--${name}: expected a whole number from 1 to 9999999, got ${text}`);
}
