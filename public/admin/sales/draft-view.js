/** The view of a draft: what it says, and the buttons to mend, preview, publish, duplicate and delete it. */

/** @import { SaleSnapshot } from '../../../sale/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { texts as storefront } from '../../shared/texts.js';
import { toast } from '../../shared/toast.js';
import { deleteDraft, duplicateSale, fetchAllProducts, fetchDraft, publishDraft } from '../api.js';
import { action, factList } from '../components.js';
import { openForm } from '../form.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';
import { accessPanel } from './access-panel.js';
import { rehearsalOf } from './rehearsal.js';
import { openSaleForm } from './sale-form.js';
import { inWords } from './sale-words.js';

/** @param {string} id */
export function openDraftView(id) {
  /** @type {SaleSnapshot | null} */
  let draft = null;
  const title = element('h1', { 'data-testid': 'draft-name' }, '…');
  const terms = element('div', {});
  const errorLine = element('p', { class: 'failure', role: 'status' });

  async function load() {
    try {
      const read = await fetchDraft(id);
      draft = read.sale;
      if (draft.status !== 'draft') {
        location.replace(`#sale/${encodeURIComponent(id)}`);
        return;
      }
      setText(title, draft.product.name);
      terms.replaceChildren(factList(inWords(draft), 'draft-terms'));
      await access.load(draft);
      setText(errorLine, '');
    } catch (error) {
      setText(errorLine, errorText(error));
    }
  }

  const edit = action(texts.words.edit, async () => {
    if (draft && (await openSaleForm(await fetchAllProducts(), draft))) await load();
  });
  const publish = action(
    texts.draft.publish,
    async () => {
      // Read again, so that what is confirmed is what is published.
      const { sale, etag } = await fetchDraft(id);
      const lines = [element('p', {}, texts.draft.publishLead), factList(inWords(sale), 'publish-terms')];
      const published = await openForm(texts.draft.publishTitle, lines, () => publishDraft(id, etag), {
        submit: texts.draft.publishNow,
      });
      if (published) location.hash = `sale/${encodeURIComponent(id)}`;
      else await load();
    },
    { class: 'primary compact', 'data-testid': 'publish' },
  );
  const remove = action(
    texts.draft.delete,
    async () => {
      if (!confirm(texts.draft.deleteConfirm)) return;
      await deleteDraft(id);
      toast(texts.draft.deleted);
      location.hash = 'sales';
    },
    { class: 'small danger', 'data-testid': 'delete-draft' },
  );
  for (const button of [edit, publish, remove]) button.dataset.needs = 'admin';
  const preview = element(
    'a',
    {
      class: 'small',
      href: `/sales/${encodeURIComponent(id)}?preview`,
      target: '_blank',
      'data-testid': 'preview-link',
    },
    texts.draft.preview,
  );
  const rehearsal = rehearsalOf(id);
  const access = accessPanel(id);
  load();
  return {
    close: rehearsal.close,
    root: element(
      'div',
      { class: 'sale-details' },
      element(
        'header',
        { class: 'view-head' },
        title,
        element(
          'div',
          { class: 'actions' },
          publish,
          edit,
          preview,
          duplicateButton(id),
          rehearsal.button,
          remove,
        ),
      ),
      element(
        'p',
        { class: 'sale-state' },
        element('span', { class: 'chip', 'data-status': 'draft' }, storefront.saleStatus.draft),
      ),
      errorLine,
      terms,
      access.root,
      rehearsal.root,
    ),
  };
}

/** Makes a draft like this sale, and opens it. @param {string} id */
export const duplicateButton = (id) =>
  action(
    texts.draft.duplicate,
    async () => {
      const copy = await duplicateSale(id);
      toast(texts.draft.duplicated);
      location.hash = `draft/${encodeURIComponent(copy.id)}`;
    },
    { 'data-testid': 'duplicate', 'data-needs': 'admin' },
  );
