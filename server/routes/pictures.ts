import { Router } from 'express';
import { keepPicture, pictureWidths, readPicture } from '../../catalogue/picture.ts';
import { picture } from '../../insight/contract.ts';
import type { Collections } from '../../store/collections.ts';
import { wrongField } from '../http/problems.ts';
import { byOf, type Route, route } from '../http/route.ts';
import type { Shop } from '../shop.ts';

export const picturesPath = '/api/admin/pictures';

export const pictureUploadRoutes = ({ collections }: Shop): Route[] => [
  route({
    method: 'post',
    path: picturesPath,
    access: 'admin',
    scope: 'sales:write',
    summary: 'Put up a picture: JPEG, PNG, WebP or AVIF',
    // The same limit as in nginx/nginx.conf.
    file: { type: 'image/*', maxBytes: 8 * 1_024 * 1_024 },
    answer: [201, picture],
    headers: ['Location'],
    problems: ['invalid-input', 'body-too-large', 'unsupported-media-type'],
    async handle({ body, ...call }) {
      const kept = await keepPicture(collections, body as Buffer, byOf(call));
      if (!kept) return wrongField('body', 'expected a JPEG, PNG, WebP or AVIF that can be read');
      return { status: 201, body: kept, headers: { Location: kept.path } };
    },
  }),
];

const namePattern = new RegExp(`^[\\w-]{22}-(${pictureWidths.join('|')})\\.webp$`);

/** Serves `/pictures/:name`. Browsers may cache it without end, because a path always has the same picture. */
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
