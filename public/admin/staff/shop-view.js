/** How the shop looks to its buyers: name, logo, colours, texts, links, languages and currency. */

/** @import { Colours, Theme } from '../../../catalogue/theme.ts' */

import { element } from '../../shared/dom.js';
import { toast } from '../../shared/toast.js';
import { action, factList, heading } from '../components.js';
import { field, openForm, row } from '../form.js';
import { errorText } from '../http.js';
import { isAtLeast } from './roles.js';
import { changeTheme, fetchTheme } from './staff-api.js';

const languages = /** @type {const} */ ({ en: 'English', de: 'German', fr: 'French' });
const links = /** @type {const} */ ({ imprint: 'Imprint', privacy: 'Privacy', terms: 'Terms' });
const tokens = /** @type {const} */ ({
  accent: 'Buttons and what is on now',
  ground: 'Page',
  surface: 'Cards',
  ink: 'Text',
});
/** Where a choice of own colours begins: the colours as they come. */
const usual = {
  light: { accent: '#d4321a', ground: '#f5f3ee', surface: '#ffffff', ink: '#16171a' },
  dark: { accent: '#ff6242', ground: '#0f1013', surface: '#191b20', ink: '#f3f1ec' },
};
const schemes = /** @type {const} */ ({ light: 'Own colours', dark: 'Own colours on dark devices' });

/** @param {'light' | 'dark'} scheme @param {Colours | null} colours */
function colourFields(scheme, colours) {
  const own = element('input', { type: 'checkbox', name: `${scheme}.own`, checked: colours !== null });
  const fields = Object.entries(tokens).map(([token, label]) => {
    const value = (colours ?? usual[scheme])[/** @type {keyof Colours} */ (token)];
    return field(label, `${scheme}.${token}`, { type: 'color', value });
  });
  return element(
    'fieldset',
    {},
    element('legend', {}, schemes[scheme]),
    element('label', { class: 'check' }, own, 'Use these'),
    row(...fields),
  );
}

/** @param {Theme} theme */
function edit(theme) {
  const texts = Object.entries(languages).flatMap(([code, name]) => {
    const { title, lead } = theme.texts[/** @type {keyof typeof languages} */ (code)];
    const offered = theme.languages.some((one) => one === code);
    return [
      element(
        'fieldset',
        {},
        element('legend', {}, name),
        element(
          'label',
          { class: 'check' },
          element('input', { type: 'checkbox', name: `offers.${code}`, checked: offered }),
          'Pages are in this language',
        ),
        field('Title of the list', `texts.${code}.title`, { value: title, maxlength: '100' }),
        field('Below the title', `texts.${code}.lead`, { value: lead, maxlength: '300' }),
      ),
    ];
  });
  const lines = [
    field('Name', 'name', { value: theme.name, maxlength: '100' }, 'empty: the one in SHOP_NAME'),
    field('Logo', 'logo', { value: theme.logo }, 'a path on this site, or an https address'),
    colourFields('light', theme.light),
    colourFields('dark', theme.dark),
    ...texts,
    ...Object.entries(links).map(([kind, label]) =>
      field(label, `links.${kind}`, { value: theme.links[/** @type {keyof typeof links} */ (kind)] }),
    ),
    field('Currency of new sales', 'currency', { value: theme.currency, maxlength: '3' }),
  ];
  return openForm('The shop', lines, (read) => {
    const { textOf } = read;
    const colours = (/** @type {'light' | 'dark'} */ scheme) =>
      textOf(`${scheme}.own`) === ''
        ? null
        : Object.fromEntries(Object.keys(tokens).map((token) => [token, textOf(`${scheme}.${token}`)]));
    const codes = Object.keys(languages);
    return changeTheme({
      name: textOf('name'),
      logo: textOf('logo'),
      light: colours('light'),
      dark: colours('dark'),
      texts: Object.fromEntries(
        codes.map((code) => [
          code,
          { title: textOf(`texts.${code}.title`), lead: textOf(`texts.${code}.lead`) },
        ]),
      ),
      links: Object.fromEntries(Object.keys(links).map((kind) => [kind, textOf(`links.${kind}`)])),
      languages: codes.filter((code) => textOf(`offers.${code}`) !== ''),
      currency: textOf('currency'),
    });
  });
}

export function openShopView() {
  const facts = element('div');

  /** @param {Theme} theme */
  function draw(theme) {
    const colours = (/** @type {Colours | null} */ own) =>
      own ? Object.values(own).join(', ') : 'as they come';
    facts.replaceChildren(
      factList(
        [
          ['Name', theme.name || 'from SHOP_NAME'],
          ['Logo', theme.logo || 'none'],
          ['Colours', colours(theme.light)],
          ['On dark devices', theme.dark ? colours(theme.dark) : theme.light ? 'the same' : 'as they come'],
          ['Languages', theme.languages.map((code) => languages[code]).join(', ')],
          ['Links', Object.values(theme.links).filter(Boolean).join(', ') || 'none'],
          ['Currency of new sales', theme.currency],
        ],
        'theme',
      ),
    );
  }
  const change = action(
    'Change',
    async () => {
      const changed = await edit(await fetchTheme());
      if (!changed) return;
      draw(changed);
      toast('Pages show it within two seconds');
    },
    { class: 'primary compact', 'data-testid': 'change-theme' },
  );
  fetchTheme().then(draw, (error) => toast(errorText(error)));
  const title = isAtLeast('admin') ? heading('The shop', change) : heading('The shop');
  return { root: element('div', { class: 'stacked' }, title, facts) };
}
