import { type Logger, pino } from 'pino';
import type { Config } from '../config.ts';

export type Log = Logger;

/** JSON lines on stdout; every line names the process that wrote it. */
export function openLog(config: Pick<Config, 'LOG_LEVEL' | 'INSTANCE'>, role: string): Log {
  return pino({
    level: config.LOG_LEVEL,
    base: { role, instance: config.INSTANCE },
    // Only these: an error of Redis or MongoDB also carries the command, and with it a buyer's data.
    serializers: { err: ({ name, message, stack }: Error) => ({ name, message, stack }) },
  });
}

const windowMs = 1_000;

/**
 * Lines about single purchases: at most so many a second, and then one with the count of those left out. A crowd's lines
 * would cost more than its purchases, and nobody could read them.
 */
export function openSampledLog(log: Log, message: string, perSecond: number): (fields: object) => void {
  let lines = 0;
  let timer: NodeJS.Timeout | undefined;

  function endWindow(): void {
    if (lines > perSecond) log.info({ leftOut: lines - perSecond }, `${message}: more than are written`);
    lines = 0;
    timer = undefined;
  }
  return (fields) => {
    if (!timer) timer = setTimeout(endWindow, windowMs).unref();
    lines += 1;
    if (lines <= perSecond) log.info(fields, message);
  };
}
