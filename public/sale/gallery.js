/** A product's pictures: one on the stage, and the small ones to choose from when there are several. */

/** @import { Product } from '../../sale/contract.ts' */

import { element, part, show } from '../shared/dom.js';
import { smallPicture } from '../shared/format.js';
import { texts } from '../shared/texts.js';

let drawn = '';

/** @param {Product} product */
export function renderGallery({ name, image, images }) {
  show(part('image'), image !== '');
  const now = images.join();
  if (now === drawn) return;
  drawn = now;
  stage(image, name);
  const choices = images.map((path, at) => {
    const small = element('img', { src: smallPicture(path), alt: '', width: '56', height: '56' });
    const label = texts.picture(at + 1);
    const button = element(
      'button',
      { type: 'button', 'aria-label': label, 'aria-pressed': String(at === 0) },
      small,
    );
    button.addEventListener('click', () => {
      stage(path, name);
      for (const other of choices) other.setAttribute('aria-pressed', String(other === button));
    });
    return button;
  });
  part('gallery').replaceChildren(...choices);
  show(part('gallery'), images.length > 1);
}

/** @param {string} path @param {string} name */
function stage(path, name) {
  const image = /** @type {HTMLImageElement} */ (part('image'));
  if (path === '' || image.getAttribute('src') === path) return;
  image.src = path;
  image.alt = name;
}
