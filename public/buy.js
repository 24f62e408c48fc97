/**
 * `<stampede-buy sale="…">`: a custom element with which people buy from a sale on any other site.
 *
 *     <script type="module" src="https://the-shop/buy.js"></script>
 *     <stampede-buy sale="the sale's id"></stampede-buy>
 *     <script>document.querySelector('stampede-buy').token = async () => accessToken</script>
 *
 * `token` is an access token of the shop's identity provider, or a function that gives one; null while nobody is signed in.
 * The origin of the page has to be among the server's ALLOWED_ORIGINS. Events, which bubble: `stampede-sign-in` when somebody
 * presses Buy without a token that is valid; `stampede-order` with the order when it is queued, and when it changes;
 * `stampede-pay` with the order and `redirectUrl` before the buyer is sent there, unless the event is cancelled. It inherits
 * the page's colours and font; `--stampede-accent` and `--stampede-on-accent` colour the button, and each piece is a
 * `::part`: name, price, countdown, sizes, size, quantity, button, status.
 */

/** @import { Order, Problem, SaleSnapshot } from '../sale/contract.ts' */
/** @typedef {SaleSnapshot['status'] | null} Status */
/** @typedef {string | null | (() => string | null | Promise<string | null>)} Token */

const shop = new URL(import.meta.url).origin;
const POLL_MS = 5_000;
const POLL_WHEN_ENDED_MS = 60_000;
const ORDER_POLL_MS = 1_000;
const TICK_MS = 250;
/** A purchase is sent again with its key for so long while the shop cannot be reached. */
const PATIENCE_MS = 60_000;
const MOST_UNITS = 20;

const styles = `
  :host { display: block; max-width: 420px; font: inherit; }
  :host([hidden]), [hidden] { display: none !important; }
  .root { display: grid; gap: 12px; }
  .name { min-width: 0; overflow-wrap: anywhere; }
  .head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 4px 16px; font-weight: 700; }
  .price, .countdown { font-variant-numeric: tabular-nums; }
  s { font-weight: 400; opacity: .7; margin-inline-end: .4em; }
  fieldset { display: flex; flex-wrap: wrap; gap: 8px; margin: 0; padding: 0; border: 0; }
  label.size { position: relative; display: grid; min-width: 44px; min-height: 44px; place-items: center; padding: 0 12px;
    border: 1px solid color-mix(in srgb, currentcolor 35%, transparent); border-radius: 8px; cursor: pointer; }
  label.size input { position: absolute; inset: 0; margin: 0; opacity: 0; cursor: inherit; }
  label.size:has(:checked) { border-color: currentcolor; box-shadow: inset 0 0 0 1px currentcolor; }
  label.size:has(:focus-visible), button:focus-visible, select:focus-visible { outline: 3px solid var(--stampede-accent, #b3280f); outline-offset: 2px; }
  label.size:has(:disabled) { cursor: not-allowed; text-decoration: line-through; opacity: .6; }
  .act { display: flex; gap: 8px; }
  select { min-height: 48px; padding: 0 8px; font: inherit; }
  button { flex: 1; min-height: 48px; padding: 0 16px; border: 0; border-radius: 8px; font: inherit; font-weight: 700; cursor: pointer;
    background: var(--stampede-accent, #b3280f); color: var(--stampede-on-accent, #fff); }
  button:disabled { cursor: not-allowed; background: #6b6b6b; color: #fff; }
  .status { min-height: 1.4em; }
  .spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }`;

const words = {
  en: {
    buy: 'Buy',
    sending: 'Just a moment…',
    size: 'Size',
    quantity: 'Quantity',
    opensIn: 'Opens in',
    day: 'd',
    scheduled: 'Not open yet',
    paused: 'Paused, please wait',
    sold_out: 'Sold out',
    ended: 'Ended',
    called_off: 'Called off',
    missing: 'There is no such sale.',
    away: 'The shop cannot be reached. Trying again…',
    failed: 'That did not work. Please try again.',
    signIn: 'Please sign in first.',
    verify: 'Please confirm your e-mail address first.',
    overLimit: 'That is more than one person may buy.',
    tooMany: 'Too many requests. Please wait a moment.',
    networkFull: 'Enough people from your network take part already.',
    notAdmitted: 'It is not open for you here. Go on at the shop.',
    left: 'left',
    queued: 'In line…',
    held: 'It is yours for now. Pay within',
    pay: 'Pay',
    paid: 'It is yours.',
    rejected: 'Sold out: others were faster.',
    over: 'This order has ended.',
    takePart: 'Take part',
    enterRoom: 'To the waiting room',
    soldAt: 'Sold at',
    notLoaded: 'A part of the shop did not load. Please press again.',
  },
  de: {
    buy: 'Kaufen',
    sending: 'Einen Moment…',
    size: 'Größe',
    quantity: 'Anzahl',
    opensIn: 'Beginnt in',
    day: 'T',
    scheduled: 'Noch nicht offen',
    paused: 'Unterbrochen, bitte warten',
    sold_out: 'Ausverkauft',
    ended: 'Beendet',
    called_off: 'Abgesagt',
    missing: 'Dieses Angebot gibt es nicht.',
    away: 'Der Shop ist nicht erreichbar. Neuer Versuch…',
    failed: 'Das hat nicht geklappt. Bitte noch einmal versuchen.',
    signIn: 'Bitte zuerst anmelden.',
    verify: 'Bitte zuerst die E-Mail-Adresse bestätigen.',
    overLimit: 'Das ist mehr, als eine Person kaufen darf.',
    tooMany: 'Zu viele Anfragen. Bitte einen Moment warten.',
    networkFull: 'Aus diesem Netz nehmen schon genug Personen teil.',
    notAdmitted: 'Hier nicht offen. Bitte im Shop weitermachen.',
    left: 'noch da',
    queued: 'In der Schlange…',
    held: 'Vorgemerkt. Bezahlen innerhalb von',
    pay: 'Bezahlen',
    paid: 'Gekauft.',
    rejected: 'Ausverkauft: andere waren schneller.',
    over: 'Diese Bestellung ist beendet.',
    takePart: 'Teilnehmen',
    enterRoom: 'Zum Warteraum',
    soldAt: 'Verkauf bei',
    notLoaded: 'Ein Teil des Shops wurde nicht geladen. Bitte noch einmal drücken.',
  },
  fr: {
    buy: 'Acheter',
    sending: 'Un instant…',
    size: 'Taille',
    quantity: 'Quantité',
    opensIn: 'Ouvre dans',
    day: 'j',
    scheduled: 'Pas encore ouverte',
    paused: 'En pause, veuillez patienter',
    sold_out: 'Épuisé',
    ended: 'Terminée',
    called_off: 'Annulée',
    missing: 'Cette vente n’existe pas.',
    away: 'La boutique est injoignable. Nouvel essai…',
    failed: 'Cela n’a pas marché. Veuillez réessayer.',
    signIn: 'Veuillez d’abord vous connecter.',
    verify: 'Veuillez d’abord confirmer votre adresse e-mail.',
    overLimit: 'C’est plus qu’une personne ne peut acheter.',
    tooMany: 'Trop de demandes. Veuillez patienter un instant.',
    networkFull: 'Assez de personnes de votre réseau participent déjà.',
    notAdmitted: 'La vente ne vous est pas ouverte ici. Continuez dans la boutique.',
    left: 'restants',
    queued: 'Dans la file…',
    held: 'Réservé. À payer dans les',
    pay: 'Payer',
    paid: 'C’est à vous.',
    rejected: 'Épuisé : d’autres ont été plus rapides.',
    over: 'Cette commande est terminée.',
    takePart: 'Participer',
    enterRoom: 'Vers la salle d’attente',
    soldAt: 'En vente chez',
    notLoaded: 'Une partie de la boutique ne s’est pas chargée. Veuillez appuyer encore une fois.',
  },
};
/** @typedef {keyof typeof words} Language */
/** @typedef {keyof (typeof words)['en']} Word */
/** @typedef {{ key: string, body: object, orderId?: string }} Purchase what was sent and not yet ended */

const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

let failedLoads = 0;

/** Loaded only when it is needed. @returns {Promise<typeof import('./sale/proof-of-work.js') | null>} null when it did not load */
async function loadSolver() {
  // A browser caches a failed import, so the next attempt needs another address.
  const again = failedLoads > 0 ? `?again=${failedLoads}` : '';
  try {
    return await import(/** @type {'./sale/proof-of-work.js'} */ (`${shop}/sale/proof-of-work.js${again}`));
  } catch {
    failedLoads += 1;
    return null;
  }
}

/** @param {number} ms @param {string} day the sign of a day */
function clockText(ms, day) {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const [days, hours] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24];
  const clock = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${days > 0 ? `${days} ${day} ` : ''}${days > 0 || hours > 0 ? `${two(hours)}:` : ''}${clock}`;
}

class StampedeBuy extends HTMLElement {
  static observedAttributes = ['sale'];

  /** @type {Token} */
  #token = null;
  #root = this.attachShadow({ mode: 'open' });
  /** @type {SaleSnapshot | null} */
  #sale = null;
  #isMissing = false;
  /** How far the shop's clock is ahead of this one, in ms. */
  #aheadMs = 0;
  /** @type {Order | null} */
  #order = null;
  #isBusy = false;
  /** @type {Word | null} */
  #said = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #polling;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticking;

  connectedCallback() {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles);
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.innerHTML = `<div class="root">
      <div class="head"><span class="name" part="name" dir="auto">…</span><span class="price" part="price"></span></div>
      <div class="countdown" part="countdown" role="timer" hidden></div>
      <fieldset part="sizes" hidden><legend class="spoken"></legend></fieldset>
      <div class="act"><select part="quantity" hidden></select><button type="button" part="button" disabled></button></div>
      <div class="status" part="status" role="status"></div>
    </div>`;
    this.#part('button').addEventListener('click', () => void this.#act());
    this.#part('fieldset').addEventListener('change', () => this.#draw());
    this.#ticking = setInterval(() => this.#draw(), TICK_MS);
    this.#refresh();
    // A page's script may run before this one, and then its token hides the setter.
    if (Object.hasOwn(this, 'token')) {
      const token = this.token;
      Reflect.deleteProperty(this, 'token');
      this.token = token;
    } else void this.#resume();
  }

  get token() {
    return this.#token;
  }

  /** @param {Token} token */
  set token(token) {
    this.#token = token;
    if (this.isConnected && this.#root.firstChild) void this.#resume();
  }

  disconnectedCallback() {
    clearTimeout(this.#polling);
    clearInterval(this.#ticking);
  }

  attributeChangedCallback() {
    if (!this.isConnected || !this.#root.firstChild) return;
    this.#sale = null;
    this.#order = null;
    this.#said = null;
    this.#refresh();
    void this.#resume();
  }

  get #id() {
    return this.getAttribute('sale') ?? '';
  }

  async #refresh() {
    clearTimeout(this.#polling);
    const id = this.#id;
    try {
      const response = await fetch(`${shop}/api/sales/${encodeURIComponent(id)}`, { credentials: 'omit' });
      if (id !== this.#id) return;
      this.#isMissing = response.status === 404 || response.status === 400;
      if (response.ok) {
        /** @type {SaleSnapshot} */
        const sale = await response.json();
        this.#sale = sale;
        this.#aheadMs = Date.parse(sale.serverTime) - Date.now();
      }
    } catch {
      // The shop cannot be reached, so what was shown last stays.
    }
    clearTimeout(this.#polling);
    if (!this.isConnected) return;
    const isOver = this.#sale?.status === 'ended' || this.#sale?.status === 'called_off';
    const waitMs = (isOver ? POLL_WHEN_ENDED_MS : POLL_MS) * (0.8 + Math.random() * 0.4);
    this.#polling = setTimeout(() => this.#refresh(), waitMs);
    this.#draw();
  }

  /** The sale's status now: it opens by the shop's clock, without being read again. @returns {Status} */
  #status() {
    const sale = this.#sale;
    if (sale?.status !== 'scheduled' || this.#now() < Date.parse(sale.opensAt)) return sale?.status ?? null;
    return sale.stock > 0 || sale.mode === 'draw' || sale.site ? 'open' : 'sold_out';
  }

  #now() {
    return Date.now() + this.#aheadMs;
  }

  /** Whether the shop's own page of the sale is needed: for a draw, a waiting room, or while a list or a code lets people in. */
  #hasPlaces() {
    // Staff have changed the sale since it was read.
    if (this.#said === 'notAdmitted') return true;
    const { mode = 'open', phases = [] } = this.#sale ?? {};
    const isForEverybody = phases.some(
      ({ access, opensAt }) => access === 'everybody' && Date.parse(opensAt) <= this.#now(),
    );
    return mode !== 'open' || (phases.length > 0 && !isForEverybody);
  }

  /** Pays the order that is held, goes to where places are taken, or buys. */
  async #act() {
    if (this.#isBusy) return;
    if (this.#hasPlaces() && this.#order?.status !== 'held')
      return location.assign(`${shop}/sales/${encodeURIComponent(this.#id)}`);
    this.#isBusy = true;
    this.#said = null;
    this.#draw();
    try {
      if (this.#order?.status === 'held') await this.#pay(this.#order);
      else await this.#buy();
    } finally {
      this.#isBusy = false;
      this.#draw();
    }
  }

  async #buy() {
    const item = this.#chosen();
    const quantity = Number(/** @type {HTMLSelectElement} */ (this.#part('select')).value) || 1;
    const isSeveral = (this.#sale?.items ?? []).length > 1;
    const body = isSeveral && item ? { lines: [{ itemId: item.id, quantity }] } : { quantity };
    const pending = this.#pending();
    const isSame = pending && JSON.stringify(pending.body) === JSON.stringify(body);
    await this.#complete(isSame ? pending : { key: newKey(), body });
  }

  /** @param {Purchase} purchase */
  async #complete(purchase) {
    const id = this.#id;
    /** @type {Record<string, string>} */
    const work = {};
    let isMaybeSent = this.#pending()?.key === purchase.key;
    const deadline = Date.now() + PATIENCE_MS;
    while (this.isConnected && id === this.#id && Date.now() < deadline) {
      const response = await this.#call('POST', `/api/sales/${encodeURIComponent(id)}/purchases`, {
        headers: { 'Idempotency-Key': purchase.key, Prefer: 'wait=10', ...work },
        body: purchase.body,
        before: () => this.#keep(purchase),
      });
      if (response === 'no-token') {
        // What was certainly refused is not sent for whoever signs in next.
        if (!isMaybeSent) this.#keep(null);
        return this.#askToSignIn();
      }
      const isAway = response === null || response.status >= 500;
      if (!isAway) {
        const answer = await response.json();
        if (response.status === 428) {
          const solver = await loadSolver();
          if (!solver) {
            if (!isMaybeSent) this.#keep(null);
            this.#said = 'notLoaded';
            return;
          }
          work['Proof-Of-Work'] = await solver.answerTo(answer.challenge, answer.difficultyBits);
          continue;
        }
        if (response.ok)
          return await this.#follow(
            answer.orderId ?? answer.id,
            answer.status === 'queued' ? null : answer,
            purchase,
          );
        return this.#refused(response.status, answer);
      }
      isMaybeSent = true;
      this.#said = 'away';
      this.#draw();
      await pause(1_000 + Math.random() * 1_000);
    }
    // The purchase stays, so that the next press sends it with the same key.
    if (id === this.#id) this.#said = 'failed';
  }

  /** Waits until the order is settled. @param {string} orderId @param {Order | null} order @param {Purchase} purchase */
  async #follow(orderId, order, purchase) {
    const id = this.#id;
    this.#said = null;
    this.#keep({ ...purchase, orderId });
    let last = '';
    for (let found = order; this.isConnected && id === this.#id; ) {
      if (found && JSON.stringify(found) !== last) {
        last = JSON.stringify(found);
        this.#order = found;
        this.#tell('stampede-order', { order: found });
        if (found.status !== 'held' && found.status !== 'queued') this.#keep(null);
        void this.#refresh();
      }
      this.#draw();
      if (found && found.status !== 'queued' && found.status !== 'held') return;
      // What is held is followed beside the button, so that it can be paid.
      if (found?.status === 'held') return void this.#watch(orderId);
      await pause(ORDER_POLL_MS * (0.8 + Math.random() * 0.4));
      const response = await this.#call('GET', `/api/orders/${orderId}`);
      if (response === 'no-token') return this.#askToSignIn();
      if (response?.status === 404) return this.#keep(null);
      if (response?.ok) found = await response.json();
    }
  }

  /** Follows a held order until it is paid or has ended. @param {string} orderId */
  async #watch(orderId) {
    const id = this.#id;
    while (
      this.isConnected &&
      id === this.#id &&
      this.#order?.id === orderId &&
      this.#order.status === 'held'
    ) {
      await pause(2 * ORDER_POLL_MS);
      const response = await this.#call('GET', `/api/orders/${orderId}`);
      if (response === null || response === 'no-token' || !response.ok) continue;
      /** @type {Order} */
      const order = await response.json();
      if (id !== this.#id || order.status === 'held') continue;
      this.#order = order;
      this.#keep(null);
      this.#tell('stampede-order', { order });
      this.#draw();
    }
  }

  /** Goes on with a purchase that was sent before the page was loaded again. */
  async #resume() {
    if (!this.#pending() || !(await this.#tokenNow().catch(() => null))) return;
    const purchase = this.#pending();
    if (!purchase || this.#isBusy) return;
    this.#isBusy = true;
    try {
      if (!purchase.orderId) return await this.#complete(purchase);
      const response = await this.#call('GET', `/api/orders/${purchase.orderId}`);
      if (response === null || response === 'no-token') return;
      if (response.ok) await this.#follow(purchase.orderId, await response.json(), purchase);
      else if (response.status === 404) await this.#complete(purchase);
    } finally {
      this.#isBusy = false;
      this.#draw();
    }
  }

  /** @param {Order} order */
  async #pay(order) {
    const response = await this.#call('POST', `/api/orders/${order.id}/payments`);
    if (response === 'no-token') return this.#askToSignIn();
    if (!response?.ok) {
      this.#said = response && response.status < 500 ? 'failed' : 'away';
      return;
    }
    /** @type {{ redirectUrl: string | null }} */
    const { redirectUrl } = await response.json();
    // A payment that is not made at another address is made on the shop's own page of orders.
    const address = redirectUrl ?? `${shop}/orders`;
    if (this.#tell('stampede-pay', { order, redirectUrl: address })) location.assign(address);
  }

  /** @param {number} status @param {Problem} problem */
  #refused(status, { type }) {
    this.#keep(null);
    if (status === 401) return this.#askToSignIn();
    /** @type {Record<string, Word>} */
    const reasons = {
      'email-not-verified': 'verify',
      'over-limit': 'overLimit',
      'network-full': 'networkFull',
      'not-admitted': 'notAdmitted',
      'pass-required': 'notAdmitted',
      'sold-elsewhere': 'notAdmitted',
      draw: 'notAdmitted',
      'too-many-requests': 'tooMany',
      'sold-out': 'sold_out',
      'not-open': 'scheduled',
      paused: 'paused',
      ended: 'ended',
    };
    this.#said = reasons[type.split('/').at(-1) ?? ''] ?? 'failed';
    void this.#refresh();
  }

  #askToSignIn() {
    this.#said = 'signIn';
    this.#tell('stampede-sign-in', {});
  }

  /** @param {string} type @param {object} detail @returns {boolean} whether nobody cancelled it */
  #tell(type, detail) {
    return this.dispatchEvent(
      new CustomEvent(type, { detail, bubbles: true, composed: true, cancelable: true }),
    );
  }

  async #tokenNow() {
    return typeof this.#token === 'function' ? await this.#token() : this.#token;
  }

  /**
   * @param {string} method @param {string} path
   * @param {{ headers?: Record<string, string>, body?: object, before?: () => void }} [options]
   * @returns {Promise<Response | null | 'no-token'>} null when the shop, or what gives the token, cannot be reached
   */
  async #call(method, path, { headers = {}, body, before } = {}) {
    const content = body ? { 'Content-Type': 'application/json' } : {};
    try {
      const token = await this.#tokenNow();
      if (!token) return 'no-token';
      before?.();
      const response = await fetch(shop + path, {
        method,
        headers: { Authorization: `Bearer ${token}`, ...content, ...headers },
        ...(body && { body: JSON.stringify(body) }),
        credentials: 'omit',
        signal: AbortSignal.timeout(20_000),
      });
      return response.status === 401 ? 'no-token' : response;
    } catch {
      return null;
    }
  }

  get #storageKey() {
    return `stampede-buy:${shop}:${this.#id}`;
  }

  /** @returns {Purchase | null} */
  #pending() {
    try {
      return JSON.parse(sessionStorage.getItem(this.#storageKey) ?? 'null');
    } catch {
      return null;
    }
  }

  /** @param {Purchase | null} purchase */
  #keep(purchase) {
    try {
      if (purchase) sessionStorage.setItem(this.#storageKey, JSON.stringify(purchase));
      else sessionStorage.removeItem(this.#storageKey);
    } catch {
      // Without storage a reload forgets the purchase, which the shop finishes all the same.
    }
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

  /** The item that is chosen; of several the first that is left, until somebody chooses. */
  #chosen() {
    const items = this.#sale?.items ?? [];
    const checked = /** @type {HTMLInputElement | null} */ (this.#root.querySelector('input:checked'));
    return items.find(({ id }) => id === checked?.value) ?? (items.length === 1 ? items[0] : undefined);
  }

  #draw() {
    const language = this.#language();
    const say = words[language];
    const sale = this.#sale;
    if (this.#isMissing || !sale) {
      this.#set('.name', this.#isMissing ? say.missing : '…');
      this.#set('button', say.buy);
      /** @type {HTMLButtonElement} */ (this.#part('button')).disabled = true;
      return;
    }
    const [status, order] = [this.#status(), this.#order];
    // In front of another site nothing is sold here, so there is neither a size to choose nor a price.
    const { site } = sale;
    this.#drawSizes(site ? [] : (sale.items ?? []), say);
    const item = this.#chosen();
    this.#set('.name', sale.product.name);
    this.#part('.price').hidden = site !== undefined;
    if (!site) this.#drawPrice(item ?? sale, language);
    const isScheduled = status === 'scheduled';
    this.#part('.countdown').hidden = !isScheduled;
    if (isScheduled)
      this.#set('.countdown', `${say.opensIn} ${clockText(Date.parse(sale.opensAt) - this.#now(), say.day)}`);
    const left = item ? item.stock : sale.stock;
    const most = Math.min(item?.limitPerBuyer ?? sale.limitPerBuyer, sale.limitPerBuyer, left, MOST_UNITS);
    this.#drawQuantity(status === 'open' && !site && order?.status !== 'held' ? most : 1, say);
    this.#drawButton(status, left, say);
    this.#set('.status', this.#textOf(status, left, say, language));
  }

  /** @param {Status} status @param {number} left @param {(typeof words)['en']} say */
  #drawButton(status, left, say) {
    const button = /** @type {HTMLButtonElement} */ (this.#part('button'));
    const isHeld = this.#order?.status === 'held';
    const takesPart = this.#hasPlaces() && (status === 'scheduled' || status === 'open');
    const canBuy = (status === 'open' && left > 0) || takesPart;
    button.disabled = this.#isBusy || !(isHeld || canBuy);
    const isOpen = status === 'open' || status === null || status === 'draft';
    const idle = isHeld ? say.pay : canBuy || isOpen ? (left > 0 ? say.buy : say.sold_out) : say[status];
    const enter = this.#sale?.site ? say.enterRoom : say.takePart;
    this.#set('button', this.#isBusy ? say.sending : takesPart && !isHeld ? enter : idle);
  }

  /**
   * @param {Status} status @param {number} left @param {(typeof words)['en']} say
   * @param {Language} language
   */
  #textOf(status, left, say, language) {
    if (this.#said) return say[this.#said];
    const order = this.#order;
    if (order?.status === 'held' && order.holdExpiresAt)
      return `${say.held} ${clockText(Date.parse(order.holdExpiresAt) - this.#now(), say.day)}`;
    if (order?.status === 'paid') return say.paid;
    if (order?.status === 'rejected') return say.rejected;
    if (order?.status === 'queued' || (this.#isBusy && !order)) return say.queued;
    if (order) return say.over;
    const site = this.#sale?.site;
    if (site) return `${say.soldAt} ${new URL(site.url).host}`;
    return status === 'open' && left > 0 ? `${new Intl.NumberFormat(language).format(left)} ${say.left}` : '';
  }

  /** @param {string} part @param {string} text */
  #set(part, text) {
    const node = this.#part(part);
    // A text that is set again would be read out again.
    if (node.textContent !== text) node.textContent = text;
  }

  /** @param {Pick<SaleSnapshot, 'price' | 'oldPrice'>} of @param {Language} language */
  #drawPrice({ price, oldPrice }, language) {
    const format = new Intl.NumberFormat(language, { style: 'currency', currency: price.currency });
    const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
    const text = (/** @type {number} */ amount) => format.format(amount / 10 ** digits);
    const node = this.#part('.price');
    const shown = [oldPrice && text(oldPrice.amount), text(price.amount)].join('|');
    if (node.dataset.shown === shown) return;
    node.dataset.shown = shown;
    const old = document.createElement('s');
    old.textContent = oldPrice ? text(oldPrice.amount) : '';
    node.replaceChildren(...(oldPrice ? [old] : []), text(price.amount));
  }

  /** @param {SaleSnapshot['items']} items @param {(typeof words)['en']} say */
  #drawSizes(items, say) {
    const field = this.#part('fieldset');
    field.hidden = items.length < 2;
    if (items.length < 2) return;
    const ids = items.map(({ id }) => id).join();
    const isOneProduct = items.every(({ product }) => product.id === items[0]?.product.id);
    if (field.dataset.ids !== ids) {
      field.dataset.ids = ids;
      const legend = document.createElement('legend');
      legend.className = 'spoken';
      legend.textContent = say.size;
      const sizes = items.map(({ id, label, product }) => {
        const [size, input] = [document.createElement('label'), document.createElement('input')];
        size.className = 'size';
        size.dir = 'auto';
        size.setAttribute('part', 'size');
        Object.assign(input, { type: 'radio', name: 'size', value: id });
        size.append(input, label && !isOneProduct ? `${product.name} · ${label}` : label || product.name);
        return size;
      });
      field.replaceChildren(legend, ...sizes);
    }
    const inputs = /** @type {NodeListOf<HTMLInputElement>} */ (field.querySelectorAll('input'));
    for (const [n, input] of inputs.entries()) input.disabled = (items[n]?.stock ?? 0) === 0;
    // A size that is chosen stays chosen when it sells out, so that nobody buys another one unawares.
    const first = [...inputs].find(({ disabled }) => !disabled);
    if (first && ![...inputs].some(({ checked }) => checked)) first.checked = true;
  }

  /** @param {number} most @param {(typeof words)['en']} say */
  #drawQuantity(most, say) {
    const select = /** @type {HTMLSelectElement} */ (this.#part('select'));
    select.hidden = most < 2;
    select.setAttribute('aria-label', say.quantity);
    if (select.options.length === Math.max(most, 1)) return;
    const chosen = Math.min(Number(select.value) || 1, Math.max(most, 1));
    const options = Array.from({ length: Math.max(most, 1) }, (_, n) => new Option(String(n + 1)));
    select.replaceChildren(...options);
    select.value = String(chosen);
  }
}

if (!customElements.get('stampede-buy')) customElements.define('stampede-buy', StampedeBuy);
