/** A product's pictures: a large one, and thumbnails to choose from when there are several. */

/** @import { Product } from '../../sale/contract.ts' */

import { byId, element, show } from '../shared/dom.js';
import { pictureSizes, smallPicture } from '../shared/format.js';
import { texts } from '../shared/texts.js';

let drawn = '';

/** @param {Pick<Product, 'name' | 'image' | 'images'>} product */
export function renderGallery({ name, image, images }) {
  show(byId('image'), image !== '');
  const now = images.join();
  if (now === drawn) return;
  drawn = now;
  showPicture(image, name);
  const choices = images.map((path, at) => {
    const small = element('img', { src: smallPicture(path), alt: '', width: '56', height: '56' });
    const label = texts.picture(at + 1);
    const button = element(
      'button',
      { type: 'button', 'aria-label': label, 'aria-pressed': String(at === 0) },
      small,
    );
    button.addEventListener('click', () => {
      showPicture(path, name);
      for (const other of choices) other.setAttribute('aria-pressed', String(other === button));
    });
    return button;
  });
  byId('gallery').replaceChildren(...choices);
  show(byId('gallery'), images.length > 1);
}

/** @param {string} path @param {string} name */
function showPicture(path, name) {
  const image = /** @type {HTMLImageElement} */ (byId('image'));
  if (path === '' || image.getAttribute('src') === path) return;
  image.srcset = pictureSizes(path);
  image.sizes = '(max-width: 719px) 100vw, 50vw';
  image.src = path;
  image.alt = name;
}
