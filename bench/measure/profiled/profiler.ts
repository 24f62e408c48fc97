import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';

/**
 * Profiles this process from the first SIGUSR2 to the second, so that the profile shows the process under load and not its
 * start. Writes `<INSTANCE>.cpuprofile`.
 */
export async function profileOnSignal(): Promise<void> {
  const { PROFILES_DIR = 'bench/results/profiles', INSTANCE = 'process' } = process.env;
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 500 });
  let started = false;
  process.on('SIGUSR2', async () => {
    if (!started) {
      started = true;
      await session.post('Profiler.start');
      return;
    }
    started = false;
    const { profile } = await session.post('Profiler.stop');
    mkdirSync(PROFILES_DIR, { recursive: true });
    writeFileSync(join(PROFILES_DIR, `${INSTANCE}.cpuprofile`), JSON.stringify(profile));
  });
}
