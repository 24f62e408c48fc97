import { profileOnSignal } from './profiler.ts';

/** The real worker, with a signal that starts and stops its profiler. */
await profileOnSignal();
await import('../../../worker/main.ts');
