import fc from 'fast-check';
import type { System } from '../commands/system.ts';
import { prepareCollections } from '../store/collections.ts';
import { history } from './history.ts';
import { live } from './shop.ts';

/**
 * Runs `runs` histories.
 * @param path fast-check's path to one history of the seed, as a failure prints it.
 * @throws Error with the shortest failing history, and the command that reproduces it.
 */
export async function simulate(
  system: System,
  { seed, runs, path }: { seed: number; runs: number; path?: string | undefined },
): Promise<void> {
  await prepareCollections(system.collections);
  const property = fc.asyncProperty(history, (steps) => live(system, steps));
  const result = await fc.check(property, { seed, numRuns: runs, ...(path && { path }) });
  if (!result.failed) return;
  const { counterexample, counterexamplePath, errorInstance } = result;
  const steps = (counterexample?.[0] ?? []).map((step) => `  ${JSON.stringify(step)}`);
  const again = `npm run simulate -- --seed ${seed} --path ${counterexamplePath}`;
  throw new Error(`${(errorInstance as Error).message}\nafter\n${steps.join('\n')}\nReproduce it: ${again}`);
}
