import type { Log } from './observe/log.ts';

/**
 * Shuts down gracefully on the first SIGTERM or SIGINT; after `deadlineMs` the process exits regardless. An uncaught
 * exception shuts the process down the same way with exit code 1, so that its supervisor starts a new one.
 */
export function closeOnSignal(close: () => Promise<void>, log: Log, deadlineMs: number): void {
  let stopping = false;
  async function stop(why: string, exitCode: number): Promise<void> {
    if (stopping) return;
    stopping = true;
    log.info({ why }, 'shutting down');
    setTimeout(() => {
      log.error(`shutdown not finished after ${deadlineMs} ms, exiting`);
      process.exit(1);
    }, deadlineMs).unref();
    try {
      await close();
      process.exitCode = exitCode;
    } catch (error) {
      log.error(error, 'shutdown failed, exiting');
      process.exit(1);
    }
  }
  process.once('SIGTERM', () => void stop('SIGTERM', 0));
  process.once('SIGINT', () => void stop('SIGINT', 0));
  process.once('uncaughtException', (error) => {
    log.fatal(error, 'uncaught exception');
    void stop('uncaught exception', 1);
  });
}

/** Ends the process because of its settings. Its starter shows the last fatal line of its log. */
export function refuseToRun({ message }: Error, log: Log): never {
  log.fatal(message);
  process.exit(1);
}
