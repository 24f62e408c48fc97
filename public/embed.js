/**
 * `<stampede-stock sale="…">`: a custom element that shows a sale's stock on any other site.
 *
 *     <script type="module" src="https://the-shop/embed.js"></script>
 *     <stampede-stock sale="the sale's id"></stampede-stock>
 *
 * One file without imports, which polls the shop it was loaded from while it is visible. It inherits the page's colours
 * and font; `--stampede-accent` sets the colour of the bar. While the shop cannot be reached it keeps the last stock.
 */

const shop = new URL(import.meta.url).origin;
const POLL_MS = 5_000;
const POLL_WHEN_ENDED_MS = 60_000;

const styles = `
  :host { display: inline-block; min-width: 220px; font: inherit; }
  :host([hidden]) { display: none; }
  a { display: grid; gap: 6px; color: inherit; text-decoration: none; }
  .line { display: flex; justify-content: space-between; gap: 16px; }
  .name { font-weight: 700; overflow-wrap: anywhere; }
  .left { font-variant-numeric: tabular-nums; }
  .items { display: flex; flex-wrap: wrap; gap: 2px 10px; font-size: .85em; }
  .items .spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  [hidden] { display: none; }
  .bar { height: 6px; border-radius: 3px; background: color-mix(in srgb, currentcolor 14%, transparent); overflow: hidden; }
  .bar div { width: 0; height: 100%; border-radius: 3px; background: var(--stampede-accent, #d4321a); transition: width .35s; }
  @media (prefers-reduced-motion: reduce) { .bar div { transition: none; } }`;

const words = {
  en: {
    left: 'left',
    room: 'Waiting room open',
    missing: 'There is no such sale.',
    scheduled: 'Opens soon',
    paused: 'Paused',
    sold_out: 'Sold out',
    ended: 'Ended',
    called_off: 'Called off',
  },
  de: {
    left: 'noch da',
    room: 'Warteraum offen',
    missing: 'Dieses Angebot gibt es nicht.',
    scheduled: 'Beginnt bald',
    paused: 'Unterbrochen',
    sold_out: 'Ausverkauft',
    ended: 'Beendet',
    called_off: 'Abgesagt',
  },
  fr: {
    left: 'restants',
    room: 'Salle d’attente ouverte',
    missing: 'Cette vente n’existe pas.',
    scheduled: 'Bientôt',
    paused: 'En pause',
    sold_out: 'Épuisé',
    ended: 'Terminée',
    called_off: 'Annulée',
  },
};
/** @typedef {keyof typeof words} Language */
/** @import { SaleSnapshot } from '../sale/contract.ts' */

const SHOWN_ITEMS = 12;

class StampedeStock extends HTMLElement {
  static observedAttributes = ['sale'];

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #root = this.attachShadow({ mode: 'open' });
  #isVisible = false;
  #visibility = new IntersectionObserver(([entry]) => {
    this.#isVisible = entry?.isIntersecting ?? false;
    if (this.#isVisible) this.#refresh();
  });

  connectedCallback() {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles);
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.innerHTML =
      '<a><span class="line"><span class="name" dir="auto">…</span><span class="left"></span></span><div class="bar"><div></div></div><span class="items" hidden></span></a>';
    this.#visibility.observe(this);
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#visibility.disconnect();
  }

  attributeChangedCallback() {
    if (this.#isVisible) this.#refresh();
  }

  async #refresh() {
    clearTimeout(this.#timer);
    let isOver = false;
    try {
      const id = this.getAttribute('sale') ?? '';
      const response = await fetch(`${shop}/api/sales/${encodeURIComponent(id)}`, { credentials: 'omit' });
      // The attribute may name another sale by now, which is fetched as well.
      if (id !== (this.getAttribute('sale') ?? '')) return;
      if (response.ok) isOver = this.#draw(await response.json());
      else if (response.status === 404 || response.status === 400) this.#drawMissing();
    } catch {
      // The shop cannot be reached, so the last stock stays.
    }
    clearTimeout(this.#timer);
    if (!this.#isVisible || !this.isConnected) return;
    this.#timer = setTimeout(
      () => this.#refresh(),
      (isOver ? POLL_WHEN_ENDED_MS : POLL_MS) * (0.8 + Math.random() * 0.4),
    );
  }

  /** @param {string} name @returns {HTMLElement} */
  #part(name) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(name));
  }

  /** The language of the page or of the reader, when there are words in it. @returns {Language} */
  #language() {
    const tag = (this.closest('[lang]')?.getAttribute('lang') || navigator.language)
      .slice(0, 2)
      .toLowerCase();
    return Object.hasOwn(words, tag) ? /** @type {Language} */ (tag) : 'en';
  }

  #drawMissing() {
    this.#part('a').removeAttribute('href');
    this.#part('.name').textContent = words[this.#language()].missing;
    this.#part('.left').textContent = '';
    this.#part('.bar').hidden = true;
    this.#part('.items').hidden = true;
  }

  /** @param {SaleSnapshot} sale @returns {boolean} whether the sale has ended */
  #draw({ id, product, status, stock, unitsOnSale, items = [], site }) {
    const language = this.#language();
    const say = words[language];
    this.#part('a').setAttribute('href', `${shop}/sales/${encodeURIComponent(id)}`);
    this.#part('.name').textContent = product.name;
    // In front of another site nothing is sold here, so there is no stock to tell.
    const open = site ? say.room : `${new Intl.NumberFormat(language).format(stock)} ${say.left}`;
    this.#part('.left').textContent = status === 'open' || status === 'draft' ? open : say[status];
    this.#part('.bar').hidden = site !== undefined;
    this.#part('.bar div').style.width = `${(100 * stock) / Math.max(1, unitsOnSale)}%`;
    this.#drawItems(site ? [] : items);
    return status === 'ended' || status === 'called_off';
  }

  /** The names of several items, of which those that are sold out are struck through. @param {SaleSnapshot['items']} items */
  #drawItems(items) {
    const several = items.length > 1 ? items : [];
    const isOneProduct = items.every(({ product }) => product.id === items[0]?.product.id);
    const names = several.slice(0, SHOWN_ITEMS).map(({ label, product, stock }) => {
      const node = document.createElement(stock > 0 ? 'span' : 's');
      node.dir = 'auto';
      node.textContent = label && !isOneProduct ? `${product.name} · ${label}` : label || product.name;
      if (stock === 0) {
        const spoken = document.createElement('span');
        spoken.className = 'spoken';
        spoken.textContent = ` ${words[this.#language()].sold_out}`;
        node.append(spoken);
      }
      return node;
    });
    const more = several.length > names.length ? [`+${several.length - names.length}`] : [];
    this.#part('.items').hidden = several.length === 0;
    this.#part('.items').replaceChildren(...names, ...more);
  }
}

if (!customElements.get('stampede-stock')) customElements.define('stampede-stock', StampedeStock);
