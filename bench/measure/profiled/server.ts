import { profileOnSignal } from './profiler.ts';

/** The real server, with a signal that starts and stops its profiler. */
await profileOnSignal();
await import('../../../server/main.ts');
