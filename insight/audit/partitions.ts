import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Rows of several kinds, each kind in as many partitions; the rows of one key are in the same partition of each kind. */
export interface Partitions<Rows extends object> {
  count: number;
  /** @param row plain JSON. */
  add<Kind extends keyof Rows>(kind: Kind, key: string, row: Rows[Kind]): void;
  /** The rows of a partition in the order in which they were added. */
  read<Kind extends keyof Rows>(kind: Kind, partition: number): Iterable<Rows[Kind]>;
  close(): void;
}

/** A single partition is kept in memory, several are on disk. */
export const openPartitions = <Rows extends object>(count: number): Partitions<Rows> =>
  count === 1 ? inMemory() : onDisk(count);

function inMemory<Rows extends object>(): Partitions<Rows> {
  const rows = new Map<keyof Rows, unknown[]>();
  return {
    count: 1,
    add(kind, _key, row) {
      const ofKind = rows.get(kind);
      if (ofKind) ofKind.push(row);
      else rows.set(kind, [row]);
    },
    read: (kind) => (rows.get(kind) ?? []) as never[],
    close: () => rows.clear(),
  };
}

/** What a partition gathers before it is written, outside of V8's heap. */
const blockBytes = 32_768;
/** Of one character in UTF-8. */
const maxBytes = 3;

interface Partition {
  gathered: Buffer;
  /** How much of it is used. */
  bytes: number;
  /** Where its blocks are in the file. */
  blocks: { at: number; bytes: number }[];
}

/** All partitions share one file. It has no name any more while it is open, so that nothing is left when the process dies. */
function onDisk<Rows extends object>(count: number): Partitions<Rows> {
  const folder = mkdtempSync(join(tmpdir(), 'stampede-audit-'));
  const file = openSync(join(folder, 'rows'), 'wx+', 0o600);
  rmSync(folder, { recursive: true });
  let end = 0;
  const partitionsOf = new Map<keyof Rows, Partition[]>();

  function write(block: Buffer, { blocks }: Partition): void {
    for (let written = 0; written < block.length; )
      written += writeSync(file, block, written, block.length - written, end + written);
    blocks.push({ at: end, bytes: block.length });
    end += block.length;
  }

  function* read(kind: keyof Rows, n: number) {
    const partition = partitionsOf.get(kind)?.[n];
    if (!partition) return;
    for (const { at, bytes } of partition.blocks) {
      const block = Buffer.allocUnsafe(bytes);
      for (let got = 0; got < bytes; ) {
        const more = readSync(file, block, got, bytes - got, at + got);
        if (more === 0) throw new Error('The temporary file of the audit has become shorter');
        got += more;
      }
      yield* rowsOf(block);
    }
    if (partition.bytes > 0) yield* rowsOf(partition.gathered.subarray(0, partition.bytes));
  }

  return {
    count,
    add(kind, key, row) {
      let partitions = partitionsOf.get(kind);
      if (!partitions) {
        partitions = Array.from({ length: count }, emptyPartition);
        partitionsOf.set(kind, partitions);
      }
      const partition = partitions[hashOf(key) % count] as Partition;
      const text = `${JSON.stringify(row)},`;
      const mostBytes = text.length * maxBytes;
      if (partition.bytes + mostBytes > blockBytes) {
        if (partition.bytes > 0) write(partition.gathered.subarray(0, partition.bytes), partition);
        partition.bytes = 0;
      }
      if (mostBytes > blockBytes) write(Buffer.from(text), partition);
      else partition.bytes += partition.gathered.write(text, partition.bytes);
    },
    read,
    close: () => closeSync(file),
  };
}

const emptyPartition = (): Partition => ({
  gathered: Buffer.allocUnsafeSlow(blockBytes),
  bytes: 0,
  blocks: [],
});

/** The rows of a block, each of which ends with a comma. */
const rowsOf = (block: Buffer) => JSON.parse(`[${block.toString('utf8', 0, block.length - 1)}]`);

/** FNV-1a of 32 bits: keys that differ in their last digits only are spread too. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let n = 0; n < key.length; n++) hash = Math.imul(hash ^ key.charCodeAt(n), 0x01000193);
  return hash >>> 0;
}
