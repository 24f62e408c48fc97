import { drawInWords } from '../../public/draws/draw-words.js';
import { accessView } from '../../public/sale/access-view.js';
import { statusNow } from '../../public/sale/buy-state.js';
import { placeView } from '../../public/sale/place-view.js';
import { roomView } from '../../public/sale/room-view.js';
import { pictureSizes, smallPicture } from '../../public/shared/formats.js';
import { hasSeveralProducts, itemName, itemsOf, lowestPrice, saleName } from '../../public/shared/items.js';
import { languageNames } from '../../public/shared/language.js';
import { decimalOf } from '../../public/shared/money.js';
import { mongoClock } from '../../runtime/clock.ts';
import type { Draw, SaleItem, SaleSnapshot, SaleStatus } from '../../sale/contract.ts';
import { Html, html, type Values } from './html.ts';
import type { PageContext } from './page-context.ts';

/*
 * What a page shows before its script runs, in the same elements that the script fills afterwards (public/sale/sale-view.js,
 * public/list/sales-page.js), so that nothing moves then.
 */

const hiddenUnless = (isShown: boolean) => new Html(isShown ? '' : 'hidden');
const isOver = (status: SaleStatus) => status === 'ended' || status === 'called_off';
export const leadsOn = (status: SaleStatus) => isOver(status) || status === 'sold_out';

/** The page of a sale that is not known yet, which its script fills. */
export const unknownSale = ({ shop }: PageContext): Values => ({
  title: shop.name,
  openGraph: '',
  saleState: new Html('data-loading'),
  picture: new Html('<img id="image" alt="" width="800" height="800" hidden>'),
  gallery: '',
  noGallery: hiddenUnless(false),
  ...{ status: '', name: '…', price: '', oldPrice: '', saving: '', description: '', stock: '', units: '' },
  noOldPrice: hiddenUnless(false),
  ...{ momentLabel: '', moment: '', opening: '', opensAt: '', openingHere: '', calendar: '' },
  notScheduled: hiddenUnless(false),
  ...{ items: '', wideItems: '', noItems: hiddenUnless(false) },
  noStepper: hiddenUnless(true),
  ...{ buyState: '', buy: '', note: '', second: '', noSecond: hiddenUnless(false) },
  noOthers: hiddenUnless(false),
  ...{ noBuy: '', noNote: '', access: '', place: '', placeButton: '', snapshot: '' },
});

/** @param address of the page, as others see it. */
export function viewOfSale(sale: SaleSnapshot, address: string, context: PageContext): Values {
  const { texts, formats, shop } = context;
  const { product, stock, unitsOnSale, limitPerBuyer, opensAt, closesAt } = sale;
  const now = Date.parse(sale.serverTime);
  const status = statusNow(sale, now);
  const isScheduled = status === 'scheduled';
  const { price, isOnly } = lowestPrice(sale);
  const oldPrice = isOnly ? sale.oldPrice : null;
  const shownPrice = isOnly ? formats.money(price) : texts.from(formats.money(price));
  const images = product.images;
  const target = Date.parse(isScheduled ? opensAt : closesAt);
  const overLabel = status === 'ended' ? texts.endedAt : texts.saleStatus.called_off;
  const second = isScheduled ? texts.signInEarly : '';
  return {
    title: `${saleName(sale)} · ${shop.name}`,
    openGraph: openGraphOf(sale, shownPrice, address, context),
    saleState: html`data-status="${status}"${new Html(sale.site ? ' data-site' : '')}`,
    picture: pictureOf(product.image, product.name),
    gallery: new Html(images.map((path, at) => thumbnailOf(path, at, context).text).join('')),
    noGallery: hiddenUnless(images.length > 1),
    status: texts.saleStatus[status],
    name: saleName(sale),
    price: shownPrice,
    oldPrice: oldPrice ? formats.money(oldPrice) : '',
    saving: oldPrice ? formats.percent(price.amount / oldPrice.amount - 1) : '',
    noOldPrice: hiddenUnless(oldPrice !== null),
    description: product.description,
    stock: formats.number(stock),
    units: texts.unitsOf(formats.number(unitsOnSale)),
    momentLabel: isScheduled ? texts.opensIn : isOver(status) ? overLabel : texts.endsIn,
    moment: isOver(status) ? formats.dateTime(Math.min(target, now)) : formats.countdown(target - now),
    opening: formats.moment(opensAt),
    opensAt: isScheduled ? opensAt : '',
    openingHere: texts.openingHere('{}'),
    calendar: `/sales/${encodeURIComponent(sale.id)}/calendar.ics`,
    notScheduled: hiddenUnless(isScheduled),
    ...pickerOf(sale, context),
    noStepper: hiddenUnless(limitPerBuyer > 1 && !leadsOn(status) && sale.mode !== 'room'),
    ...buttonOf(sale, status, context),
    access: accessOf(sale, { status, now }, context),
    ...placeOf(sale, { status, now }, context),
    snapshot: snapshotOf(sale),
    second,
    noSecond: hiddenUnless(second !== ''),
    noOthers: hiddenUnless(leadsOn(status)),
  };
}

function openGraphOf(sale: SaleSnapshot, price: string, address: string, context: PageContext): Html {
  const { product } = sale;
  const { texts, formats, shop, reader } = context;
  const status = texts.saleStatus[statusNow(sale, Date.parse(sale.serverTime))];
  const told = product.description.replace(/\s+/g, ' ').slice(0, 200);
  const description = [sale.site ? '' : price, status, told].filter(Boolean).join(' · ');
  const picture = product.image && new URL(product.image, address).href;
  const lowest = lowestPrice(sale).price;
  const properties = {
    'og:type': 'product',
    'og:site_name': shop.name,
    'og:title': sale.site ? saleName(sale) : `${saleName(sale)} · ${formats.money(lowest)}`,
    'og:description': description,
    'og:url': address,
    ...(picture && { 'og:image': picture, 'og:image:alt': product.name }),
    'og:locale': reader.locale.replace('-', '_'),
    ...(!sale.site && {
      'product:price:amount': decimalOf(lowest),
      'product:price:currency': lowest.currency,
    }),
  };
  const tags = Object.entries(properties).map(
    ([name, content]) => html`\n    <meta property="${name}" content="${content}">`,
  );
  return html`<meta name="description" content="${description}">${tags}
    <meta name="twitter:card" content="${picture ? 'summary_large_image' : 'summary'}">
    <link rel="canonical" href="${address}">`;
}

function pictureOf(path: string, name: string): Html {
  if (!path) return new Html('<img id="image" alt="" width="800" height="800" hidden>');
  const sizes = pictureSizes(path);
  const several = sizes ? html` srcset="${sizes}" sizes="(max-width: 719px) 100vw, 50vw"` : new Html('');
  return html`<img id="image" alt="${name}" width="800" height="800" fetchpriority="high"${several} src="${path}">`;
}

function thumbnailOf(path: string, at: number, { texts }: PageContext): Html {
  return html`<button type="button" disabled aria-label="${texts.picture(at + 1)}" aria-pressed="${String(at === 0)}"><img src="${smallPicture(path)}" alt="" width="56" height="56" loading="lazy"></button>`;
}

/** Labels up to this length fit in a narrow column. */
const shortLabel = 9;

function pickerOf(sale: SaleSnapshot, context: PageContext): Values {
  const items = itemsOf(sale);
  const isPictured = hasSeveralProducts(sale);
  const isPriced = !lowestPrice(sale).isOnly;
  const isWide = isPictured || items.some(({ label }) => label.length > shortLabel);
  const options = items.map((item) => optionOf(sale, item, { isPictured, isPriced }, context).text);
  return {
    items: new Html(items.length > 1 ? options.join('') : ''),
    wideItems: new Html(isWide ? 'data-wide' : ''),
    noItems: hiddenUnless(items.length > 1),
  };
}

function optionOf(
  sale: SaleSnapshot,
  item: SaleItem,
  { isPictured, isPriced }: { isPictured: boolean; isPriced: boolean },
  { texts, formats }: PageContext,
): Html {
  const { product, price, stock } = item;
  const picture = product.image
    ? html`<img src="${smallPicture(product.image)}" alt="" width="44" height="44">`
    : html`<span class="item-picture"></span>`;
  const left = stock === 0 ? texts.saleStatus.sold_out : texts.itemLeft(stock, formats.number(stock));
  return html`<label class="item" ${new Html(stock === 0 ? 'data-out' : '')}><input type="radio" name="item" value="${item.id}" disabled>${isPictured ? picture : ''}<span class="item-name" dir="auto">${itemName(sale, item)}</span><span class="item-facts">${isPriced ? html`<span class="item-price">${formats.money(price)}</span>` : ''}<span>${left}</span></span></label>`;
}

/** The button does nothing until the script runs, which also knows who presses it. */
function buttonOf(sale: SaleSnapshot, status: SaleStatus, { texts, formats }: PageContext): Values {
  const limit = sale.limitPerBuyer > 1 ? texts.limitNote(sale.limitPerBuyer) : '';
  const isChoice = itemsOf(sale).length > 1;
  const open = isChoice ? texts.buyChoose : texts.buy(1, formats.money(sale.price));
  const buttons: Record<SaleStatus, [buyState: string, buy: string, note: string]> = {
    draft: ['loading', '', ''],
    open: ['loading', open, limit],
    scheduled: ['soon', texts.buySoon, texts.noteSoon],
    paused: ['paused', texts.buyPaused, texts.notePaused],
    sold_out: ['sold-out', texts.buySoldOut, texts.noteSoldOut],
    ended: ['ended', texts.buyEnded, texts.noteEnded],
    called_off: ['called-off', texts.buyCalledOff, texts.noteCalledOff],
  };
  const [buyState, buy, note] = buttons[status];
  return { buyState, buy, note };
}

/** From which the script starts. A browser does not run it, and no text in it can end it. */
const snapshotOf = (shown: SaleSnapshot | (Draw & { serverTime: string })) =>
  new Html(
    `<script type="application/json" id="snapshot">${JSON.stringify(shown).replaceAll('<', '\\u003c')}</script>`,
  );

/** In a draw and outside a waiting room nobody presses Buy: the place's words and button are where the script puts them, the button where Buy would be. */
function placeOf(
  sale: SaleSnapshot,
  { status, now }: { status: SaleStatus; now: number },
  { texts, formats }: PageContext,
): Values {
  const noBuy = hiddenUnless((sale.mode ?? 'open') === 'open');
  const view = { sale, choice: null, status, now };
  const inRoom = () => roomView(view, null, null, null, { texts, clock: formats.shortCountdown });
  const inDraw = () => placeView(view, null, { texts, dateTime: formats.dateTime });
  const seen = sale.mode === 'room' ? inRoom() : sale.mode === 'draw' ? inDraw() : null;
  if (!seen) return { noBuy, noNote: '', place: '', placeButton: '' };
  const button = seen.action
    ? html`<button id="place-button" type="button" class="primary" aria-disabled="true">${sale.site ? texts.signIn : texts.buySignIn}</button>`
    : '';
  const isRoom = sale.mode === 'room';
  const check = isRoom ? texts.room.check : texts.place.check;
  const note = isRoom ? html`<p class="muted room-note"></p>` : '';
  const place = html`<section id="place" class="order place" aria-labelledby="place-text"><p id="place-text" role="status">${seen.text}</p>${note}<a href="/draws/${encodeURIComponent(sale.id)}">${check}</a></section>`;
  return { noBuy, noNote: hiddenUnless(false), place, placeButton: button };
}

/** Who may buy when; the script adds what only the buyer's own time tells. */
function accessOf(
  sale: SaleSnapshot,
  { status, now }: { status: SaleStatus; now: number },
  { texts, formats }: PageContext,
): Html | string {
  const stranger = { access: null, isSignedIn: false, isVerified: false, now };
  const seen = accessView(sale, stranger, { texts, dateTime: formats.dateTime });
  if (!seen || isOver(status)) return '';
  const t = texts.access;
  const lines = seen.phases.map(
    ({ name, who, when, isNow }) =>
      html`<li ${new Html(isNow ? 'data-now' : '')}><strong>${name}</strong>${who ? html`<span>${who}</span>` : ''}<span class="phase-when">${isNow ? t.now : when}</span></li>`,
  );
  const form = html`<form class="code-form"><label for="code">${t.codeLabel}</label><input id="code" disabled><button class="quiet" disabled>${t.useCode}</button></form>`;
  return html`<section id="access" class="access" aria-label="${t.title}"><ol class="phases">${lines}</ol>${seen.asksCode ? form : ''}<p class="access-text">${seen.text}</p></section>`;
}

/** @param draw null when there is none, undefined when MongoDB does not answer: then the page's script says so. */
export function viewOfDraw(draw: Draw | null | undefined, saleId: string, context: PageContext): Values {
  const { texts, formats, shop } = context;
  const { title, download, recompute } = texts.draws;
  const now = mongoClock.now().getTime();
  const told = draw && drawInWords(draw, now, { texts, dateTime: formats.dateTime });
  return {
    title: `${title} · ${shop.name}`,
    heading: title,
    steps: new Html(told ? told.steps.map((step) => html`<p>${step}</p>`.text).join('') : ''),
    countdown: told?.leftMs ? formats.countdown(told.leftMs) : '',
    noCountdown: hiddenUnless(Boolean(told?.leftMs)),
    verdict: told?.verdict ?? '',
    notDrawn: hiddenUnless(draw?.state === 'drawn'),
    ...{ recompute, download, toSale: texts.toSale },
    sale: encodeURIComponent(saleId),
    snapshot: draw ? snapshotOf({ ...draw, serverTime: new Date(now).toISOString() }) : '',
  };
}

/** The languages among which a buyer chooses on the account's page. */
export function viewOfAccount({ reader, shop }: PageContext): Values {
  const options = shop.theme.languages.map(
    (code) =>
      html`<option value="${code}" lang="${code}"${new Html(code === reader.language ? ' selected' : '')}>${languageNames[code]}</option>`,
  );
  return { languages: html`${options}` };
}

/** How many sales the list shows before its script runs. */
const firstCards = 24;

export function viewOfList(sales: SaleSnapshot[] | undefined, { texts, formats, shop }: PageContext): Values {
  const groups: [title: string, holds: SaleStatus[]][] = [
    [texts.groupLive, ['open', 'paused', 'sold_out']],
    [texts.groupSoon, ['scheduled']],
    [texts.groupEnded, ['ended', 'called_off']],
  ];
  const first = (sales ?? []).slice(0, firstCards);
  const sections = groups.flatMap(([title, holds]) => {
    const cards = first.filter((sale) => holds.includes(statusOf(sale)));
    if (cards.length === 0) return [];
    return [
      html`<section><h2>${title}</h2><ul class="cards">${cardsOf(cards, { texts, formats })}</ul></section>`,
    ];
  });
  return {
    sales: new Html(sections.map(({ text }) => text).join('')),
    notEmpty: hiddenUnless(sales?.length === 0),
    openGraph: html`<meta name="description" content="${texts.salesLead}">
    <meta property="og:title" content="${shop.name}">
    <meta property="og:description" content="${texts.salesLead}">`,
  };
}

const statusOf = (sale: SaleSnapshot) => statusNow(sale, Date.parse(sale.serverTime));

/** The sales to which a page leads on. They stay as they are, so nothing is said that soon is not true. */
export function viewOfOthers(
  sales: SaleSnapshot[] | undefined,
  { except, isShown }: { except?: string; isShown: boolean },
  context: PageContext,
): Values {
  const others = (sales ?? []).filter(
    (sale) => sale.id !== except && ['open', 'scheduled'].includes(statusOf(sale)),
  );
  const shown = others.slice(0, 3);
  return {
    others: cardsOf(shown, context, { isLive: false }),
    noOthers: hiddenUnless(isShown && shown.length > 0),
  };
}

const cardsOf = (
  sales: SaleSnapshot[],
  context: Pick<PageContext, 'texts' | 'formats'>,
  { isLive } = { isLive: true },
) => new Html(sales.map((sale) => cardOf(sale, context, isLive).text).join(''));

function cardOf(
  sale: SaleSnapshot,
  { texts, formats }: Pick<PageContext, 'texts' | 'formats'>,
  isLive: boolean,
): Html {
  const now = Date.parse(sale.serverTime);
  const status = statusOf(sale);
  const moments: Partial<Record<SaleStatus, string>> = {
    scheduled: `${texts.opensIn} ${formats.countdown(Date.parse(sale.opensAt) - now)}`,
    ended: `${texts.endedAt} ${formats.dateTime(Math.min(Date.parse(sale.closesAt), now))}`,
    called_off: formats.dateTime(sale.closesAt),
  };
  const { image } = sale.product;
  const picture = image
    ? html`<img src="${smallPicture(image)}" alt="" width="400" height="400" loading="lazy">`
    : html`<span class="no-picture"></span>`;
  const { price, isOnly } = lowestPrice(sale);
  const oldPrice = isOnly ? sale.oldPrice : null;
  const before = oldPrice ? html`<s class="muted">${formats.money(oldPrice)}</s> ` : '';
  const shown = isOnly ? formats.money(price) : texts.from(formats.money(price));
  // Nothing is sold in front of another site.
  const priced = sale.site ? '' : html`<p class="card-price">${before}${shown}</p>`;
  const stock = sale.site
    ? ''
    : texts.stockLine(formats.number(sale.stock), formats.number(sale.unitsOnSale));
  const live = html`<div class="card-live"><span class="chip" data-status="${status}">${texts.saleStatus[status]}</span><span>${moments[status] ?? stock}</span>${itemsLine(sale, { texts, formats })}</div>`;
  return html`<li class="card" data-status="${status}"><div class="card-stage">${picture}</div><div class="card-text"><a href="/sales/${encodeURIComponent(sale.id)}" dir="auto">${saleName(sale)}</a>${priced}${isLive ? live : ''}</div></li>`;
}

const shownItems = 12;

function itemsLine(sale: SaleSnapshot, { texts, formats }: Pick<PageContext, 'texts' | 'formats'>): Html {
  const items = itemsOf(sale);
  if (items.length < 2 || sale.site) return new Html('');
  const names = items.slice(0, shownItems).map((item) => {
    const name = itemName(sale, item);
    if (item.stock > 0) return html`<span dir="auto">${name}</span>`;
    return html`<s dir="auto">${name}<span class="visually-hidden"> ${texts.saleStatus.sold_out}</span></s>`;
  });
  const more = items.length - names.length;
  return html`<p class="card-items" data-testid="card-items">${names}${more > 0 ? html`<span>+${formats.number(more)}</span>` : ''}</p>`;
}
