/** The list of products, with buttons to create and edit one. */

/** @import { Product } from '../../../sale/contract.ts' */

import { element, show } from '../../shared/dom.js';
import { smallPicture } from '../../shared/format.js';
import { toast } from '../../shared/toast.js';
import { fetchProducts } from '../api.js';
import { action, heading } from '../components.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';
import { openProductForm } from './product-form.js';

export function openProductsView() {
  const list = element('ul', { class: 'products', 'data-testid': 'products' });
  /** @type {string | null} */
  let next = null;

  /** @param {string | null} [cursor] the cursor to continue at */
  async function load(cursor = null) {
    try {
      const { products, nextCursor } = await fetchProducts(cursor);
      next = nextCursor;
      if (cursor === null) list.replaceChildren();
      list.append(...products.map(card));
      show(more, next !== null);
    } catch (error) {
      toast(errorText(error));
    }
  }

  const more = action(texts.words.showMore, () => load(next), { 'data-testid': 'more-products' });
  more.hidden = true;

  /** @param {Product} product */
  function card(product) {
    const { name, description, image, images } = product;
    const picture = image
      ? element('img', { src: smallPicture(image), alt: '', width: '160', height: '160', loading: 'lazy' })
      : element('span', { class: 'no-picture' });
    const edit = action(texts.words.edit, () => openEditor(product), {
      'aria-label': texts.products.editOf(name),
      'data-needs': 'admin',
    });
    const count = images.length > 1 ? texts.products.pictures(images.length) : '';
    return element(
      'li',
      { class: 'product card-box' },
      element('div', { class: 'product-stage' }, picture),
      element('h2', { dir: 'auto' }, name),
      element('p', { class: 'muted clamp', dir: 'auto' }, description),
      element('p', { class: 'muted' }, count),
      edit,
    );
  }

  /** @param {Product | null} product */
  async function openEditor(product) {
    if (await openProductForm(product)) await load();
  }

  const add = action(texts.products.newProduct, () => openEditor(null), {
    class: 'primary compact',
    'data-testid': 'new-product',
    'data-needs': 'admin',
  });
  load();
  return { root: element('div', {}, heading(texts.tabs.products, add), list, more) };
}
