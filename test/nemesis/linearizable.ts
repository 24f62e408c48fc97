import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ROOT } from '../../ops/local/folders.mjs';
import { findProgram } from '../../ops/local/programs/program.mjs';

/**
 * Runs linearizable/main.go, which Go builds and keeps.
 * @param counters histories as JSON, as check.ts makes them.
 * @returns whether they are possible; without Go nothing is checked, which the report says.
 */
export async function isLinearizable(counters: string): Promise<{ isPossible: boolean; report: string }> {
  const go = findProgram('go');
  if (!go) return { isPossible: true, report: 'Without Go the stock was not checked to be linearizable.' };
  const checker = spawn(go, ['run', '.'], { cwd: join(ROOT, 'test/nemesis/linearizable') });
  checker.stdin.end(counters);
  const [output, errors, [code]] = await Promise.all([
    text(checker.stdout),
    text(checker.stderr),
    once(checker, 'exit'),
  ]);
  if (code !== 0 && !output) throw new Error(`The checker of histories failed: ${errors.trim()}`);
  return { isPossible: code === 0, report: output.trim() };
}
