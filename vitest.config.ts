import { configDefaults, defineConfig } from 'vitest/config';
import { filesLeftOut } from './test/support/needs.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...filesLeftOut],
    reporters: ['default', './test/support/left-out.ts'],
    globalSetup: 'test/support/shared-mongo.ts',
    // Each file starts a system of its own: with more than two at once on two cores, they make each other late.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
