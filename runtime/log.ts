import { type Logger, pino } from 'pino';
import type { Config } from './config.ts';

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
