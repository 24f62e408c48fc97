import { type Logger, pino } from 'pino';
import type { Config } from '../config.ts';

export type Log = Logger;

/** Opens a log of JSON lines on stdout, each with the role and instance of the process. */
export function openLog(config: Pick<Config, 'LOG_LEVEL' | 'INSTANCE'>, role: string): Log {
  return pino({
    level: config.LOG_LEVEL,
    base: { role, instance: config.INSTANCE },
    // Other fields are left out, because an error of Redis or MongoDB contains the command and so a buyer's data.
    serializers: { err: ({ name, message, stack }: Error) => ({ name, message, stack }) },
  });
}

const windowMs = 1_000;

/**
 * Opens a log for single purchases with at most `perSecond` lines a second, followed by one line with the number of lines
 * left out. In a rush, a line for every purchase would cost more than the purchases, and could not be read.
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
