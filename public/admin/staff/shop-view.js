/** How the shop looks to its buyers: name, logo, colours, texts, links, languages and currency. */

/** @import { Colours, Theme } from '../../../catalogue/theme.ts' */

import { element } from '../../shared/dom.js';
import { toast } from '../../shared/toast.js';
import { action, factList, heading } from '../components.js';
import { field, openForm, row } from '../form.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';
import { isAtLeast } from './roles.js';
import { changeTheme, fetchTheme } from './staff-api.js';

const { shop: t } = texts;
const { languages, links, tokens, schemes } = t;
/** Where a choice of own colours begins: the colours as they come. */
const usual = {
  light: { accent: '#d4321a', ground: '#f5f3ee', surface: '#ffffff', ink: '#16171a' },
  dark: { accent: '#ff6242', ground: '#0f1013', surface: '#191b20', ink: '#f3f1ec' },
};

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
    element('label', { class: 'check' }, own, t.useThese),
    row(...fields),
  );
}

/** @param {Theme} theme */
function edit(theme) {
  const ofLanguages = Object.entries(languages).flatMap(([code, name]) => {
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
          t.isOffered,
        ),
        field(t.listTitle, `texts.${code}.title`, { value: title, maxlength: '100' }),
        field(t.listLead, `texts.${code}.lead`, { value: lead, maxlength: '300' }),
      ),
    ];
  });
  const lines = [
    field(texts.words.name, 'name', { value: theme.name, maxlength: '100' }, t.nameHint),
    field(t.logo, 'logo', { value: theme.logo }, t.logoHint),
    colourFields('light', theme.light),
    colourFields('dark', theme.dark),
    ...ofLanguages,
    ...Object.entries(links).map(([kind, label]) =>
      field(label, `links.${kind}`, { value: theme.links[/** @type {keyof typeof links} */ (kind)] }),
    ),
    field(t.currency, 'currency', { value: theme.currency, maxlength: '3' }),
  ];
  return openForm(t.title, lines, (read) => {
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
      own ? Object.values(own).join(', ') : t.asTheyCome;
    facts.replaceChildren(
      factList(
        [
          [texts.words.name, theme.name || t.fromSetting],
          [t.logo, theme.logo || t.none],
          [t.colours, colours(theme.light)],
          [t.onDark, theme.dark ? colours(theme.dark) : theme.light ? t.theSame : t.asTheyCome],
          [t.languagesLabel, theme.languages.map((code) => languages[code]).join(', ')],
          [t.linksLabel, Object.values(theme.links).filter(Boolean).join(', ') || t.none],
          [t.currency, theme.currency],
        ],
        'theme',
      ),
    );
  }
  const change = action(
    texts.words.change,
    async () => {
      const changed = await edit(await fetchTheme());
      if (!changed) return;
      draw(changed);
      toast(t.changed);
    },
    { class: 'primary compact', 'data-testid': 'change-theme' },
  );
  fetchTheme().then(draw, (error) => toast(errorText(error)));
  const title = isAtLeast('admin') ? heading(t.title, change) : heading(t.title);
  return { root: element('div', { class: 'stacked' }, title, facts) };
}
