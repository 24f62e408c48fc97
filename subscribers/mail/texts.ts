import { moneyIn } from '../../public/shared/money.js';
import type { Money, OrderStatus, RejectionReason } from '../../sale/contract.ts';

/** The content of a mail about one order. */
export interface OrderNews {
  kind: Extract<OrderStatus, 'paid' | 'rejected' | 'cancelled'>;
  productName: string;
  quantity: number;
  price: Money;
  orderId: string;
  /** Set for a rejected order. */
  reason?: RejectionReason;
  /** Set for an order that the shop cancelled. */
  cancelReason?: string;
  /** The shop's URL without a trailing slash. */
  shopUrl: string;
}

export interface MailText {
  subject: string;
  text: string;
  html: string;
}

const whyRejected: Record<RejectionReason, string> = {
  sold_out: 'Others were quicker: fewer units were left than you asked for when your turn came.',
  over_limit: 'It would have been more than one buyer may have of this sale.',
  unknown_sale: 'This sale does not exist any more.',
  unknown_item: 'This sale does not have what you asked for.',
  failed: 'Something went wrong on our side, and we know about it.',
};

export function mailTextOf(news: OrderNews): MailText {
  const { subject, lines } = contentOf(news);
  // The name is not used, because the address may be unverified and belong to another person.
  const paragraphs = ['Hello,', ...lines];
  const orders = `${news.shopUrl}/orders`;
  return {
    subject,
    text: `${[...paragraphs, `Your orders: ${orders}`, `Order ${news.orderId}`].join('\n\n')}\n`,
    html: [
      '<!doctype html>',
      '<html lang="en"><body style="font-family: sans-serif; line-height: 1.5">',
      ...paragraphs.map((paragraph) => `<p>${escapeHtml(paragraph)}</p>`),
      `<p><a href="${escapeHtml(orders)}">Your orders</a></p>`,
      `<p style="color: #666"><small>Order ${escapeHtml(news.orderId)}</small></p>`,
      '</body></html>',
    ].join('\n'),
  };
}

function contentOf({ kind, productName, quantity, price, reason, cancelReason }: OrderNews) {
  const units = `${quantity} × ${productName}`;
  const total = moneyIn('en', price, quantity);
  switch (kind) {
    case 'paid':
      return { subject: `Yours: ${units}`, lines: [`You got it: ${units}, for ${total}.`] };
    case 'rejected':
      return {
        subject: `Not this time: ${productName}`,
        lines: [
          `We could not give you ${units}.`,
          `${whyRejected[reason ?? 'failed']} You have not been charged.`,
        ],
      };
    case 'cancelled':
      return {
        subject: `Cancelled: ${units}`,
        lines: [
          price.amount === 0
            ? `Your order of ${units} is cancelled.`
            : `Your order of ${units} is cancelled, and ${total} goes back to you.`,
          ...(cancelReason === undefined ? [] : [whyCancelled(cancelReason)]),
        ],
      };
  }
}

const whyCancelled = (reason: string) =>
  reason === 'called_off' ? 'The shop called this sale off.' : `The shop cancelled it: ${reason}`;

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Product names are plain text, so markup in them is escaped. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
