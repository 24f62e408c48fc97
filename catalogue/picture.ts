import { createHash } from 'node:crypto';
import type { Picture } from '../insight/contract.ts';
import { mongoClock } from '../runtime/clock.ts';
import { type Collections, driverOf, type PictureRecord } from '../store/collections.ts';

/** Widths in pixels: for a product's own page, and for a card in a list. */
export const pictureWidths = [1_200, 480] as const;

/** A picture that unpacks to more than this is refused before it is unpacked. */
const maxPixels = 40_000_000;
const maxSeconds = 10;

/**
 * Keeps an uploaded picture in each width, as WebP without what a camera writes beside it. It is known by the hash of
 * what was uploaded: the same upload twice is one picture, and what stands at its path never changes.
 * @returns null when this is not a JPEG, PNG, WebP or AVIF, or cannot be read as one.
 */
export async function keepPicture({ pictures }: Collections, upload: Buffer): Promise<Picture | null> {
  if (!isPicture(upload)) return null;
  // Loaded when it is needed: most instances never see an upload, and it is the largest library here.
  const { default: sharp } = await import('sharp');
  const name = createHash('sha256').update(upload).digest('base64url').slice(0, 22);
  for (const width of pictureWidths) {
    const bytes = await sharp(upload, { limitInputPixels: maxPixels, failOn: 'error' })
      .timeout({ seconds: maxSeconds })
      .rotate() // As the camera was held; the note about it is dropped.
      .resize({ width, height: width, fit: 'inside', withoutEnlargement: true })
      .webp({ quality: 82 })
      .toBuffer()
      .catch(() => null);
    if (!bytes) return null;
    const record: PictureRecord = { _id: `${name}-${width}.webp`, bytes, createdAt: mongoClock.now() };
    await driverOf(pictures).updateOne({ _id: record._id }, { $setOnInsert: record }, { upsert: true });
  }
  return { path: `/pictures/${name}-${pictureWidths[0]}.webp` };
}

export async function readPicture({ pictures }: Collections, name: string): Promise<Buffer | null> {
  const found = await driverOf(pictures).findOne({ _id: name }, { promoteBuffers: true });
  return found && Buffer.from(found.bytes);
}

/** By its first bytes: what the browser says about it counts for nothing. */
function isPicture(bytes: Buffer): boolean {
  const text = (start: number, end: number) => bytes.toString('latin1', start, end);
  return (
    text(0, 3) === '\xff\xd8\xff' ||
    text(0, 8) === '\x89PNG\r\n\x1a\n' ||
    (text(0, 4) === 'RIFF' && text(8, 12) === 'WEBP') ||
    (text(4, 8) === 'ftyp' && /^avi[fs]$/.test(text(8, 12)))
  );
}
