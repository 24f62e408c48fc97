import type { Order } from '../../sale/contract.ts';

/** The shop's pages. */

const escapes: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const textIn = (text: string) => text.replace(/[&<>"']/g, (sign) => escapes[sign] ?? sign);

const page = (title: string, body: string) => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${textIn(title)} · Lamps of Larkspur</title>
    <style>
      body { max-width: 44rem; margin: 0 auto; padding: 1.5rem; font: 1.05rem/1.6 Georgia, serif; color: #1f2937; background: #fdfbf7; }
      header { display: flex; justify-content: space-between; align-items: baseline; border-bottom: 1px solid #d8cfc0; }
      a { color: #14532d; }
      input, button.plain { min-height: 2.75rem; padding: 0 .75rem; font: inherit; }
      stampede-buy { margin: 2rem 0; --stampede-accent: #14532d; }
      stampede-buy::part(button) { border-radius: 999px; }
    </style>
  </head>
  <body>
    <header><p><a href="/">Lamps of Larkspur</a></p><nav><a href="/orders">Your orders</a> · <a href="/sign-in">Sign in</a></nav></header>
    <main>
      <h1>${textIn(title)}</h1>
      ${body}
    </main>
  </body>
</html>`;

export const homePage = ({
  stampedeUrl,
  saleId,
  customer,
}: {
  stampedeUrl: string;
  saleId: string;
  customer: string | null;
}) =>
  page(
    'The autumn drop',
    `<p>${customer ? `Hello ${textIn(customer)}.` : 'You are not signed in.'} Thirty lamps, in three sizes, while they last.</p>
      <script type="module" src="${stampedeUrl}/buy.js"></script>
      <stampede-buy sale="${textIn(saleId)}"></stampede-buy>
      <script>
        const buy = document.querySelector('stampede-buy');
        buy.token = async () => (await (await fetch('/token')).json()).token;
        buy.addEventListener('stampede-sign-in', () => location.assign('/sign-in'));
      </script>`,
  );

export const signInPage = (said = '') =>
  page(
    'Sign in',
    `<form method="post" action="/sign-in">
        <p role="alert">${textIn(said)}</p>
        <p><label>E-mail<br><input name="email" type="email" autocomplete="username" required></label></p>
        <p><button class="plain">Sign in</button></p>
      </form>`,
  );

export function checkoutPage(order: Order | null, said = '') {
  if (!order) return page('Checkout', '<p>There is no such order. Are you signed in?</p>');
  const alert = `<p role="alert">${textIn(said)}</p>`;
  if (order.status !== 'held') return page('Checkout', `${alert}<p>There is nothing to pay.</p>`);
  return page(
    'Checkout',
    `${alert}<p>${textIn(textOf(order.lines))}: <strong>${textIn(priceOf(order))}</strong></p>
      <form method="post" action="/checkout">
        <input type="hidden" name="order" value="${textIn(order.id)}">
        <button class="plain">Pay ${textIn(priceOf(order))}</button>
      </form>`,
  );
}

export const ordersPage = (orders: Order[], packed: ReadonlySet<string>) =>
  page(
    'Your orders',
    orders.length === 0
      ? '<p>Nothing here yet.</p>'
      : `<ul>${orders
          .map(
            (order) =>
              `<li>${textIn(textOf(order.lines))}: ${order.status}${packed.has(order.id) ? ', being packed' : ''}</li>`,
          )
          .join('')}</ul>`,
  );

export const textOf = (lines: Order['lines']) =>
  lines.map(({ quantity, label }) => `${quantity} × ${label || 'lamp'}`).join(', ');

function priceOf({ amount, currency }: Order): string {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency: currency ?? 'EUR' });
  return format.format((amount ?? 0) / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}
