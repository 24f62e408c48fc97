import { configDefaults, defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { filesLeftOut } from './test/support/needs.ts';

/** Short files whose tests are long; without a cache of durations vitest would begin them last, and then run nothing beside them. */
const slow = /\/(schemathesis|simulation|nemesis|leader-takeover|replica-set)\.test\.ts$/;

class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isSlow = ({ moduleId }: TestSpecification) => slow.test(moduleId);
    return [...sorted.filter(isSlow), ...sorted.filter((file) => !isSlow(file))];
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...filesLeftOut],
    reporters: ['default', './test/support/left-out.ts'],
    sequence: { sequencer: SlowFirst },
    globalSetup: 'test/support/shared-mongo.ts',
    // Each file starts a system of its own: with more than two at once on two cores, they make each other late.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
