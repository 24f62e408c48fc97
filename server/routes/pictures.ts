import { Router } from 'express';
import { keepPicture, pictureWidths, readPicture } from '../../catalogue/picture.ts';
import type { Collections } from '../../store/collections.ts';
import { type Refusal, refuse } from '../http/problems.ts';
import type { Answer, Call } from '../http/route.ts';
import type { Shop } from '../shop.ts';

export const picturesPath = '/api/admin/pictures';
/** As nginx has it: see nginx/nginx.conf. */
export const pictureMaxBytes = 8 * 1_024 * 1_024;

export async function addPicture(
  { collections }: Shop,
  { body }: Call<unknown, unknown, Buffer>,
): Promise<Answer | Refusal> {
  const picture = await keepPicture(collections, body);
  if (!picture) {
    return refuse('invalid-input', 'expected a JPEG, PNG, WebP or AVIF that can be read', {
      errors: [{ field: 'body', message: 'expected a JPEG, PNG, WebP or AVIF that can be read' }],
    });
  }
  return { status: 201, body: picture, headers: { Location: picture.path } };
}

const namePattern = new RegExp(`^[\\w-]{22}-(${pictureWidths.join('|')})\\.webp$`);

/** `/pictures/:name`. A path never shows another picture, so browsers may keep it for ever. */
export function pictureRoutes(collections: Collections): Router {
  return Router().get('/pictures/:name', async (request, response, next) => {
    const { name } = request.params;
    const bytes = namePattern.test(name) ? await readPicture(collections, name) : null;
    if (!bytes) return next();
    response
      .set({
        'Cache-Control': 'public, max-age=31536000, immutable',
        'Content-Security-Policy': "default-src 'none'",
      })
      .type('image/webp')
      .send(bytes);
  });
}
