import { createHash } from 'node:crypto';
import { appendStaffEntry, type By } from '../accounts/staff-log.ts';
import type { Picture } from '../insight/contract.ts';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Collections, PictureRecord } from '../store/collections.ts';

/** Widths in pixels, for a product's page and for a card in a list. */
export const pictureWidths = [1_200, 480] as const;

/** A picture with more pixels is refused before it is decoded (decompression bomb). */
const maxPixels = 40_000_000;
const maxSeconds = 10;

/**
 * Stores an uploaded picture in each width, as WebP without EXIF metadata. Its name is the hash of the upload, so that the
 * same upload is stored once, and a path's content never changes.
 * @returns null when the upload is not a valid JPEG, PNG, WebP or AVIF.
 */
export async function keepPicture(collections: Collections, upload: Buffer, by: By): Promise<Picture | null> {
  if (!isPicture(upload)) return null;
  // Loaded lazily, because sharp is large and most instances never get an upload.
  const { default: sharp } = await import('sharp');
  const name = createHash('sha256').update(upload).digest('base64url').slice(0, 22);
  const records: PictureRecord[] = [];
  for (const width of pictureWidths) {
    const bytes = await sharp(upload, { limitInputPixels: maxPixels, failOn: 'error' })
      .timeout({ seconds: maxSeconds })
      .rotate() // Applies the EXIF orientation, which the output does not keep.
      .resize({ width, height: width, fit: 'inside', withoutEnlargement: true })
      .webp({ quality: 82 })
      .toBuffer()
      .catch(() => null);
    if (!bytes) return null;
    records.push({ _id: `${name}-${width}.webp`, bytes, createdAt: mongoClock.now() });
  }
  await transact(collections.connection, async (session) => {
    const { pictures } = collections;
    const found = await pictures.countDocuments({ _id: { $in: records.map(({ _id }) => _id) } }, { session });
    if (found === records.length) return;
    for (const record of records)
      await pictures.updateOne({ _id: record._id }, { $setOnInsert: record }, { upsert: true, session });
    const subject = { kind: 'picture', id: name };
    await appendStaffEntry(collections, session, { ...by, action: 'picture.added', subject });
  });
  return { path: `/pictures/${name}-${pictureWidths[0]}.webp` };
}

export async function readPicture({ pictures }: Collections, name: string): Promise<Buffer | null> {
  const found = await pictures.findOne({ _id: name }, { promoteBuffers: true });
  return found && Buffer.from(found.bytes);
}

/** Detects the format by the magic bytes, because the client's Content-Type cannot be trusted. */
function isPicture(bytes: Buffer): boolean {
  const text = (start: number, end: number) => bytes.toString('latin1', start, end);
  return (
    text(0, 3) === '\xff\xd8\xff' ||
    text(0, 8) === '\x89PNG\r\n\x1a\n' ||
    (text(0, 4) === 'RIFF' && text(8, 12) === 'WEBP') ||
    (text(4, 8) === 'ftyp' && /^avi[fs]$/.test(text(8, 12)))
  );
}
