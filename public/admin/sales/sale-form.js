/** The form for a sale's items, limit and window: of a new draft, a draft, or a published sale. */

/** @import { Product, SaleItem, SaleSnapshot } from '../../../sale/contract.ts' */
/** @import { Reader } from '../form.js' */

import { serverNow } from '../../shared/clock.js';
import { element, setText, show } from '../../shared/dom.js';
import { money, wholeSpan } from '../../shared/format.js';
import { moneyLocale } from '../../shared/language.js';
import {
  InputError,
  isCurrency,
  parseAmount,
  parseCurrency,
  parseWhole,
  typedAmount,
} from '../../shared/money.js';
import { changeSale, createDraft } from '../api.js';
import { field, fieldOf, longRow, openForm, row, timeField } from '../form.js';
import { texts } from '../texts.js';
import { botFields, readBotFields } from './bot-fields.js';
import { phaseFields } from './phases.js';
import { nameOf } from './sale-words.js';

const HOUR_MS = 3_600_000;
const MAX_ITEMS = 50;
/** A time that passed while the form was filled in is not worth a question. */
const JUST_PASSED_MS = 60_000;

const typed = { inputmode: 'decimal', autocomplete: 'off' };
// Not `type="number"`, because its reading of `1,500` depends on the browser's language.
const whole = { inputmode: 'numeric', autocomplete: 'off' };

const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;

const { saleForm: t } = texts;

/** @type {[value: string, label: string][]} */
export const cancelWindows = [
  ['0', t.untilOver],
  [String(HOUR), t.untilHour],
  [String(DAY), t.untilDay],
  [String(14 * DAY), t.untilDays(14)],
  ['', t.never],
];
/** @type {[value: string, label: string][]} */
export const paymentWindows = [
  ['0', texts.terms.notHere],
  ...[5, 10, 15, 30].map(
    (minutes) => /** @type {[string, string]} */ ([`${minutes * MINUTE}`, t.minutes(minutes)]),
  ),
  [String(HOUR), t.hour],
  [String(DAY), t.day],
];
/** @type {[value: string, label: string][]} */
const audiences = [
  ['', texts.terms.everybody],
  ['verified', texts.terms.verified],
];
/** @type {[value: string, label: string][]} */
const modes = [
  ['open', t.modes.open],
  ['room', t.modes.room],
  ['draw', t.modes.draw],
  ['draw+beacon', t.modes.beacon],
];
/** @type {[value: string, label: string][]} */
const returns = [
  ['', t.returnsToAll],
  ['list', t.returnsToList],
];
/** @type {[value: string, label: string][]} */
const languages = [
  ['', t.shopsLanguage],
  ['en', 'English'],
  ['de', 'Deutsch'],
  ['fr', 'Français'],
];

/** A time of these choices in their words, or of another length. @param {[value: string, label: string][]} choices @param {number} seconds */
export const spanOf = (choices, seconds) =>
  choices.find(([value]) => value === String(seconds))?.[1] ?? wholeSpan(seconds);

/**
 * A choice of one of these values; the present one is offered even when it is unusual.
 * @param {string} label @param {string} name @param {[value: string, label: string][]} choices @param {string} present
 * @param {string} hint
 */
function choiceField(label, name, choices, present, hint) {
  const isUsual = choices.some(([value]) => value === present);
  /** @type {[value: string, label: string][]} */
  const all = isUsual ? choices : [...choices, [present, t.secondsAsNow(present)]];
  const options = all.map(([value, text]) => element('option', { value, selected: value === present }, text));
  return fieldOf(label, element('select', { name }, ...options), hint);
}

/** How long after its end orders can be cancelled, in seconds; empty when only the shop cancels. @param {SaleSnapshot | null} sale */
function cancelWindowOf(sale) {
  if (!sale) return String(HOUR);
  const { cancellableUntil, closesAt } = sale;
  return cancellableUntil === null
    ? ''
    : String(Math.round((Date.parse(cancellableUntil) - Date.parse(closesAt)) / 1_000));
}

const isDraft = (/** @type {SaleSnapshot | null} */ sale) => sale === null || sale.status === 'draft';

/** How units are given out, and when lots are drawn. @param {SaleSnapshot | null} sale @param {number} drawAt */
function givingFields(sale, drawAt) {
  const mode = sale?.mode ?? 'open';
  const pace = field(
    t.pace,
    'roomPerMinute',
    { ...whole, value: String(sale?.roomPerMinute ?? '') },
    t.paceHint,
  );
  const url = { inputmode: 'url', maxlength: '2000', autocomplete: 'off' };
  const site = row(
    field(t.site, 'site.url', { ...url, value: sale?.site?.url ?? '' }, t.siteHint),
    field(t.inside, 'site.inside', { ...whole, value: String(sale?.site?.inside ?? 200) }, t.insideHint),
  );
  const time = timeField(t.drawAt, 'drawAt', sale?.drawAt ? Date.parse(sale.drawAt) : drawAt);
  time.append(element('span', { class: 'hint' }, t.drawHint));
  const returning = choiceField(
    t.returns,
    'returns',
    returns,
    sale?.waitingList ? 'list' : '',
    t.returnsHint,
  );
  const ofRoom = isDraft(sale) || sale?.site ? [pace, site] : [pace];
  if (!isDraft(sale)) return mode === 'room' ? ofRoom : [row(returning, ...(mode === 'draw' ? [time] : []))];
  const chosen = mode + (sale?.drawBeacon ? '+beacon' : '');
  const choice = choiceField(texts.terms.givenOut, 'mode', modes, chosen, t.modeHint);
  const select = choice.querySelector('select');
  const update = () => {
    show(time, select?.value.startsWith('draw') ?? false);
    for (const field of ofRoom) show(field, select?.value === 'room');
    show(returning, select?.value !== 'room');
  };
  select?.addEventListener('input', update);
  update();
  return [row(choice, returning), time, ...ofRoom];
}

/** What can be chosen only until the sale opens. @param {SaleSnapshot | null} sale @param {number} drawAt */
const earlyFields = (sale, drawAt) => [
  row(
    choiceField(
      t.timeToPay,
      'paymentWindowSeconds',
      paymentWindows,
      String(sale?.paymentWindowSeconds ?? 0),
      t.timeToPayHint,
    ),
    choiceField(
      texts.terms.whoMayBuy,
      'audience',
      audiences,
      sale?.requiresVerifiedEmail ? 'verified' : '',
      t.audienceHint,
    ),
  ),
  ...givingFields(sale, drawAt),
];

/**
 * @param {Reader} read @param {SaleSnapshot | null} sale
 * @param {{ opensAt: string | undefined, closesAt: string | undefined }} window
 */
function readEarly(read, sale, { opensAt, closesAt }) {
  const [mode, beacon] = (isDraft(sale) ? read.textOf('mode') : (sale?.mode ?? '')).split('+');
  const drawAt = mode === 'draw' ? read.readTime('drawAt', t.drawAt) : undefined;
  if (drawAt && ((opensAt && drawAt <= opensAt) || (closesAt && drawAt >= closesAt)))
    read.refuse('drawAt', texts.faultOf(t.drawAt, t.drawOutside));
  return {
    paymentWindowSeconds: Number(read.textOf('paymentWindowSeconds')),
    requiresVerifiedEmail: read.textOf('audience') === 'verified',
    language: read.textOf('language') || null,
    ...(isDraft(sale) && { mode, drawBeacon: beacon !== undefined }),
    ...(drawAt && { drawAt }),
    ...(mode === 'room' ? { ...paceIn(read), ...siteIn(read, sale) } : {}),
    waitingList: mode !== 'room' && read.textOf('returns') === 'list',
  };
}

/** @param {Reader} read */
function paceIn(read) {
  if (read.textOf('roomPerMinute') === '') return {};
  return { roomPerMinute: read.read('roomPerMinute', t.paceShort, parseWhole) };
}

/** @param {Reader} read @param {SaleSnapshot | null} sale */
function siteIn(read, sale) {
  const url = read.textOf('site.url');
  if (url !== '') return { site: { url, inside: read.read('site.inside', t.inside, parseWhole) } };
  return sale?.site ? { site: null } : {};
}

/**
 * @param {Product[]} products
 * @param {SaleSnapshot | null} sale null makes a draft
 * @returns {Promise<SaleSnapshot | null>}
 */
export function openSaleForm(products, sale) {
  if (products.length === 0) throw new Error(t.noProduct);
  const hasOpened = sale !== null && sale.status !== 'draft' && sale.status !== 'scheduled';
  const items = hasOpened ? fixedItems(sale) : itemFields(products, sale);
  const opensAt = sale ? Date.parse(sale.opensAt) : (Math.floor(serverNow() / HOUR_MS) + 1) * HOUR_MS;
  const closesAt = sale ? Date.parse(sale.closesAt) : opensAt + 24 * HOUR_MS;
  const phases = hasOpened ? null : phaseFields(sale, opensAt);
  const limitHint = hasOpened ? t.limitOnlyGrows : '';
  return openForm(
    sale ? t.editTitle : t.newTitle,
    [
      ...items.lines,
      field(t.limit, 'limitPerBuyer', { ...whole, value: String(sale?.limitPerBuyer ?? 1) }, limitHint),
      row(
        timeField(texts.terms.opens, 'opensAt', opensAt),
        timeField(texts.terms.ends, 'closesAt', closesAt),
      ),
      ...(phases ? [phases.root] : []),
      ...(hasOpened ? [] : earlyFields(sale, (opensAt + closesAt) / 2)),
      row(
        choiceField(t.cancelling, 'cancelWindow', cancelWindows, cancelWindowOf(sale), t.cancellingHint),
        ...(hasOpened
          ? []
          : [choiceField(t.language, 'language', languages, sale?.language ?? '', t.languageHint)]),
      ),
      ...botFields(sale),
    ],
    (read) => {
      const limitPerBuyer = read.read('limitPerBuyer', t.limit, parseWhole);
      const cancelWindow = read.textOf('cancelWindow');
      const window = readWindow(read, sale);
      const change = {
        ...items.read(read, limitPerBuyer),
        limitPerBuyer,
        ...window,
        ...(hasOpened ? {} : readEarly(read, sale, window)),
        ...(phases && { phases: phases.read(read, window) }),
        ...readBotFields(read, sale),
        cancelWindowSeconds: cancelWindow === '' ? null : Number(cancelWindow),
      };
      read.done();
      if (sale) return changeSale(sale.id, change);
      const { language, ...others } = /** @type {typeof change & { language?: string | null }} */ (change);
      return createDraft(language ? { ...others, language } : others);
    },
  );
}

/** @param {Reader} read @param {SaleSnapshot | null} sale */
function readWindow(read, sale) {
  const now = serverNow();
  const opensAt = read.readTime('opensAt', texts.terms.opens);
  const closesAt = read.readTime('closesAt', texts.terms.ends);
  if (opensAt && closesAt && opensAt >= closesAt)
    read.refuse('closesAt', texts.faultOf(texts.terms.ends, t.afterOpening));
  else if (closesAt && Date.parse(closesAt) <= now && closesAt !== sale?.closesAt)
    read.refuse('closesAt', texts.faultOf(texts.terms.ends, t.notPassed));
  if (opensAt && opensAt !== sale?.opensAt && Date.parse(opensAt) < now - JUST_PASSED_MS) {
    read.ask('opensAt', isDraft(sale) ? t.opensOnceOut : t.opensAtOnce);
  }
  return { opensAt, closesAt };
}

const limitOf = (/** @type {SaleItem} */ { id }) => `limit.${id}`;

/** What cannot be changed any more, with the reason. @param {SaleSnapshot} sale */
function fixedItems(sale) {
  const lines = sale.items.map((item) => element('li', {}, `${nameOf(item)}: ${money(item.price)}`));
  // The only item has the limit of the sale.
  const limited = sale.items.length > 1 ? sale.items : [];
  const limits = limited.map((item) =>
    field(t.ownLimitOf(nameOf(item)), limitOf(item), {
      ...whole,
      ...{ placeholder: t.noLimit, value: String(item.limitPerBuyer ?? '') },
    }),
  );
  return {
    lines: [
      element('ul', { class: 'fixed' }, ...lines),
      element('p', { class: 'hint' }, t.fixedItems),
      ...(limits.length > 0 ? [longRow(...limits), element('p', { class: 'hint' }, t.onlyRaised)] : []),
    ],
    /** @param {Reader} read */
    read(read) {
      const itemLimits = limited.flatMap((item) => {
        const text = read.textOf(limitOf(item));
        const limitPerBuyer = text === '' ? null : read.read(limitOf(item), t.ownLimit, parseWhole);
        if ((limitPerBuyer ?? Number.POSITIVE_INFINITY) < (item.limitPerBuyer ?? Number.POSITIVE_INFINITY))
          read.refuse(limitOf(item), texts.faultOf(t.ownLimit, t.atLeast(item.limitPerBuyer)));
        return limitPerBuyer === item.limitPerBuyer ? [] : [{ itemId: item.id, limitPerBuyer }];
      });
      return itemLimits.length > 0 ? { itemLimits } : {};
    },
  };
}

/** @param {Product[]} products @param {SaleSnapshot | null} sale */
function itemFields(products, sale) {
  const rows = element('div', { class: 'item-rows' });
  const options = Intl.supportedValuesOf('currency').map((value) => element('option', { value }));
  const currency = field(t.currency, 'currency', {
    ...{
      value: sale?.price.currency ?? document.documentElement.dataset.currency ?? 'EUR',
      maxlength: '3',
      autocomplete: 'off',
      list: 'currencies',
    },
  });
  const add = element('button', { type: 'button', class: 'small', 'data-testid': 'add-item' }, t.addItem);
  const currencyNow = () => currency.querySelector('input')?.value.trim() ?? '';

  /** Names the fields by the place of their row, as the server does in its problems. */
  function number() {
    const all = [...rows.children];
    all.forEach((one, n) => {
      for (const input of one.querySelectorAll('[data-field]'))
        input.setAttribute('name', `items.${n}.${input.getAttribute('data-field')}`);
      one.querySelector('legend')?.replaceChildren(all.length > 1 ? t.itemNumber(n + 1) : texts.words.item);
      const remove = one.querySelector('.remove');
      if (remove instanceof HTMLElement) show(remove, all.length > 1);
    });
    add.disabled = all.length >= MAX_ITEMS;
  }

  /** @param {SaleItem | null} item */
  function addRow(item) {
    rows.append(itemRow(products, item, currencyNow, number));
    number();
  }
  add.addEventListener('click', () => {
    addRow(null);
    rows.lastElementChild?.querySelector('select')?.focus();
  });
  currency.addEventListener('input', () => {
    for (const price of rows.querySelectorAll('[data-field="price"]'))
      price.dispatchEvent(new Event('input'));
  });
  for (const item of sale ? sale.items : [null]) addRow(item);

  return {
    lines: [rows, row(add, currency), element('datalist', { id: 'currencies' }, ...options)],
    /** @param {Reader} read @param {number | undefined} limit */
    read(read, limit) {
      const code = read.read('currency', t.currency, parseCurrency);
      const list = [...rows.children].map((one, n) => readItem(read, n, code, one.getAttribute('data-id')));
      const stock = list.reduce((sum, item) => sum + (item.stock ?? 0), 0);
      if (limit !== undefined && list.every((item) => item.stock !== undefined) && limit > stock)
        read.refuse('limitPerBuyer', texts.faultOf(t.limit, t.atMostUnits(stock)));
      // Every price of 0 was confirmed beside its field.
      return { items: list, free: true };
    },
  };
}

/** @param {Product[]} products @param {SaleItem | null} item @param {() => string} currencyNow @param {() => void} onRemoved */
function itemRow(products, item, currencyNow, onRemoved) {
  const choices = products.map(({ id, name }) =>
    element('option', { value: id, selected: id === item?.product.id }, name),
  );
  const understood = element('span', {
    class: 'hint understood',
    role: 'status',
    'data-testid': 'parsed-price',
  });
  const price = field(texts.words.price, '', {
    ...typed,
    ...{ 'data-field': 'price', value: item ? typedAmount(item.price, moneyLocale) : '', placeholder: '149' },
  });
  price.querySelector('input')?.addEventListener('input', ({ target }) => {
    setText(understood, understoodAs(/** @type {HTMLInputElement} */ (target).value, currencyNow()));
  });
  price.querySelector('.beside')?.before(understood);
  const remove = element('button', { type: 'button', class: 'small danger remove' }, texts.words.remove);
  const root = element(
    'fieldset',
    { class: 'item-row', 'data-id': item?.id },
    element('legend', {}, texts.words.item),
    row(
      fieldOf(texts.words.product, element('select', { 'data-field': 'productId' }, ...choices)),
      field(t.label, '', {
        ...{
          'data-field': 'label',
          maxlength: '40',
          autocomplete: 'off',
          placeholder: t.labelExample,
        },
        value: item?.label ?? '',
      }),
    ),
    row(
      price,
      field(t.oldPrice, '', {
        ...typed,
        ...{ 'data-field': 'oldAmount', placeholder: t.optional },
        value: item?.oldPrice ? typedAmount(item.oldPrice, moneyLocale) : '',
      }),
      field(texts.words.units, '', {
        ...whole,
        'data-field': 'stock',
        value: String(item?.unitsOnSale ?? 100),
      }),
      field(t.ownLimit, '', {
        ...whole,
        ...{
          'data-field': 'limitPerBuyer',
          placeholder: t.noLimit,
          value: String(item?.limitPerBuyer ?? ''),
        },
      }),
    ),
    remove,
  );
  remove.addEventListener('click', () => {
    root.remove();
    onRemoved();
  });
  return root;
}

/** How the typed price is read; empty while it cannot be. @param {string} text @param {string} currency */
function understoodAs(text, currency) {
  if (text.trim() === '' || !isCurrency(currency)) return '';
  try {
    return money({ amount: parseAmount(text, currency, moneyLocale), currency });
  } catch (error) {
    if (error instanceof InputError) return '';
    throw error;
  }
}

/** @param {Reader} read @param {number} n @param {string | undefined} currency @param {string | null} id */
function readItem(read, n, currency, id) {
  const at = (/** @type {string} */ name) => `items.${n}.${name}`;
  const amountOf = (/** @type {string} */ text) => parseAmount(text, currency ?? 'EUR', moneyLocale);
  const optional = (
    /** @type {string} */ name,
    /** @type {string} */ label,
    /** @type {(text: string) => number} */ parse,
  ) => (read.textOf(at(name)) === '' ? null : read.read(at(name), label, parse));
  const amount = read.read(at('price'), texts.words.price, amountOf);
  const oldAmount = optional('oldAmount', t.oldPrice, amountOf);
  const stock = read.read(at('stock'), texts.words.units, parseWhole);
  const limitPerBuyer = optional('limitPerBuyer', t.ownLimit, parseWhole);
  if (amount === 0) read.ask(at('price'), t.free);
  if (typeof oldAmount === 'number' && amount !== undefined && oldAmount <= amount)
    read.refuse(at('oldAmount'), texts.faultOf(t.oldPrice, t.moreThanPrice));
  if (typeof limitPerBuyer === 'number' && stock !== undefined && limitPerBuyer > stock)
    read.refuse(at('limitPerBuyer'), texts.faultOf(t.ownLimit, t.atMostStock));
  return {
    ...(id ? { id } : {}),
    productId: read.textOf(at('productId')),
    label: read.textOf(at('label')),
    price: { amount, currency },
    oldAmount,
    stock,
    limitPerBuyer,
  };
}
