/** The form for a product's name, description and pictures. */

/** @import { Product } from '../../../sale/contract.ts' */

import { element } from '../../shared/dom.js';
import { saveProduct } from '../api.js';
import { field, fieldOf, openForm } from '../form.js';
import { texts } from '../texts.js';
import { pictureField } from './picture-field.js';

/** @param {Product | null} product */
export function openProductForm(product) {
  const pictures = pictureField(product?.images ?? []);
  const words = element('textarea', { name: 'description', rows: '4', maxlength: '5000' });
  words.value = product?.description ?? '';
  return openForm(
    product ? texts.products.editProduct : texts.products.newProduct,
    [
      field(texts.words.name, 'name', { required: true, maxlength: '200', value: product?.name }),
      fieldOf(texts.products.description, words),
      pictures.root,
    ],
    (read) => {
      const images = pictures.paths();
      const saved = {
        name: read.textOf('name'),
        description: read.textOf('description'),
        image: images[0] ?? '',
        images,
      };
      return saveProduct(product?.id ?? null, saved);
    },
  );
}
