/** The result of checking one invariant. `examples` describes the first few breaches. */
export interface Finding {
  checked: number;
  breaches: number;
  examples: string[];
}

const examplesKept = 5;

export const noFinding = (): Finding => ({ checked: 0, breaches: 0, examples: [] });

export function addFinding(sum: Finding, one: Finding): void {
  sum.checked += one.checked;
  sum.breaches += one.breaches;
  sum.examples = [...sum.examples, ...one.examples].slice(0, examplesKept);
}

export function openFinding() {
  const finding = noFinding();
  return {
    finding,
    check(holds: boolean, breach: () => string): void {
      finding.checked += 1;
      if (holds) return;
      finding.breaches += 1;
      if (finding.examples.length < examplesKept) finding.examples.push(breach());
    },
  };
}

export type Check = ReturnType<typeof openFinding>;
