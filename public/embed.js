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
  .name { font-weight: 700; }
  .left { font-variant-numeric: tabular-nums; }
  .bar { height: 6px; border-radius: 3px; background: color-mix(in srgb, currentcolor 14%, transparent); overflow: hidden; }
  .bar div { height: 100%; border-radius: 3px; background: var(--stampede-accent, #d4321a); transition: width .35s; }
  @media (prefers-reduced-motion: reduce) { .bar div { transition: none; } }`;

const words = {
  en: {
    left: 'left',
    scheduled: 'Opens soon',
    paused: 'Paused',
    sold_out: 'Sold out',
    ended: 'Ended',
    called_off: 'Called off',
  },
  de: {
    left: 'noch da',
    scheduled: 'Beginnt bald',
    paused: 'Unterbrochen',
    sold_out: 'Ausverkauft',
    ended: 'Beendet',
    called_off: 'Abgesagt',
  },
  fr: {
    left: 'restants',
    scheduled: 'Bientôt',
    paused: 'En pause',
    sold_out: 'Épuisé',
    ended: 'Terminée',
    called_off: 'Annulée',
  },
};
/** @typedef {keyof typeof words} Language */

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
      '<a><span class="line"><span class="name">…</span><span class="left"></span></span><div class="bar"><div></div></div></a>';
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
      const id = encodeURIComponent(this.getAttribute('sale') ?? '');
      const response = await fetch(`${shop}/api/sales/${id}`, { credentials: 'omit' });
      if (response.ok) isOver = this.#draw(await response.json());
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

  /** @param {import('../sale/contract.ts').SaleSnapshot} sale @returns {boolean} whether the sale has ended */
  #draw({ id, product, status, stock, unitsOnSale }) {
    const tag = (this.closest('[lang]')?.getAttribute('lang') || navigator.language).slice(0, 2);
    const say = words[/** @type {Language} */ (tag)] ?? words.en;
    const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (this.#root.querySelector(name));
    part('a').setAttribute('href', `${shop}/sales/${encodeURIComponent(id)}`);
    part('.name').textContent = product.name;
    part('.left').textContent =
      status === 'open' || status === 'draft'
        ? `${new Intl.NumberFormat(tag).format(stock)} ${say.left}`
        : say[status];
    part('.bar div').style.width = `${(100 * stock) / Math.max(1, unitsOnSale)}%`;
    return status === 'ended' || status === 'called_off';
  }
}

if (!customElements.get('stampede-stock')) customElements.define('stampede-stock', StampedeStock);
