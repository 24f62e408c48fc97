import { relative } from 'node:path';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { ROOT } from '../../ops/local/folders.mjs';
import { filesLeftOut, howToGet, type Program } from './needs.ts';

/** Lists the skipped tests at the end, with the missing program. */
export default class LeftOut implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = new Map<Program, Map<string, number>>();
    for (const module of modules) {
      const file = relative(ROOT, module.moduleId);
      for (const test of module.children.allTests('skipped')) {
        const program = lackOf(test);
        if (!program) continue;
        const files = counts.get(program) ?? new Map<string, number>();
        counts.set(program, files.set(file, (files.get(file) ?? 0) + 1));
      }
    }
    for (const [program, files] of counts) {
      const tests = [...files].map(([file, count]) => `${file} (${count})`).join(', ');
      console.log(`Skipped because ${program} is missing (${howToGet(program)}): ${tests}`);
    }
    if (filesLeftOut.length > 0) {
      const how = howToGet('RabbitMQ');
      console.log(`Always skipped because RabbitMQ is missing (${how}): ${filesLeftOut.join(', ')}`);
    }
  }
}

function lackOf(test: TestCase): Program | undefined {
  for (let task: TestCase | TestCase['parent'] = test; task.type !== 'module'; task = task.parent) {
    const { lacks } = task.meta();
    if (lacks) return lacks;
  }
  return undefined;
}
