/** The pictures of a product: uploaded several at once as soon as they are chosen, ordered by dragging or by buttons. */

import { element, setText } from '../../shared/dom.js';
import { smallPicture } from '../../shared/format.js';
import { uploadPicture } from '../api.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';

const MAX_PICTURES = 8;

/** @param {string[]} known paths, the main picture first */
export function pictureField(known) {
  const { products: t } = texts;
  let paths = [...known];
  const strip = element('ul', { class: 'strip', 'data-testid': 'pictures' });
  const note = element('span', { class: 'hint', role: 'status' });
  const uploads = element('div', { class: 'uploads' });
  const accept = 'image/jpeg,image/png,image/webp,image/avif';
  const input = element('input', { type: 'file', accept, multiple: true });
  /** The place from which a picture is dragged. @type {number | null} */
  let dragged = null;

  /** @param {number} from @param {number} to */
  function move(from, to) {
    const [path] = paths.splice(from, 1);
    if (path === undefined) return;
    paths.splice(to, 0, path);
    draw();
    setText(note, to === 0 ? t.isMain : t.isAt(to + 1));
  }

  /** @param {string} path @param {number} n */
  function itemOf(path, n) {
    const image = element('img', {
      ...{ src: smallPicture(path), alt: t.picture(n + 1), width: '96', height: '96', draggable: 'false' },
    });
    /** @param {string} sign @param {string} label @param {boolean} isPossible @param {() => void} act */
    const button = (sign, label, isPossible, act) => {
      const made = element('button', { type: 'button', 'aria-label': label, disabled: !isPossible }, sign);
      made.addEventListener('click', act);
      return made;
    };
    /** Keeps the focus on the same button of the moved picture. @param {number} to @param {string} selector */
    const moveBy = (to, selector) => {
      move(n, to);
      const buttons = strip.children[to]?.querySelectorAll('button');
      const again = strip.children[to]?.querySelector(`${selector}:enabled`) ?? buttons?.[1];
      if (again instanceof HTMLElement) again.focus();
    };
    const item = element(
      'li',
      { draggable: 'true' },
      image,
      element(
        'div',
        { class: 'picture-buttons' },
        button('←', t.moveForward(n + 1), n > 0, () => moveBy(n - 1, 'button:first-child')),
        button('×', t.removePicture(n + 1), true, () => {
          paths = paths.filter((other) => other !== path);
          draw();
        }),
        button('→', t.moveBack(n + 1), n < paths.length - 1, () => moveBy(n + 1, 'button:last-child')),
      ),
    );
    item.addEventListener('dragstart', (event) => {
      dragged = n;
      event.dataTransfer?.setData('text/plain', path);
    });
    item.addEventListener('dragend', () => {
      dragged = null;
    });
    item.addEventListener('dragover', (event) => dragged !== null && event.preventDefault());
    item.addEventListener('drop', (event) => {
      event.preventDefault();
      if (dragged !== null && dragged !== n) move(dragged, n);
    });
    return item;
  }

  function draw() {
    strip.replaceChildren(...paths.map(itemOf));
    input.disabled = paths.length >= MAX_PICTURES;
  }

  /** @param {File} file */
  async function send(file) {
    const bar = element('progress', { max: '1', value: '0', 'aria-label': t.sending(file.name) });
    const line = element('p', { class: 'hint' }, bar, ` ${file.name}`);
    uploads.append(line);
    try {
      const { path } = await uploadPicture(file, (share) => {
        bar.value = share;
      });
      paths = [...new Set([...paths, path])];
      line.remove();
      draw();
    } catch (error) {
      line.replaceChildren(`${file.name}: ${errorText(error)}`);
      line.className = 'error';
      line.setAttribute('role', 'alert');
    }
  }

  input.addEventListener('change', async () => {
    const files = [...(input.files ?? [])];
    const sent = files.slice(0, MAX_PICTURES - paths.length);
    const left = files.length - sent.length;
    uploads.replaceChildren();
    setText(note, left > 0 ? t.leftOut(MAX_PICTURES, left) : '');
    input.disabled = true;
    // One after the other, so that they keep their order.
    for (const file of sent) await send(file);
    input.value = '';
    draw();
  });
  draw();
  return {
    paths: () => paths,
    root: element(
      'div',
      { class: 'picture-field' },
      strip,
      element('label', {}, t.addPictures, input),
      element('span', { class: 'hint' }, t.picturesHint),
      uploads,
      note,
    ),
  };
}
