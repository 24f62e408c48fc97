import { waitUntil } from '../../ops/local/processes/process.mjs';

/** One sample of Prometheus' text format: `name{label="value"} 1`. */
interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export function readSamples(text: string): Sample[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (!name) return [];
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label = '', text = '']) => [label, text]);
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
  });
}

/**
 * Reads a process' metrics with the figures of the whole cluster, which it leaves out when it cannot read them within a second,
 * as on a busy machine.
 */
export const readWithFigures = (read: () => Promise<Sample[]>): Promise<Sample[]> =>
  waitUntil(
    async () => {
      const samples = await read();
      return valueIn(samples, 'stampede_figures_up') === 1 ? samples : null;
    },
    { deadlineMs: 20_000, what: 'the figures of the cluster are read' },
  );

/** The value of the first sample with this name and at least these labels. */
export function valueIn(
  samples: Sample[],
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  return samples.find(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([label, text]) => sample.labels[label] === text),
  )?.value;
}
