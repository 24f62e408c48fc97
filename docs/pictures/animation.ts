import { setTimeout as delay } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import sharp from 'sharp';

/** Records a page while `act` runs, and writes it as an animated WebP. */
export async function film(page: Page, file: string, act: () => Promise<void>): Promise<void> {
  const frames: Buffer[] = [];
  const at: number[] = [];
  let isOver = false;
  const filming = (async () => {
    while (!isOver) {
      at.push(Date.now());
      const shot = await page.screenshot();
      frames.push(await sharp(shot).resize({ width: 800 }).png().toBuffer());
      await delay(60);
    }
  })();
  await act();
  isOver = true;
  await filming;
  // Each frame lasts until the next one was taken; the last one stays long enough to be read.
  const delays = at.map((time, n) => (at[n + 1] ?? time + 2_500) - time);
  await sharp(frames, { join: { animated: true } })
    .webp({ quality: 60, effort: 4, loop: 0, delay: delays })
    .toFile(file);
}
