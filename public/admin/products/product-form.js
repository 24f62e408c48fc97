/** The form for a product's name, description and pictures. A picture is uploaded as soon as it is chosen. */

/** @import { Product } from '../../../sale/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { smallPicture } from '../../shared/format.js';
import { saveProduct, uploadPicture } from '../api.js';
import { field, openForm } from '../form.js';
import { errorText } from '../http.js';

const MAX_PICTURES = 8;

/** @param {Product | null} product */
export function openProductForm(product) {
  const pictures = pictureField(product?.images ?? []);
  const words = element('textarea', { name: 'description', rows: '4', maxlength: '5000' });
  words.value = product?.description ?? '';
  return openForm(
    product ? 'Edit product' : 'New product',
    [
      field('Name', 'name', { required: true, maxlength: '200', value: product?.name }),
      element('label', {}, 'Description', words),
      pictures.root,
    ],
    (values) => {
      const images = pictures.paths();
      const saved = {
        name: String(values.get('name')),
        description: String(values.get('description')),
        image: images[0] ?? '',
        images,
      };
      return saveProduct(product?.id ?? null, saved);
    },
  );
}

/** @param {string[]} known */
function pictureField(known) {
  let paths = [...known];
  const strip = element('ul', { class: 'strip', 'data-testid': 'pictures' });
  const note = element('span', { class: 'hint', role: 'status' });
  const input = element('input', { type: 'file', accept: 'image/jpeg,image/png,image/webp,image/avif' });

  function draw() {
    strip.replaceChildren(
      ...paths.map((path, n) => {
        const drop = element('button', { type: 'button', 'aria-label': `Remove picture ${n + 1}` }, '×');
        drop.addEventListener('click', () => {
          paths = paths.filter((other) => other !== path);
          draw();
        });
        const image = element('img', {
          src: smallPicture(path),
          alt: `Picture ${n + 1}`,
          width: '72',
          height: '72',
        });
        return element('li', {}, image, drop);
      }),
    );
    input.disabled = paths.length >= MAX_PICTURES;
  }

  input.addEventListener('change', async () => {
    const [file] = input.files ?? [];
    if (!file) return;
    setText(note, 'Sending…');
    try {
      const { path } = await uploadPicture(file);
      paths = [...new Set([...paths, path])];
      setText(note, '');
      draw();
    } catch (error) {
      setText(note, errorText(error));
    }
    input.value = '';
  });
  draw();
  return {
    paths: () => paths,
    root: element(
      'div',
      { class: 'picture-field' },
      strip,
      element('label', {}, 'Add a picture', input),
      element(
        'span',
        { class: 'hint' },
        'JPEG, PNG, WebP or AVIF, up to 8 MB. The first one stands for the product.',
      ),
      note,
    ),
  };
}
