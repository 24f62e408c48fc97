/** The control room in German. */

/** @import { english } from './en.js' */

import { number } from '../../shared/format.js';

/** @param {number} count @param {string} one @param {string} many */
const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

/** @type {typeof english} */
export const german = {
  neverRead: 'nie gelesen',
  stale: (age) => `veraltet: ${age} alt`,
  aged: (age) => `${age} alt`,

  since: (time, span) => `seit ${time}, ${span} lang`,
  whatToDo: 'Was zu tun ist',
  backToNow: 'Zurück',
  noParagraph: 'Diesen Absatz hat das Runbook nicht.',
  incidents: {
    redis: {
      what: 'Redis antwortet nicht',
      buyers:
        'Käufer: Jeder Druck auf „Kaufen“ wird mit 503 beantwortet, und die Seite versucht es mit demselben Schlüssel von selbst wieder. Angenommenes geht nicht verloren. Zahlen zu Warteschlange und Prozessen sind unbekannt.',
    },
    mongodb: {
      what: 'MongoDB antwortet nicht',
      buyers:
        'Käufer: Kaufen geht weiter, angenommene Bestellungen bleiben „in der Warteschlange“, bis sie zurück ist. Listen, Bestellungen und Anmeldung werden mit 503 beantwortet. Verkäufe und Rückstand der Abonnenten sind unbekannt.',
    },
    rabbitmq: {
      what: 'RabbitMQ antwortet nicht',
      buyers:
        'Käufer: Wo Käufe darüber laufen, wird jeder Druck auf „Kaufen“ mit 503 beantwortet. Ereignisse warten im Protokoll.',
    },
    worker: {
      what: 'Kein Worker läuft',
      buyers: 'Käufer: Käufe werden angenommen und bleiben „in der Warteschlange“, bis ein Worker läuft.',
    },
    shop: {
      what: 'Kein Server antwortet der Leitstelle',
      buyers: 'Auch Käufer bekommen vielleicht keine Antwort. Jede Zahl unten ist die zuletzt empfangene.',
    },
  },

  tileStates: { good: 'in Ordnung', warn: 'beobachten', bad: 'handeln' },
  tiles: {
    depth: 'Warteschlange',
    rates: 'Ein und aus je Sekunde',
    lag: 'Rückstand',
    latency: 'Abgewickelt in (p99)',
    deadLetters: 'Dead Letters',
    success: 'Erfolgsquote',
    people: 'Sockets',
    alive: 'Am Leben',
    holds: 'Offene Reservierungen',
  },
  oldest: (age) => `ältester ${age}`,
  failedRefunds: (count) =>
    count === 1 ? '1 Erstattung gescheitert' : `${number(count)} Erstattungen gescheitert`,
  paymentsDue: (age) => `ältester Zahlungsschritt seit ${age} fällig`,
  noPaymentDue: 'kein Zahlungsschritt fällig',
  lastTenSeconds: 'über die letzten 10 s',
  medianOfMinute: (median) => `p50 ${median}, über die letzte Minute`,
  ofAllAnswers: 'aller Antworten einer Minute',
  behind: (subscriber) => `Ereignisse Rückstand: ${subscriber}`,
  noSubscribers: 'keine Abonnenten',
  asManyLetters: 'so viele wie vor fünf Minuten',
  moreLetters: (by) => `${number(Math.abs(by))} ${by > 0 ? 'mehr' : 'weniger'} als vor fünf Minuten`,
  onServers: (servers) => `auf ${plural(servers, 'Server', 'Servern')}`,
  servers: (count) => plural(count, 'Server', 'Server'),
  workers: (count) => plural(count, 'Worker', 'Worker'),
  gone: (count) => `${number(count)} ausgefallen`,

  nowTitle: 'Leitstelle: jetzt',
  charts: {
    answers: 'Antworten auf „Kaufen“ je Sekunde',
    accepted: 'Angenommen',
    refused: 'Abgelehnt',
    faults: 'Fehler',
    orders: 'Bestellungen je Sekunde',
    held: 'Reserviert',
    paid: 'Bezahlt',
    rejected: 'Abgewiesen',
    expired: 'Verfallen',
    refunded: 'Erstattet',
    cancelled: 'Storniert',
    left: 'Übrig',
    evenly: 'Gleichmäßig',
    allFaults: 'Antworten 5xx je Sekunde',
    byServers: 'Von den Servern',
    byNginx: 'Von nginx selbst',
    pace: 'Von der Annahme bis zur Abwicklung',
    queue: 'Warteschlange',
    waiting: 'Wartende Käufe',
    age: 'Alter des ältesten Kaufs',
    oldest: 'Ältester',
  },
  sales: 'Verkäufe',
  processes: 'Prozesse',
  processColumns: ['Prozess', 'Sockets', 'Speicher', 'Verzug der Ereignisschleife', 'Gestartet'],
  noHeartbeat: 'kein Lebenszeichen',
  clockAhead: (by) => `, Uhr ${by} voraus`,
  clockBehind: (by) => `, Uhr ${by} zurück`,

  audit: {
    never: 'Noch nicht geprüft',
    running: 'Prüfung läuft …',
    ok: 'Jede Invariante gilt',
    breached: 'Eine Invariante ist verletzt',
    failed: 'Die Prüfung lief nicht',
  },
  auditedAgo: (ago) => `geprüft ${ago}`,
  auditUnknown: 'zurzeit unbekannt',

  room: 'Leitstelle',
  signIn: 'Anmelden',
  signInAsStaff: 'Melde dich als Mitarbeiter des Shops an.',
  onlyStaff: 'Zugang haben nur Mitarbeiter des Shops.',
  tabs: {
    now: 'Jetzt',
    sales: 'Verkäufe',
    products: 'Produkte',
    orders: 'Bestellungen',
    'dead-letters': 'Dead Letters',
    queues: 'Warteschlangen',
    shop: 'Shop',
    staff: 'Personal',
    keys: 'Schlüssel',
    log: 'Protokoll',
  },
  checkNow: 'Jetzt prüfen',
  auditRuns: 'Die Prüfung läuft',
  saleColumns: ['Verkauf', 'Stand', 'Übrig', 'Hier', 'Preis', 'Zeitraum'],
  leftOf: (left, all) => `${left} von ${all}`,
  itemsLeft: (left, all) => `${left} von ${all} Artikeln`,

  // Phasen, Listen und Codes
  access: {
    title: 'Wer wann kaufen kann',
    add: 'Phase hinzufügen',
    hint: 'Alle können ab Beginn kaufen. Mit Phasen kommen Mitglieder oder Leute mit einem Code zuerst.',
    phase: 'Phase',
    name: 'Name',
    whoMayBuy: 'Offen für',
    begins: 'Beginnt',
    remove: 'Entfernen',
    members: 'Mitglieder zuerst',
    all: 'Alle',
    who: { everybody: 'alle', list: 'wer auf der Liste steht', code: 'wer einen Code hat' },
    fromThen: (/** @type {string} */ who, /** @type {string} */ at) => `${who}, ab ${at}`,
    nameMissing: 'Gib der Phase einen Namen: Käufer lesen ihn',
    afterBefore: 'Erwartet ist eine Zeit nach der Phase davor',
    list: 'Liste',
    upload: 'Liste hochladen…',
    uploadTitle: 'Liste ersetzen',
    uploadHint:
      'Eine Adresse je Zeile oder eine CSV-Datei mit einer Spalte voller Adressen; höchstens 100.000. Sie ersetzt die jetzige Liste. Aufbewahrt werden nur Prüfsummen mit Schlüssel, und nur bestätigte Adressen zählen.',
    addresses: 'Adressen',
    orFile: 'Oder eine Datei',
    noAddresses: 'Füge Adressen ein oder wähle eine Datei',
    listed: (/** @type {number} */ count) =>
      count === 1 ? '1 Person steht auf der Liste' : `${number(count)} Personen stehen auf der Liste`,
    codes: 'Codes',
    columns: ['Wofür', 'Codes', 'Je Code', 'Eingelöst', 'Erstellt', 'Gesperrt'],
    make: 'Codes erstellen…',
    makeTitle: 'Codes erstellen',
    makeNow: 'Erstellen',
    batchName: 'Wofür',
    batchHint: 'Nur ihr seht es, etwa den Newsletter, in dem sie stehen.',
    count: 'Wie viele Codes',
    countHint: 'Einer ist ein gemeinsamer Code.',
    uses: 'Bestellungen je Code',
    usesHint: 'Eine stornierte Bestellung gibt ihre Einlösung zurück.',
    csvHead: 'code,link',
    once: (/** @type {number} */ count) =>
      count === 1
        ? '1 Code steht in der gespeicherten Datei. Behalte sie: Codes werden nur als Prüfsumme aufbewahrt und nicht noch einmal gezeigt.'
        : `${number(count)} Codes stehen in der gespeicherten Datei. Behalte sie: Codes werden nur als Prüfsumme aufbewahrt und nicht noch einmal gezeigt.`,
    saveAgain: 'Datei noch einmal speichern',
    code: 'Code',
    revoke: 'Sperren',
    revokeOne: 'Einen sperren…',
    revokeTitle: 'Einen Code sperren',
    revokeHint: 'Bestellungen, die er ermöglicht hat, bleiben.',
    revokeConfirm: (/** @type {number} */ count) =>
      count === 1
        ? '1 Code sperren? Bestellungen, die er ermöglicht hat, bleiben.'
        : `${number(count)} Codes sperren? Bestellungen, die sie ermöglicht haben, bleiben.`,
    revokedAt: (/** @type {string} */ at) => `gesperrt ${at}`,
    revokedAfter: (/** @type {number} */ count) => `Gesperrt; er war ${number(count)}-mal eingelöst`,
  },

  // What a sale demands against bots
  bots: {
    title: 'Gegen Bots',
    puzzle: 'Rätsel',
    puzzleHint:
      'Jedes Gerät löst es von selbst vor einem Kauf, einem Platz oder einer Teilnahme, während sein Besitzer auf die Öffnung wartet. Viele Konten kosten dann viel Rechenzeit.',
    none: 'keines',
    light: 'leicht: auf einem Telefon nicht zu merken',
    usual: 'üblich: unter einer Sekunde auf einem Telefon',
    heavy: 'schwer: einige Sekunden auf einem Telefon',
    asNow: 'wie jetzt eingestellt',
    harder: 'Viermal so schwer',
    harderHint: 'Nur mit einem Rätsel.',
    never: 'nie',
    atOpening: 'in der ersten Minute',
    underLoad: 'solange 5.000 Bestellungen warten',
    both: 'in der ersten Minute, und solange 5.000 Bestellungen warten',
    people: 'Personen aus einem Netz, höchstens',
    peopleHint: 'Leer: keine Grenze. Auch ein Büro oder ein Wohnheim ist ein Netz.',
    peopleAtLeast: 'Personen aus einem Netz: mindestens 1 erwartet, oder nichts',
    network: 'Ein Netz ist',
    address: 'ein Internetanschluss',
    range: '256 benachbarte Anschlüsse',
    captcha: 'Captcha',
    captchaOn: 'von allen verlangt',
    captchaHint: 'Vor einem Platz oder einer Teilnahme. Zum Kaufen braucht es keines.',
    captchaWords: 'ein Captcha vor einem Platz oder einer Teilnahme',
    nothing: 'nichts als die Grenze für jede Person',
    networks: 'Netze mit den meisten Personen',
    networksWhy:
      'Dieser Verkauf begrenzt, wie viele Personen aus einem Netz teilnehmen. „Abgewiesen“ sagt, wie oft weitere kamen.',
    networkName: 'Netz',
    peopleName: 'Personen',
    refusedName: 'Abgewiesen',
    bits: (/** @type {number} */ bits) => `${bits} Bit`,
    puzzleWords: (/** @type {string} */ how) => `ein Rätsel, ${how}`,
    harderWords: (/** @type {string} */ when) => `viermal so schwer: ${when}`,
    networkWords: (/** @type {string} */ people, /** @type {string} */ network) =>
      `höchstens ${people} Personen aus einem Netz (${network})`,
  },
};
