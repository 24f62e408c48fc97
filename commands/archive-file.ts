import { createHash, hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import mongoose from 'mongoose';
import { describeFileFault } from '../ops/local/files/file-fault.mjs';

const { EJSON } = mongoose.mongo.BSON;

/**
 * A backup is one gzipped file of lines of extended JSON, which keeps every BSON type. The first line is a header, then
 * there is a line for each document, and the last line has the number of documents of each collection and a SHA-256 of the
 * lines before it. Version 1 had no hash.
 */
const version = 2;

export interface Entry {
  in: string;
  document: Record<string, unknown>;
}
export type Counts = Record<string, number>;

/** Limits for reading a file, against decompression bombs. */
const bytesMax = 256 * 1024 ** 3;
const documentsMax = 50_000_000;
/** A document of 16 MiB, MongoDB's limit, takes up to four times as much as extended JSON. */
const lineBytesMax = 64 * 1024 ** 2;

/**
 * Writes a backup to a temporary file, and renames it when it is complete and on disk.
 * @throws Error of one line; then there is no new file.
 */
export async function writeArchiveFile(
  file: string,
  entries: AsyncIterable<Entry>,
  signal?: AbortSignal,
): Promise<Counts> {
  if ((await stat(file).catch(() => null))?.isDirectory()) {
    throw new Error(`${file} is a folder; expected the name of a file in it.`);
  }
  // The name contains the pid, so that two backups at once do not write into the same file.
  const unfinished = `${file}.part-${process.pid}`;
  const counts: Counts = {};
  try {
    const target = createWriteStream(unfinished, { mode: 0o600, flush: true });
    await pipeline(Readable.from(linesOf(entries, counts)), createGzip(), target, { signal });
    await rename(unfinished, file);
    await syncFolder(dirname(file));
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => {});
    if (signal?.aborted) throw new Error('No backup was written: it was stopped.');
    const fault = describeFileFault(error, file);
    throw fault ? new Error(`No backup was written: ${fault}`) : error;
  }
  return counts;
}

async function* linesOf(entries: AsyncIterable<Entry>, counts: Counts): AsyncGenerator<string> {
  const sha256 = createHash('sha256');
  const line = (value: object) => {
    const text = `${EJSON.stringify(value, { relaxed: false })}\n`;
    sha256.update(text);
    return text;
  };
  yield line({ stampede: version, at: new Date().toISOString() });
  for await (const entry of entries) {
    counts[entry.in] = (counts[entry.in] ?? 0) + 1;
    yield line(entry);
  }
  if (Object.keys(counts).length === 0) throw new Error('The database has no documents: nothing to back up.');
  yield line({ counts, sha256: sha256.copy().digest('hex') });
}

/** Syncs the folder, without which a power failure could undo the rename. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
}

/**
 * Reads a backup to its end.
 * @param known the collections that it may have.
 * @returns its content; `checksum` is the same for the same content.
 * @throws Error of one line that says what is wrong. Entries before that place have been passed on.
 */
export async function readArchiveFile(
  file: string,
  known: ReadonlySet<string>,
  take: (entry: Entry, bytes: number) => void | Promise<void>,
): Promise<{ counts: Counts; checksum: string }> {
  const lines = new ArchiveReader(known, take);
  /** The first error, because the pipeline itself may report only that it was aborted. */
  let refusal: unknown;
  const readAll = (chunks: AsyncIterable<Buffer>) =>
    lines.readAll(chunks).catch((error) => {
      refusal = error;
      throw error;
    });
  try {
    const { size } = await stat(file);
    if (size === 0) throw new Error('it is empty');
    await pipeline(createReadStream(file), createGunzip(), readAll);
    return lines.result();
  } catch (error) {
    const fault = (error as Error).name === 'AbortError' ? (refusal ?? error) : error;
    throw new Error(`${file} cannot be restored: ${whyUnreadable(fault, file)}.`);
  }
}

/** Checks the whole file, and that no document occurs twice, without writing anything. */
export async function checkArchiveFile(file: string, known: ReadonlySet<string>) {
  // 8 bytes for each document; a Set would take fifty, and is limited to 16 million entries.
  let hashes = new BigUint64Array(1_024);
  let count = 0;
  const found = await readArchiveFile(file, known, (entry) => {
    if (count === hashes.length) {
      const larger = new BigUint64Array(count * 2);
      larger.set(hashes);
      hashes = larger;
    }
    const id = EJSON.stringify(entry.document._id, { relaxed: false });
    hashes[count++] = hash('sha256', `${entry.in} ${id}`, 'buffer').readBigUInt64LE();
  });
  const sorted = hashes.subarray(0, count).sort();
  if (sorted.some((one, index) => index > 0 && one === sorted[index - 1])) {
    throw new Error(`${file} cannot be restored: it contains a document twice.`);
  }
  return found;
}

class ArchiveReader {
  #version = 0;
  #line = 0;
  #bytes = 0;
  #documents = 0;
  #counts: Counts = {};
  #end: { counts: unknown; sha256: unknown } | null = null;
  readonly #sha256 = createHash('sha256');
  readonly #known: ReadonlySet<string>;
  readonly #take: (entry: Entry, bytes: number) => void | Promise<void>;

  constructor(known: ReadonlySet<string>, take: (entry: Entry, bytes: number) => void | Promise<void>) {
    this.#known = known;
    this.#take = take;
  }

  async readAll(chunks: AsyncIterable<Buffer>): Promise<void> {
    let [parts, partBytes] = [[] as Buffer[], 0];
    for await (const chunk of chunks) {
      this.#bytes += chunk.length;
      if (this.#bytes > bytesMax) throw new Error(`it unpacks to more than ${bytesMax / 1024 ** 3} GiB`);
      let from = 0;
      for (let to = chunk.indexOf(10); to !== -1; to = chunk.indexOf(10, from)) {
        parts.push(chunk.subarray(from, to + 1));
        await this.#read(Buffer.concat(parts));
        [parts, partBytes, from] = [[], 0, to + 1];
      }
      if (from === chunk.length) continue;
      parts.push(chunk.subarray(from));
      partBytes += chunk.length - from;
      if (partBytes > lineBytesMax) {
        throw new Error(`line ${this.#line + 1} is longer than ${lineBytesMax / 1024 ** 2} MiB`);
      }
    }
    if (partBytes > 0) throw new Error(`its last line, ${this.#line + 1}, was cut short`);
  }

  async #read(bytes: Buffer): Promise<void> {
    this.#line += 1;
    if (this.#end) throw new Error(`line ${this.#line} comes after what should be the last`);
    const line = parseLine(bytes, this.#line);
    if (this.#line === 1) this.#readHeader(line);
    else if ('counts' in line) this.#end = line as { counts: unknown; sha256: unknown };
    else await this.#take(this.#entryOf(line), bytes.length);
    if (!this.#end) this.#sha256.update(bytes);
  }

  #readHeader(line: Record<string, unknown>): void {
    this.#version = Number(line.stampede);
    if (!Number.isInteger(this.#version) || this.#version < 1) {
      throw new Error('it is not a backup of Stampede: its first line is not the header');
    }
    if (this.#version > version) {
      throw new Error(
        `it has format ${this.#version}, and this version of Stampede reads up to ${version}: use a newer one`,
      );
    }
  }

  #entryOf(line: Record<string, unknown>): Entry {
    const { in: name, document } = line;
    const isDocument = typeof document === 'object' && document !== null && '_id' in document;
    if (typeof name !== 'string' || !isDocument) {
      throw new Error(`line ${this.#line} is not a document with its collection`);
    }
    if (!this.#known.has(name)) {
      throw new Error(`line ${this.#line} is of the unknown collection ${JSON.stringify(name.slice(0, 80))}`);
    }
    this.#documents += 1;
    if (this.#documents > documentsMax) throw new Error(`it has more than ${documentsMax} documents`);
    this.#counts[name] = (this.#counts[name] ?? 0) + 1;
    return { in: name, document: document as Record<string, unknown> };
  }

  result(): { counts: Counts; checksum: string } {
    if (this.#line === 0) throw new Error('it has no lines');
    if (!this.#end) throw new Error('it was cut short: the line with the counts is missing');
    const checksum = this.#sha256.digest('hex');
    if (this.#version >= 2 && this.#end.sha256 !== checksum) {
      throw new Error('it was changed after it was written: its content does not match its checksum');
    }
    const inOrder = (counts: object) => EJSON.stringify(Object.entries(counts).sort(), { relaxed: true });
    if (inOrder(Object(this.#end.counts)) !== inOrder(this.#counts)) {
      throw new Error('it is incomplete: its last line states another number of documents than it has');
    }
    if (this.#documents === 0) throw new Error('it is of an empty database');
    return { counts: this.#counts, checksum };
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parseLine(bytes: Buffer, line: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = EJSON.parse(utf8.decode(bytes), { relaxed: false });
  } catch {
    // The error below replaces the parser's message, which would quote personal data.
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Error(`line ${line} is not extended JSON`);
}

function whyUnreadable(error: unknown, file: string): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR') return 'it was cut short (unexpected end of file)';
  if (code?.startsWith('Z_')) return `it is damaged, or no gzip file (${message})`;
  return describeFileFault(error, file)?.replace(/\.$/, '') ?? message;
}
