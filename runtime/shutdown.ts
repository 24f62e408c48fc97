import type { Log } from './observe/log.ts';

/**
 * Closes on the first SIGTERM or SIGINT and lets the process end by itself; cut short after `deadlineMs`.
 * A fault that nobody caught stops the process the same way, with exit code 1: its supervisor starts a clean one.
 */
export function closeOnSignal(close: () => Promise<void>, log: Log, deadlineMs: number): void {
  let stopping = false;
  async function stop(why: string, exitCode: number): Promise<void> {
    if (stopping) return;
    stopping = true;
    log.info({ why }, 'stopping');
    setTimeout(() => {
      log.error(`not drained after ${deadlineMs} ms: stopped all the same`);
      process.exit(1);
    }, deadlineMs).unref();
    try {
      await close();
      process.exitCode = exitCode;
    } catch (error) {
      log.error(error, 'could not stop cleanly');
      process.exit(1);
    }
  }
  process.once('SIGTERM', () => void stop('SIGTERM', 0));
  process.once('SIGINT', () => void stop('SIGINT', 0));
  process.once('uncaughtException', (error) => {
    log.fatal(error, 'uncaught');
    void stop('a fault nobody caught', 1);
  });
}
