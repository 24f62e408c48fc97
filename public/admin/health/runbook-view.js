/** One paragraph of ops/RUNBOOK.md, which is in English, to which an incident links. */

import { element, setText } from '../../shared/dom.js';
import { language } from '../../shared/language.js';
import { fetchRunbook } from '../api.js';
import { heading } from '../components.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';

/** @param {string} name of the paragraph */
export function openRunbookView(name) {
  const text = element('p', { class: 'runbook', lang: 'en', 'data-testid': 'runbook' });
  const back = element('a', { class: 'small', href: '#now' }, texts.backToNow);
  fetchRunbook().then(
    ({ paragraphs }) => {
      const found = paragraphs.find((one) => one.name === name);
      if (!found) text.lang = language;
      text.replaceChildren(...(found ? inline(found.text) : [texts.noParagraph]));
    },
    (error) => setText(text, errorText(error)),
  );
  return { root: element('div', {}, heading(name, back), text) };
}

/** The few marks that the runbook uses within a paragraph: `code`, *emphasis*, [a link](to a file).
 * @param {string} text */
function inline(text) {
  return text.split(/(`[^`]+`|\*[^*]+\*|\[[^\]]+\]\([^)]+\))/).map((part) => {
    if (part.startsWith('`')) return element('code', {}, part.slice(1, -1));
    if (part.startsWith('*')) return element('strong', {}, part.slice(1, -1));
    return part.startsWith('[') ? part.slice(1, part.indexOf(']')) : part;
  });
}
