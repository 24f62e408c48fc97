/** The control room in English: its shell, what happens now, and the health of the shop. */

import { number } from '../../shared/format.js';

/** @param {number} count @param {string} one @param {string} [many] */
const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export const english = {
  // Ages
  neverRead: 'never read',
  stale: (/** @type {string} */ age) => `stale: ${age} old`,
  aged: (/** @type {string} */ age) => `${age} old`,

  // Incidents
  since: (/** @type {string} */ time, /** @type {string} */ span) => `since ${time}, for ${span}`,
  whatToDo: 'What to do',
  backToNow: 'Back',
  noParagraph: 'The runbook has no such paragraph.',
  incidents: {
    redis: {
      what: 'Redis does not answer',
      buyers:
        'Buyers: each press of Buy is answered 503, and the page tries again by itself with the same key. Nothing that was accepted is lost. No figure of the queue or of the processes is known.',
    },
    mongodb: {
      what: 'MongoDB does not answer',
      buyers:
        'Buyers: Buy works on, and accepted orders stay “queued” until it is back. Lists, orders and sign-in are answered 503. Sales and consumer lag are not known.',
    },
    rabbitmq: {
      what: 'RabbitMQ does not answer',
      buyers:
        'Buyers: where purchases go through it, each press of Buy is answered 503. Events wait in the log.',
    },
    worker: {
      what: 'No worker is alive',
      buyers: 'Buyers: purchases are accepted and stay “queued” until a worker runs.',
    },
    shop: {
      what: 'No server answers the control room',
      buyers: 'Buyers may get no answer either. Every figure below is the last one received.',
    },
  },

  // Tiles
  tileStates: { good: 'fine', warn: 'watch', bad: 'act' },
  tiles: {
    depth: 'Queue depth',
    rates: 'In and out a second',
    lag: 'Consumer lag',
    latency: 'Settled within (p99)',
    deadLetters: 'Dead letters',
    success: 'Success rate',
    people: 'Sockets',
    alive: 'Alive',
    holds: 'Holds open',
  },
  oldest: (/** @type {string} */ age) => `oldest ${age}`,
  failedRefunds: (/** @type {number} */ count) => `${plural(count, 'refund')} failed for good`,
  paymentsDue: (/** @type {string} */ age) => `oldest payment step due for ${age}`,
  noPaymentDue: 'no payment step is due',
  lastTenSeconds: 'over the last 10 s',
  medianOfMinute: (/** @type {string} */ median) => `p50 ${median}, over the last minute`,
  ofAllAnswers: 'of all answers in a minute',
  behind: (/** @type {string} */ subscriber) => `events behind: ${subscriber}`,
  noSubscribers: 'no subscribers',
  asManyLetters: 'as many as five minutes ago',
  moreLetters: (/** @type {number} */ by) =>
    `${number(Math.abs(by))} ${by > 0 ? 'more' : 'fewer'} than five minutes ago`,
  onServers: (/** @type {number} */ servers) => `on ${plural(servers, 'server')}`,
  servers: (/** @type {number} */ count) => plural(count, 'server'),
  workers: (/** @type {number} */ count) => plural(count, 'worker'),
  gone: (/** @type {number} */ count) => `${number(count)} gone`,

  // Now
  nowTitle: 'Control room: now',
  charts: {
    answers: 'Answers to Buy a second',
    accepted: 'Accepted',
    refused: 'Refused',
    faults: 'Faults',
    orders: 'Orders a second',
    held: 'Held',
    paid: 'Paid',
    rejected: 'Rejected',
    expired: 'Expired',
    refunded: 'Refunded',
    cancelled: 'Cancelled',
    left: 'Left',
    evenly: 'Evenly',
    allFaults: 'Answers 5xx a second',
    byServers: 'By the servers',
    byNginx: 'By nginx itself',
    pace: 'From accepted to settled',
    queue: 'Queue',
    waiting: 'Purchases waiting',
    age: 'Age of the oldest purchase',
    oldest: 'Oldest',
  },
  sales: 'Sales',
  processes: 'Processes',
  processColumns: ['Process', 'Sockets', 'Memory', 'Event loop lag', 'Started'],
  noHeartbeat: 'no heartbeat',
  clockAhead: (/** @type {string} */ by) => `, clock ${by} ahead`,
  clockBehind: (/** @type {string} */ by) => `, clock ${by} behind`,

  // The light of the audit
  audit: {
    never: 'Not audited yet',
    running: 'Auditing…',
    ok: 'Every invariant holds',
    breached: 'An invariant is broken',
    failed: 'The audit did not run',
  },
  auditedAgo: (/** @type {string} */ ago) => `audited ${ago}`,
  auditUnknown: 'not known now',

  // The room
  room: 'Control room',
  signIn: 'Sign in',
  signInAsStaff: 'Sign in as staff of the shop.',
  onlyStaff: 'Only the staff of the shop has access.',
  tabs: {
    now: 'Now',
    sales: 'Sales',
    products: 'Products',
    orders: 'Orders',
    'dead-letters': 'Dead letters',
    queues: 'Queues',
    shop: 'Shop',
    staff: 'Staff',
    keys: 'Keys',
    log: 'Log',
  },
  checkNow: 'Check now',
  auditRuns: 'The audit is running',
  saleColumns: ['Sale', 'Status', 'Left', 'Here', 'Price', 'Window'],
  leftOf: (/** @type {string} */ left, /** @type {string} */ all) => `${left} of ${all}`,
  itemsLeft: (/** @type {string} */ left, /** @type {string} */ all) => `${left} of ${all} items`,

  // Phases, lists and codes
  access: {
    title: 'Who may buy when',
    add: 'Add a phase',
    hint: 'Everybody may buy from the opening on. With phases, members or people with a code come first.',
    phase: 'Phase',
    name: 'Name',
    whoMayBuy: 'Open to',
    begins: 'Begins',
    remove: 'Remove',
    members: 'Members first',
    all: 'Everybody',
    /** @type {Record<import('../../../sale/contract.ts').PhaseAccess, string>} */
    who: { everybody: 'everybody', list: 'people on the list', code: 'people with a code' },
    fromThen: (/** @type {string} */ who, /** @type {string} */ at) => `${who}, from ${at}`,
    nameMissing: 'Give the phase a name: buyers read it',
    afterBefore: 'Expected a time after the phase before',
    list: 'List',
    upload: 'Upload a list…',
    uploadTitle: 'Replace the list',
    uploadHint:
      'One address a line, or a CSV with a column of addresses; at most 100,000. It replaces the list as it is. Only keyed hashes are kept, and only confirmed addresses count.',
    addresses: 'Addresses',
    orFile: 'Or a file',
    noAddresses: 'Paste addresses, or choose a file',
    listed: (/** @type {number} */ count) => `${plural(count, 'person is', 'people are')} on the list`,
    codes: 'Codes',
    columns: ['Codes for', 'Codes', 'Uses each', 'Used', 'Made', 'Revoked'],
    make: 'Make codes…',
    makeTitle: 'Make codes',
    makeNow: 'Make them',
    batchName: 'What for',
    batchHint: 'Only you see it, such as the newsletter in which they are sent.',
    count: 'How many codes',
    countHint: 'One is a shared code.',
    uses: 'Orders for each code',
    usesHint: 'An order that is cancelled gives its use back.',
    csvHead: 'code,link',
    once: (/** @type {number} */ count) =>
      `${plural(count, 'code is', 'codes are')} in the file that was saved. Keep it: codes are stored as hashes and not shown again.`,
    saveAgain: 'Save the file again',
    code: 'Code',
    revoke: 'Revoke',
    revokeOne: 'Revoke one…',
    revokeTitle: 'Revoke a code',
    revokeHint: 'Orders that it has let in stay.',
    revokeConfirm: (/** @type {number} */ count) =>
      `Revoke ${plural(count, 'code')}? Orders that they have let in stay.`,
    revokedAt: (/** @type {string} */ at) => `revoked ${at}`,
    revokedAfter: (/** @type {number} */ count) => `Revoked; it was used ${plural(count, 'time')}`,
  },

  // What a sale demands against bots
  bots: {
    title: 'Against bots',
    puzzle: 'Puzzle',
    puzzleHint:
      'Each device solves it by itself before a purchase, a place or an entry, while its owner waits for the opening. Many accounts then cost much computing.',
    none: 'none',
    light: 'light: not noticed on a phone',
    usual: 'usual: under a second on a phone',
    heavy: 'heavy: a few seconds on a phone',
    asNow: 'as it is set now',
    harder: 'Four times as hard',
    harderHint: 'With a puzzle only.',
    never: 'never',
    atOpening: 'in the first minute',
    underLoad: 'while 5,000 orders wait',
    both: 'in the first minute, and while 5,000 orders wait',
    people: 'People from one network, at most',
    peopleHint: 'Empty: no limit. An office or a dormitory is one network too.',
    peopleAtLeast: 'People from one network: expected at least 1, or nothing',
    network: 'A network is',
    address: 'one internet connection',
    range: '256 neighbouring connections',
    captcha: 'Captcha',
    captchaOn: 'asked of everybody',
    captchaHint: 'Before a place or an entry. Buying needs none.',
    captchaWords: 'a captcha before a place or an entry',
    nothing: 'nothing but the limit for each person',
    networks: 'Networks with the most people',
    networksWhy:
      'This sale limits how many people from one network take part. “Refused” says how often more of them came.',
    networkName: 'Network',
    peopleName: 'People',
    refusedName: 'Refused',
    bits: (/** @type {number} */ bits) => `${bits} bits`,
    puzzleWords: (/** @type {string} */ how) => `a puzzle, ${how}`,
    harderWords: (/** @type {string} */ when) => `four times as hard ${when}`,
    networkWords: (/** @type {string} */ people, /** @type {string} */ network) =>
      `at most ${people} people from one network (${network})`,
  },
};
