import type { Page } from 'playwright-core';

/** What a page costs: see https://web.dev/vitals. */
export interface Vitals {
  /** First contentful paint, in ms. */
  first: number;
  /** Largest contentful paint, in ms, and the element that it was. */
  largest: number;
  element: string;
  /** Bytes that were received. */
  bytes: number;
  /** Requests and sockets. */
  requests: number;
  /** Cumulative layout shift. */
  shift: number;
  /** Whether the control room showed an incident, which moves what is below it, so that it is seen. */
  hasIncident: boolean;
}

/** Slow 3G: 400 ms, 50 kB a second. */
const slowNetwork = { offline: false, latency: 400, downloadThroughput: 50_000, uploadThroughput: 50_000 };

const observe = `
  globalThis.vitals = { shift: 0, largest: 0, element: '', hasIncident: false };
  new PerformanceObserver((list) => {
    if (document.querySelector('.incidents:not([hidden])')) {
      vitals.hasIncident = true;
      return;
    }
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) vitals.shift += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
  new PerformanceObserver((list) => {
    for (const { startTime, element } of list.getEntries()) {
      vitals.largest = startTime;
      vitals.element = element ? element.localName + (element.id && '#' + element.id) : '';
    }
  }).observe({ type: 'largest-contentful-paint', buffered: true });`;

/**
 * Measures the next load of the page. @param isSlow with slow 3G and a quarter of this CPU's speed
 * @returns what to call when everything has loaded
 */
export async function watchVitals(
  page: Page,
  { isSlow }: { isSlow: boolean },
): Promise<() => Promise<Vitals>> {
  await page.addInitScript(observe);
  const network = await page.context().newCDPSession(page);
  await network.send('Network.enable');
  if (isSlow) {
    await network.send('Network.emulateNetworkConditions', slowNetwork);
    await network.send('Emulation.setCPUThrottlingRate', { rate: 4 });
  }
  let [requests, bytes] = [0, 0];
  for (const event of ['Network.requestWillBeSent', 'Network.webSocketCreated'] as const)
    network.on(event, () => {
      requests += 1;
    });
  network.on('Network.loadingFinished', ({ encodedDataLength }) => {
    bytes += encodedDataLength;
  });
  return async () => {
    const seen = await page.evaluate<Omit<Vitals, 'requests' | 'bytes'>>(
      "({ ...vitals, first: performance.getEntriesByName('first-contentful-paint')[0].startTime })",
    );
    return { ...seen, requests, bytes };
  };
}

/** As a row of a table: times in ms, without noise. */
export const rowOf = ({ first, largest, element, bytes, requests, shift }: Vitals) => ({
  'FCP ms': Math.round(first),
  'LCP ms': Math.round(largest),
  largest: element,
  kB: Math.round(bytes / 100) / 10,
  requests,
  CLS: Math.round(shift * 10_000) / 10_000,
});
