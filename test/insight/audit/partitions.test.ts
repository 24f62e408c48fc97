import { expect, test } from 'vitest';
import { openPartitions } from '../../../insight/audit/partitions.ts';

interface Rows {
  texts: [key: string, text: string, n: number];
  numbers: number;
}

test.each([1, 7])('rows in %i partitions come back whole, in order, and those of a key together', (count) => {
  const rows = openPartitions<Rows>(count);
  const texts = ['', 'Größe, "€"\n', '𝄞', 'é'.repeat(20_000), 'x'.repeat(40_000)];
  const keys = Array.from({ length: 300 }, (_, n) => `buyer-${n}`);
  for (let n = 0; n < 3_000; n++) {
    const key = keys[n % keys.length] ?? '';
    rows.add('texts', key, [key, texts[n % 50] ?? `${n}`, n]);
    rows.add('numbers', key, n);
  }
  const found: string[] = [];
  for (let partition = 0; partition < count; partition++) {
    const ofPartition = [...rows.read('texts', partition)];
    expect(ofPartition.length).toBeGreaterThan((3_000 / count) * 0.5);
    const numbers = ofPartition.map(([, , n]) => n);
    expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
    expect([...rows.read('numbers', partition)]).toEqual(numbers);
    for (const [key, text, n] of ofPartition)
      expect([key, text]).toEqual([`buyer-${n % 300}`, texts[n % 50] ?? `${n}`]);
    found.push(...new Set(ofPartition.map(([key]) => key)));
  }
  expect(found.toSorted()).toEqual(keys.toSorted());
  rows.close();
});
