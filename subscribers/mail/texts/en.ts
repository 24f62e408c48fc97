import type { RejectionReason } from '../../../sale/contract.ts';
import type { AccountMail } from '../../../store/event-collections.ts';

/** A mail's words. `action` labels the link. */
interface AccountWords {
  subject: string;
  paragraphs: string[];
  action: string;
}

/** All texts of the mails. The other languages are objects of this type. `what` is a list like `2 × A lamp`. */
export const english = {
  language: 'en',
  hello: 'Hello,',
  yourOrders: 'Your orders',
  orderNumber: (number: string) => `Order no. ${number}`,
  notCharged: 'You have not been charged.',

  paid: {
    subject: (what: string) => `Yours: ${what}`,
    text: (what: string) => `You got it: ${what}.`,
    textFor: (what: string, total: string) => `You got it: ${what}, for ${total}.`,
  },
  held: {
    subject: (what: string) => `Pay now: ${what}`,
    text: (what: string, total: string, until: string) =>
      `We are holding ${what} for you. Pay ${total} until ${until}, or others get the chance.`,
  },
  turn: {
    subject: (what: string) => `It is your turn: ${what}`,
    text: (what: string, total: string, until: string) =>
      `You waited for it, and it is your turn: we are holding ${what} for you. Pay ${total} until ${until}, or the next person gets the chance.`,
    pay: 'Pay now',
  },
  called: {
    subject: (name: string) => `Come in now: ${name}`,
    text: (name: string, until: string) =>
      `You waited for ${name}, and it is your turn: come in until ${until} to buy. Otherwise you go to the end, and if you miss it again, you lose your place.`,
    again: (name: string, until: string) =>
      `You waited for ${name}, and it is your turn again: come in until ${until} to buy. Otherwise you lose your place.`,
    comeIn: 'Come in',
  },
  drawn: {
    subject: (name: string) => `The draw is made: ${name}`,
    text: (name: string, number: number, entries: number) =>
      `The draw for ${name} is made. You have number ${number} of ${entries}. What there is goes to the lowest numbers first, and what is not taken to the next. We write to you at once when it is your turn.`,
    check: 'How it was drawn, to check for yourself',
  },
  expired: {
    subject: (what: string) => `Not paid in time: ${what}`,
    text: (what: string) => `Your order of ${what} was not paid in time, and is not held for you any more.`,
    money: 'You have not been charged. A payment that came too late goes back to you.',
  },
  refunded: {
    subject: (amount: string, what: string) => `${amount} goes back to you: ${what}`,
    part: (what: string, amount: string) => `The shop gives you ${amount} of your order of ${what} back.`,
    whole: (what: string, amount: string) =>
      `The shop has ended your order of ${what}, and ${amount} goes back to you.`,
  },
  rejected: {
    subject: (names: string) => `Not this time: ${names}`,
    text: (what: string) => `We could not give you ${what}.`,
    /** @param left units left when it was decided; null when that is not known. */
    why: (reason: RejectionReason, asked: number, left: number | null): string => {
      switch (reason) {
        case 'sold_out':
          if (left === null || left >= asked)
            return 'Others were quicker: fewer units were left than you asked for when your turn came.';
          return left === 0
            ? 'Others were quicker: none was left when your turn came.'
            : `You asked for ${asked}, and when your turn came only ${left} ${left === 1 ? 'was' : 'were'} left. An order is filled as a whole or not at all.`;
        case 'over_limit':
          return 'It would have been more than one buyer may have of this sale.';
        case 'unknown_sale':
          return 'This sale does not exist any more.';
        case 'unknown_item':
          return 'This sale does not have what you asked for.';
        case 'called_off':
          return 'The shop has called this sale off.';
        default:
          return 'Something went wrong on our side, and we know about it.';
      }
    },
  },
  cancelled: {
    subject: (what: string) => `Cancelled: ${what}`,
    byBuyer: (what: string) => `Your order of ${what} is cancelled.`,
    byStaff: (what: string) => `The shop has cancelled your order of ${what}.`,
    calledOff: (what: string) => `The sale was called off, and so your order of ${what} is cancelled.`,
    paymentLost: (what: string) =>
      `Your payment for ${what} could not be taken after all, so your order is cancelled.`,
    reason: (reason: string) => `The reason: ${reason}`,
    refund: (total: string) => `${total} goes back to you.`,
  },

  account: (shop: string): Record<AccountMail['kind'], AccountWords> => ({
    'verify-email': {
      subject: `Confirm your address for ${shop}`,
      paragraphs: [
        `This address was given for an account at ${shop}. If that was you, confirm it with this link, which works once and for a day.`,
        'If it was not you, do nothing: without your confirmation nothing follows.',
      ],
      action: 'Confirm this address',
    },
    'reset-password': {
      subject: `A new password for ${shop}`,
      paragraphs: [
        `Somebody asked for a new password for your account at ${shop}. If that was you, choose it with this link, which works once and for 30 minutes. You are then signed out everywhere else.`,
        'If it was not you, do nothing: your password stays as it is.',
      ],
      action: 'Choose a new password',
    },
    'join-staff': {
      subject: `Join the staff of ${shop}`,
      paragraphs: [
        `You are asked to help run ${shop}. Join with this link, which works once and for three days.`,
        'If you do not expect this, do nothing: without you nothing follows.',
      ],
      action: 'Join the staff',
    },
    'password-changed': {
      subject: `Your password for ${shop} was changed`,
      paragraphs: [
        `The password of your account at ${shop} was changed, and every other device was signed out.`,
        'If it was not you, ask for a new password at once: choose “Forgot your password?” where you sign in.',
      ],
      action: 'Your account',
    },
  }),
};

export type MailTexts = typeof english;
