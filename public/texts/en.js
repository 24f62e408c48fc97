/** All texts of the storefront. The other languages are objects of this type. */

import { number } from '../shared/format.js';

/** @param {number} count @param {string} one @param {string} many */
const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

export const english = {
  language: 'en',
  brand: 'Stampede',
  skip: 'Skip to content',
  navSales: 'Sales',
  navOrders: 'My orders',
  navSignIn: 'Sign in',
  close: 'Close',
  captcha: 'Are you a human?',

  salesTitle: 'Flash sales',
  salesLead: 'Few pieces, one moment. What is left is counted live.',
  groupLive: 'On now',
  groupSoon: 'Coming up',
  groupEnded: 'Over',
  salesEmpty: 'No sales yet. The next one will show up here by itself.',
  loadFailed: 'This did not load. Trying again…',
  saleMissing: 'There is no such sale.',
  backToSales: 'See all sales',
  shopLinks: { imprint: 'Imprint', privacy: 'Privacy', terms: 'Terms' },
  otherSales: 'More to buy',
  needsScript: 'This page is live, which needs JavaScript.',
  pageMissing: 'There is no such page.',
  pageMissingWhy: 'The link may be mistyped, or what it led to is gone.',
  shopAway: 'The shop does not answer right now.',
  shopAwayWhy: 'Nothing that you bought is lost. Please try again in a moment.',
  addToCalendar: 'Add to my calendar, with a reminder',
  /** @param {string} time */
  openingHere: (time) => `Where you are: ${time}`,

  /** @type {Record<import('../../sale/contract.ts').SaleStatus, string>} */
  saleStatus: {
    scheduled: 'Opens soon',
    open: 'On now',
    paused: 'Paused',
    sold_out: 'Sold out',
    ended: 'Ended',
    called_off: 'Called off',
    draft: 'Draft',
  },
  opensIn: 'Opens in',
  endsIn: 'Ends in',
  endedAt: 'Ended',
  /** @param {string} units */
  unitsOf: (units) => `of ${units}`,
  /** @param {number} stock @param {number} units */
  stockAnnouncement: (stock, units) => `${stock} of ${units} left`,
  /** @param {string} stock @param {string} units */
  stockLine: (stock, units) => `${stock} of ${units} left`,
  /** @param {string} host of the site in front of which a waiting room stands */
  soldAt: (host) => `Sold at ${host}`,
  stockLabel: 'Units left',
  oldPrice: 'Before',
  /** @param {string} price the lowest of several */
  from: (price) => `from ${price}`,
  chooseItem: 'Choose one',
  /** @param {number} count @param {string} [shown] the count as the reader writes it */
  itemLeft: (count, shown = number(count)) => `${shown} left`,
  /** @param {string} name @param {string} others may be empty */
  choiceSoldOut: (name, others) =>
    others
      ? `${name} has sold out. Still there: ${others}.`
      : `${name} has sold out. Others are still there.`,
  /** @param {number} at from 1 */
  picture: (at) => `Picture ${at}`,
  /** @param {number} count */
  people: (count) => `${plural(count, 'person is', 'people are')} here`,
  recentEvents: {
    /** @param {number} count */
    sold: (count) => `${plural(count, 'piece', 'pieces')} sold`,
    /** @param {number} count */
    returned: (count) => `${plural(count, 'piece', 'pieces')} back on sale`,
    /** @param {number} count */
    added: (count) => `${plural(count, 'piece', 'pieces')} added`,
    open: () => 'It is on',
    paused: () => 'Paused by the shop',
    sold_out: () => 'Sold out',
    ended: () => 'It is over',
    called_off: () => 'Called off by the shop',
    draft: () => 'Draft',
    scheduled: () => 'Opens later',
  },
  quantity: 'Quantity',
  fewer: 'One fewer',
  more: 'One more',
  /** @param {number} limit */
  limitNote: (limit) => `Up to ${limit} for each buyer`,

  /** @param {number} quantity @param {string} price */
  buy: (quantity, price) => (quantity > 1 ? `Buy ${quantity} · ${price}` : `Buy · ${price}`),
  buySoon: 'Opens soon',
  buySignIn: 'Sign in to buy',
  buyChoose: 'Choose one first',
  buyChooseAnother: 'Choose another',
  buySending: 'Sending…',
  buyQueued: 'In the queue…',
  buyPaid: 'It’s yours',
  buySoldOut: 'Sold out',
  buyOverLimit: 'You have your limit',
  buyEnded: 'Sale ended',
  buyCalledOff: 'Called off',
  buyPaused: 'Paused',
  buyBusy: 'Very busy, trying again',
  buyStalled: 'Try again',
  buyOffline: 'Offline',
  buyNotYet: 'Not open for you yet',
  access: {
    title: 'Who may buy when',
    /** @type {Record<import('../../sale/contract.ts').PhaseAccess, string>} */
    who: { everybody: 'everybody', list: 'people on the shop’s list', code: 'with a code' },
    /** @param {string} time */
    from: (time) => `from ${time}`,
    now: 'open now',
    codeLabel: 'Code',
    useCode: 'Use this code',
    signIn: 'If you are on the shop’s list, sign in with that address.',
    listed: 'You are on the list.',
    code: {
      valid: 'Your code is valid.',
      used: 'This code has been used already.',
      refused: 'The shop does not know this code. Look at it once more.',
    },
    needsCode: 'You can buy here with a code from the shop.',
    closed: 'This sale does not open for you.',
    /** @param {string} time */
    opensForYou: (time) => `It opens for you: ${time}.`,
    openForYou: 'It is open for you.',
    confirm: 'On the list only confirmed addresses count: you confirm yours in “My account”.',
  },

  noteSoon: 'Buy opens here by itself. No need to reload.',
  noteVerify: 'This sale is only for confirmed addresses, and yours is not confirmed yet.',
  noteVerifiedOnly: 'Only buyers with a confirmed address can buy here.',
  verifyFirst: 'Confirm my address',
  noteSoldOut: 'Stay on this page: if units come back, Buy comes back too.',
  notePaused: 'The shop has paused this sale for a moment. It goes on here by itself.',
  /** @param {number} limit */
  noteOverLimit: (limit) => `One buyer may have up to ${limit} of this.`,
  /** @param {number} limit @param {string} name */
  limitNoteOf: (limit, name) => `${name}: up to ${limit} for each buyer`,
  noteBusy: 'Keep this page open. However often we ask, you buy only once.',
  noteStalled: 'We could not reach the shop. Trying again is safe: you buy only once.',
  noteOffline: 'Buy comes back with your connection.',
  addQueued: 'Your place is taken. The result appears here.',
  noteEnded: 'Thank you for coming.',
  noteCalledOff: 'The shop has called this sale off. All orders are cancelled.',
  preview: 'Preview: only staff see this page until the sale is published.',
  previewOnly: 'This is a preview. Nothing can be bought yet.',
  /** @param {number} left */
  refusalLeft: (left) => `Fewer were left than you asked for: ${number(left)}. You pay nothing.`,
  /** @param {string} name */
  refusalSoldOutOf: (name) => `${name} has sold out: others were a moment faster. You pay nothing.`,
  /** @param {number} left */
  noteLeft: (left) => (left === 1 ? 'Only 1 is left. Choose fewer.' : `Only ${left} are left. Choose fewer.`),
  signInEarly: 'Sign in now, be ready',
  /** @param {number} remaining */
  buyMore: (remaining) => `Buy more (up to ${remaining})`,
  forget: 'Stop trying',

  total: 'Total',
  orderTitle: 'Your order',
  /** @param {string} number */
  orderNumber: (number) => ` · No. ${number}`,
  /** @param {number} count */
  pieces: (count) => plural(count, 'piece', 'pieces'),
  /** @type {Record<import('../../sale/contract.ts').OrderStatus | 'sending' | 'refused', string>} */
  orderStatus: {
    sending: 'Sending',
    queued: 'In the queue',
    held: 'Held for you',
    paid: 'Paid',
    rejected: 'Rejected',
    refused: 'Not accepted',
    expired: 'Expired',
    refunded: 'Refunded',
    cancelled: 'Cancelled',
  },
  /** @param {string} time */
  heldUntil: (time) => `Held for you until ${time}. If it is not paid by then, its pieces go back on sale.`,
  holdOver: 'It was not paid in time, so its pieces went back on sale. You pay nothing.',
  /** @type {Record<import('../../sale/contract.ts').RejectionReason, string>} */
  rejection: {
    sold_out: 'When your turn came, fewer units were left than you asked for. You pay nothing.',
    over_limit: 'That would be more than one buyer may have. You pay nothing.',
    unknown_sale: 'This sale is gone. You pay nothing.',
    unknown_item: 'This sale does not have what you asked for. You pay nothing.',
    called_off: 'The shop has called this sale off. You pay nothing.',
    code_used: 'When your turn came, the code had been used or revoked. You pay nothing.',
    failed: 'Something broke on our side. You pay nothing; please try again.',
  },
  /** By the name of the problem. For any other the page shows the server's `detail`. @type {Record<string, string>} */
  refusal: {
    'network-full': 'Enough people from your network take part already. You pay nothing.',
    'sold-out': 'Sold out: others were a moment faster. You pay nothing.',
    'not-open': 'The sale is not open yet.',
    paused: 'The sale is paused.',
    ended: 'The sale has ended.',
    'email-not-verified':
      'This sale is for confirmed addresses. Confirm yours in “My account”, then buy here.',
    'over-limit': 'That would be more than one buyer may have. You pay nothing.',
    'not-admitted': 'The sale is not open for you. You pay nothing.',
    'code-refused': 'The shop does not know this code. Look at it once more. You pay nothing.',
    'code-used': 'This code has been used already. You pay nothing.',
    'pass-required': 'Your time to buy has passed, or it is not your turn yet. You pay nothing.',
  },
  /** @param {string} time minutes and seconds */
  heldFor: (time) => `Held for you for ${time}`,
  notePaid: 'It is yours. The shop tells you what comes next.',
  refusalBack: 'There was nothing left when you pressed. Now there is again: you can try once more.',
  refusalOther: 'The shop could not take this order. You pay nothing.',
  openOrder: 'See this order',
  timeLeft: 'Time left to pay',
  paymentTitle: 'Payment',
  partRefunded: 'Paid, part given back',
  refunded: 'Given back',
  receipt: 'Receipt',
  receiptNumber: 'Order number',
  receiptFrom: 'Shop',
  orderedAt: 'Ordered',
  paidAt: 'Paid',
  print: 'Print',
  toSale: 'To the sale',
  /** @param {string} number */
  orderNumberLong: (number) => `Order ${number}`,
  orderMissing: 'You have no such order.',
  orderSignIn: 'Sign in to see this order.',
  unanswered: 'The shop has not answered yet. Open the sale to go on: you buy only once.',
  ordersQueued: 'The queue is long just now. Your order appears here as soon as its turn has come.',
  money: {
    released: 'Nothing was taken. If your bank shows a reservation, it goes away by itself.',
    /** @param {string} price */
    returning: (price) => `${price} is on its way back to you. With your bank that can take some days.`,
    /** @param {string} price */
    returned: (price) => `${price} went back to you. With your bank that can take some days.`,
  },
  paymentLost: 'Your payment could not be taken after all, so the order has ended. You pay nothing.',
  /** @param {string} reason */
  refundedByShop: (reason) => (reason ? `Given back by the shop: ${reason}` : 'Given back by the shop.'),
  giveBack: 'Give it back',
  /** @param {string} name */
  giveBackConfirm: (name) =>
    `Give ${name} back? Your pieces go back on sale, and others may be faster than you.`,
  giveBackDone: 'It is given back. You pay nothing.',
  pay: {
    now: 'Pay now',
    /** @param {string} price */
    pay: (price) => `Pay ${price}`,
    opening: 'One moment…',
    test: 'This is a test: no money moves. What should the card do?',
    cards: {
      ok: 'Pay',
      refused: 'Be refused by the bank',
      'no-funds': 'Have too little money on it',
      processing: 'Pay, after a few seconds',
    },
    sending: 'Paying…',
    processing: 'Your payment is on its way',
    processingNote: 'You may close this page. The result appears here and in “My orders”.',
    failed: 'The payment was refused, and nothing was taken. Try again, or pay in another way.',
    /** By the provider's word. */
    failures: {
      no_answer: 'There was no answer, and nothing was taken. Please try again.',
      card_declined:
        'The bank has refused the card, and nothing was taken. Try another card, or ask the bank.',
      insufficient_funds: 'There is not enough money on this card. Nothing was taken. Try another card.',
      expired_card: 'This card has expired. Nothing was taken. Try another card.',
      incorrect_cvc: 'The card’s check number is not right. Nothing was taken. Please type it again.',
      payment_intent_authentication_failure:
        'Your bank could not tell that it is you. Nothing was taken. Please try again.',
    },
    elsewhere: 'You are paying this order in another tab. Go on there, or pay here instead.',
    here: 'Pay here instead',
    unreachable: 'The payment does not open just now. Please try again.',
    again: 'Try again',
    notHere: 'This order is not paid on this page. Please ask the shop how to pay it.',
    toCheckout: 'Go to the checkout',
    checkoutNote: 'You pay in the shop’s own checkout. As soon as it is paid, this page says so.',
    byShop: 'The shop takes the money itself, and tells you how. As soon as it is paid, this page says so.',
    notNow: 'Not now',
    timeUp: 'The time is over…',
    /** @param {number} seconds */
    spokenLeft: (seconds) =>
      seconds < 60
        ? `${plural(seconds, 'second', 'seconds')} left to pay`
        : `${plural(seconds / 60, 'minute', 'minutes')} left to pay`,
  },
  myOrders: 'All my orders',
  cancelOrder: 'Cancel order',
  /** @param {string} time */
  cancelUntil: (time) => `You can cancel until ${time}.`,
  cancelOver: 'It can no longer be cancelled here. Ask the shop.',
  /** @param {string} name */
  cancelConfirm: (name) =>
    `Cancel your order of ${name}? Your pieces go back on sale, and others may be faster than you.`,
  cancelDone: 'Your order is cancelled.',
  cancelledByBuyer: 'You cancelled it.',
  /** @param {string} reason */
  cancelledByShop: (reason) => (reason ? `Cancelled by the shop: ${reason}` : 'Cancelled by the shop.'),
  calledOff: 'The shop called this sale off.',

  ordersTitle: 'My orders',
  ordersEmpty: 'Nothing here yet.',
  ordersSignIn: 'Sign in to see your orders.',
  showMore: 'Show more',
  unknownSale: 'A sale of the past',

  signIn: 'Sign in',
  signUp: 'Create account',
  signOut: 'Sign out',
  signOutEverywhere: 'Sign out on every device',
  signInTitle: 'Welcome back',
  signUpTitle: 'Be ready to buy',
  toSignUp: 'New here? Create an account',
  toSignIn: 'Have an account? Sign in',
  email: 'Email',
  password: 'Password',
  passwordHint: 'At least 8 characters',
  name: 'Name',
  wrongPassword: 'The email or the password is not right.',
  emailTaken: 'There is an account with this email. Sign in instead?',
  tooMany: 'Too many tries. Please wait a little.',
  fieldFaults: {
    name: 'Please give a name of up to 80 characters.',
    email: 'Please give a whole address, such as ada@example.com.',
    password: 'Please choose 8 to 72 characters.',
    oldPassword: 'Please type your present password.',
  },
  notAccepted: 'That was not accepted. Please look at what you typed.',
  noAnswer: 'The shop does not answer. Please try again.',
  signInAgain: 'Your session is over. Please sign in again.',
  signedInHere: 'Signed in on this page only, because your browser keeps no data of this site.',
  /** @param {string} name */
  welcome: (name) => `Hello, ${name}`,
  signedOut: 'You are signed out.',

  /** @param {string} name */
  signInAt: (name) => `Continue with ${name}`,
  signInFailed: {
    away: 'The sign-in service does not answer. Please try again.',
    refused: 'The sign-in service did not sign you in.',
    expired: 'That took too long. Please sign in again.',
  },
  accountTitle: 'My account',
  toAccount: 'My account',
  toControlRoom: 'Control room',
  accountSignIn: 'Sign in to see your account.',
  addressTitle: 'Address',
  addressVerified: 'Address confirmed',
  addressUnverified: 'Not confirmed',
  unverifiedNote: 'Some sales are only for confirmed addresses. We mail you a link, which works for a day.',
  sendVerification: 'Mail me the link',
  verificationSent: 'The mail is on its way.',
  verifyTitle: 'Confirm your address',
  verifyNow: 'Confirm',
  languageTitle: 'Language',
  languageNote: 'Of these pages on this device, and of the mails to you.',
  save: 'Save',
  passwordTitle: 'Password',
  passwordNote: 'Every other device is signed out.',
  oldPassword: 'Present password',
  newPassword: 'New password',
  changePassword: 'Change password',
  passwordChanged: 'Your password is changed.',
  wrongOldPassword: 'That is not your present password.',
  toForgot: 'Forgot your password?',
  forgotTitle: 'A new password',
  forgotSend: 'Mail me a link',
  forgotSent: 'If there is an account with this address, a mail is on its way.',
  resetTitle: 'Choose a new password',
  resetNow: 'Save and sign in',
  linkExpired: 'This link was used, or is too old. Please ask for a new mail.',
  noPasswords: 'This shop has no passwords: sign in at its identity provider.',
  noMail: 'This shop sends no mail.',
  sessionsTitle: 'Where you are signed in',
  thisDevice: 'This device',
  unknownDevice: 'A device',
  /** @param {string} at */
  sessionUsed: (at) => `Last used ${at}`,
  endSession: 'Sign out there',
  sessionEnded: 'That device is signed out.',
  moreSessions: 'There are older ones. Sign out on every device to end them all.',
  dataTitle: 'Your data',
  downloadData: 'Download my data',
  deleteAccount: 'Delete my account',
  deleteNote:
    'Name, address, password and sessions are deleted at once and for good. Your orders stay in the shop’s books without your name, and what you bought still counts towards the limit of a sale.',
  deleteForGood: 'Delete for good',
  keepAccount: 'Keep my account',
  accountDeleted: 'Your account is deleted.',

  connectionLost: 'Connection lost – stock may be out of date. Reconnecting…',
  backInStock: 'Units are back',

  place: {
    /** @type {Record<'enter' | 'join' | 'leave', string>} */
    actions: { enter: 'Enter the draw', join: 'Join the waiting list', leave: 'Give up my place' },
    /** @param {string} opensAt @param {string} drawAt */
    soon: (opensAt, drawAt) =>
      `Lots decide here, not speed. You can enter from ${opensAt} to ${drawAt}; then the draw is made.`,
    /** @param {string} drawAt */
    rules: (drawAt) =>
      `Lots decide here, not speed: when you enter makes no difference. Each person has one entry. The draw is made at ${drawAt}.`,
    /** @param {string} drawAt */
    entered: (drawAt) => `You are in the draw. It is made at ${drawAt}, and we tell you then.`,
    drawing: 'The draw is being made. This takes a moment.',
    /** @param {number} drawn */
    drawn: (drawn) => `You drew number ${number(drawn)}.`,
    /** @param {number} ahead @param {boolean} more */
    ahead: (ahead, more) =>
      ahead === 0
        ? 'You are next: the next piece is offered to you.'
        : `${more ? 'More than ' : ''}${plural(ahead, 'person is', 'people are')} ahead of you.`,
    offered: 'It was your turn. Your order says what became of it.',
    mayJoin: 'Pieces that come back go to those who wait, one after the other.',
    over: 'The draw was made.',
    check: 'How this draw works, and how to check it',
    refused: {
      'network-full': 'Enough people from your network take part already.',
      'captcha-required': 'Please show first that you are a human.',
      'captcha-unavailable':
        'The check that you are a human could not be loaded. A blocker or your network may keep it away.',
      'over-limit': 'That is more than one person may have.',
      'entries-closed': 'The list of entries is fixed now.',
      'still-on-sale': 'There is one left: buy it.',
      'place-offered': 'It was your turn already. You can cancel the order.',
      'email-not-verified': 'This sale is for confirmed addresses. Confirm yours in “My account” first.',
      paused: 'The sale is paused.',
      ended: 'The sale has ended.',
    },
  },
  room: {
    /** @type {Record<'join' | 'come', string>} */
    actions: { join: 'Take a place', come: 'Come in' },
    rules:
      'This sale has a waiting room. Take a place before the opening: at the opening lots decide the order, not speed. Whoever comes later is behind. You are called when it is your turn.',
    /** @param {number} people */
    gathered: (people) => `${plural(people, 'person has', 'people have')} taken a place.`,
    entered:
      'You are in the waiting room. Your place is drawn at the opening. It stays yours when you close this page or change the device.',
    /** @param {number} position @param {number} ahead */
    place: (position, ahead) =>
      ahead === 0
        ? `Your place is ${number(position)}. You are next.`
        : `Your place is ${number(position)}: at most ${plural(ahead, 'person', 'people')} ahead of you.`,
    waitUnknown: 'How long it takes shows in a moment.',
    /** @param {number} minutes */
    waitWithin: (minutes) => (minutes === 1 ? 'Within a minute.' : `Within ${minutes} minutes.`),
    /** @param {number} from @param {number} to */
    waitRange: (from, to) => `In ${from} to ${to} minutes.`,
    /** @param {number} minutes */
    waitLonger: (minutes) => `Longer than ${plural(minutes, 'minute', 'minutes')}.`,
    unlikely: 'It has become unlikely that something is left when it is your turn.',
    paused: 'The shop has paused the room. Your place stays yours.',
    held: 'It is your turn. The sale is paused: your time stands still until it goes on.',
    soldOut: 'Sold out. If something comes back, the next in line is called.',
    missed: 'You did not come when you were called, so you are at the end. The next time your turn passes.',
    passed: 'Your turn has passed. You can take a place behind the others.',
    late: 'The room is open. Take a place: you are called in turn.',
    /** @param {number} people */
    waiting: (people) => `${plural(people, 'person waits', 'people wait')}.`,
    yourTurn: 'It is your turn',
    /** @param {string} left */
    called: (left) => `It is your turn! Come in within ${left}.`,
    /** @param {string} left */
    inside: (left) => `You are in. Buy within ${left}.`,
    /** @param {string} left */
    insideSite: (left) => `You are in for ${left}.`,
    /** @param {string} host of the site that the person came from */
    goOn: (host) => `Go on to ${host}`,
    /** @param {string} message */
    message: (message) => `The shop says: ${message}`,
    check: 'How the places are drawn, and how to check it',
    refused: {
      'not-called': 'Your time to come in has passed.',
      'called-too-often': 'You were called too often in this sale.',
      'list-full': 'The waiting room is full.',
    },
  },
  draws: {
    title: 'How this draw is made',
    /** @param {string} drawAt @param {number} entries */
    explained: (drawAt, entries) => [
      'When the sale was published, the shop chose a secret number, the seed, and published its fingerprint. So it cannot choose another one later.',
      `At ${drawAt} the list of entries is closed (now ${plural(entries, 'entry', 'entries')}), and its fingerprint is published. So nobody can be added or removed. The list has no names: each person has a pseudonym, which only they know.`,
      'Then the seed is published. Seed and pseudonym together give each entry a number that looks random, and the lowest is first. Anyone can recompute it; your browser can do it here.',
    ],
    cannotShow:
      'What this cannot show is whether the shop, which knew its seed, added entries of its own before the list was closed.',
    /** @param {number} round @param {string} at */
    beacon: (round, at) =>
      `The number of each entry also depends on a random number that independent organisations (drand) publish together: round ${round}, at ${at}. The list is closed before anybody can know it, so the shop cannot steer the draw either.`,
    /** @param {number} named */
    laterRound: (named) =>
      `The list was closed late, when round ${named}, which the sale had named, could be known already. So a later one counts.`,
    /** @param {number} round @param {string} at */
    waived: (round, at) =>
      `The numbers were to depend on round ${round} of drand as well, which was not to be had. At ${at} the shop decided to go on without it. So this cannot show whether the shop, which knew its seed, added entries of its own before the list was closed.`,
    late: 'Waiting for the public random number, which is late. The draw is made when it is here.',
    notYet: 'The draw has not been made yet.',
    recompute: 'Recompute it here',
    notHere:
      'This browser cannot recompute it over a connection without encryption. Download the draw and check it with a program.',
    computing: 'Recomputing…',
    agrees: 'Your browser has recomputed the draw: it agrees.',
    differs: 'Your browser has recomputed the draw: it does NOT agree with what was published.',
    checks: {
      seed: 'The seed has the fingerprint that was published with the sale.',
      list: 'The list has the fingerprint that was published when it was closed.',
      beacon: 'The random number of drand is the one that was published, after the list was closed.',
      order: 'Everybody has the number that follows from both.',
    },
    /** @param {string} pseudonym @param {number | null} drawn */
    mine: (pseudonym, drawn) =>
      `Your pseudonym is ${pseudonym}.${drawn === null ? '' : ` You drew number ${number(drawn)}.`}`,
    download: 'Download the draw as a file, for a program of your own',
    missing: 'There is no such draw.',
  },
};
