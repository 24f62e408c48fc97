import { profileOnSignal } from './profiler.ts';

/** The real worker, which can be profiled while it works. */
await profileOnSignal();
await import('../../../worker/main.ts');
