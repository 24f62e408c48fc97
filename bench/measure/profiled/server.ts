import { profileOnSignal } from './profiler.ts';

/** The real server, which can be profiled while it works. */
await profileOnSignal();
await import('../../../server/main.ts');
