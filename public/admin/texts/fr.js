/** The control room in French. */

/** @import { english } from './en.js' */

import { number } from '../../shared/format.js';

/** @param {number} count @param {string} one @param {string} many */
const plural = (count, one, many) => `${number(count)} ${count < 2 ? one : many}`;

/** @type {typeof english} */
export const french = {
  neverRead: 'jamais lu',
  stale: (age) => `périmé : ${age}`,
  aged: (age) => `il y a ${age}`,

  since: (time, span) => `depuis ${time}, soit ${span}`,
  whatToDo: 'Que faire',
  backToNow: 'Retour',
  noParagraph: 'Le guide n’a pas ce paragraphe.',
  incidents: {
    redis: {
      what: 'Redis ne répond pas',
      buyers:
        'Acheteurs : chaque clic sur « Acheter » reçoit 503, et la page réessaie d’elle-même avec la même clé. Rien de ce qui a été accepté n’est perdu. Les chiffres de la file et des processus sont inconnus.',
    },
    mongodb: {
      what: 'MongoDB ne répond pas',
      buyers:
        'Acheteurs : l’achat continue, et les commandes acceptées restent « en file » jusqu’à son retour. Listes, commandes et connexion reçoivent 503. Les ventes et le retard des abonnés sont inconnus.',
    },
    rabbitmq: {
      what: 'RabbitMQ ne répond pas',
      buyers:
        'Acheteurs : si les achats passent par lui, chaque clic sur « Acheter » reçoit 503. Les événements attendent dans le journal.',
    },
    worker: {
      what: 'Aucun worker ne tourne',
      buyers: 'Acheteurs : les achats sont acceptés et restent « en file » jusqu’à ce qu’un worker tourne.',
    },
    shop: {
      what: 'Aucun serveur ne répond à la salle de contrôle',
      buyers:
        'Les acheteurs n’ont peut-être pas de réponse non plus. Chaque chiffre ci-dessous est le dernier reçu.',
    },
  },

  tileStates: { good: 'normal', warn: 'à surveiller', bad: 'agir' },
  tiles: {
    depth: 'File d’attente',
    rates: 'Entrées et sorties par seconde',
    lag: 'Retard des abonnés',
    latency: 'Traité en (p99)',
    deadLetters: 'Messages morts',
    success: 'Taux de réussite',
    people: 'Sockets',
    alive: 'En vie',
    holds: 'Réservations ouvertes',
  },
  oldest: (age) => `le plus ancien : ${age}`,
  failedRefunds: (count) =>
    count === 1 ? '1 remboursement échoué' : `${number(count)} remboursements échoués`,
  paymentsDue: (age) => `étape de paiement due depuis ${age}`,
  noPaymentDue: 'aucune étape de paiement due',
  lastTenSeconds: 'sur les 10 dernières secondes',
  medianOfMinute: (median) => `p50 ${median}, sur la dernière minute`,
  ofAllAnswers: 'de toutes les réponses d’une minute',
  behind: (subscriber) => `événements de retard : ${subscriber}`,
  noSubscribers: 'aucun abonné',
  asManyLetters: 'autant qu’il y a cinq minutes',
  moreLetters: (by) => `${number(Math.abs(by))} de ${by > 0 ? 'plus' : 'moins'} qu’il y a cinq minutes`,
  onServers: (servers) => `sur ${plural(servers, 'serveur', 'serveurs')}`,
  servers: (count) => plural(count, 'serveur', 'serveurs'),
  workers: (count) => plural(count, 'worker', 'workers'),
  gone: (count) => `${number(count)} disparu${count < 2 ? '' : 's'}`,

  nowTitle: 'Salle de contrôle : maintenant',
  charts: {
    answers: 'Réponses à « Acheter » par seconde',
    accepted: 'Acceptées',
    refused: 'Refusées',
    faults: 'Erreurs',
    orders: 'Commandes par seconde',
    held: 'Réservées',
    paid: 'Payées',
    rejected: 'Rejetées',
    expired: 'Expirées',
    refunded: 'Remboursées',
    cancelled: 'Annulées',
    left: 'Restant',
    evenly: 'Rythme régulier',
    allFaults: 'Réponses 5xx par seconde',
    byServers: 'Par les serveurs',
    byNginx: 'Par nginx lui-même',
    pace: 'De l’acceptation au traitement',
    queue: 'File d’attente',
    waiting: 'Achats en attente',
    age: 'Âge du plus ancien achat',
    oldest: 'Le plus ancien',
  },
  sales: 'Ventes',
  processes: 'Processus',
  processColumns: ['Processus', 'Sockets', 'Mémoire', 'Retard de la boucle', 'Démarré'],
  noHeartbeat: 'aucun signe de vie',
  clockAhead: (by) => `, horloge en avance de ${by}`,
  clockBehind: (by) => `, horloge en retard de ${by}`,

  audit: {
    never: 'Pas encore vérifié',
    running: 'Vérification…',
    ok: 'Chaque invariant tient',
    breached: 'Un invariant est rompu',
    failed: 'La vérification n’a pas eu lieu',
  },
  auditedAgo: (ago) => `vérifié ${ago}`,
  auditUnknown: 'inconnu à présent',

  room: 'Salle de contrôle',
  signIn: 'Se connecter',
  signInAsStaff: 'Connectez-vous en tant que membre du personnel.',
  onlyStaff: 'L’accès est réservé au personnel de la boutique.',
  tabs: {
    now: 'Maintenant',
    sales: 'Ventes',
    products: 'Produits',
    orders: 'Commandes',
    'dead-letters': 'Messages morts',
    queues: 'Files d’attente',
    shop: 'Boutique',
    staff: 'Personnel',
    keys: 'Clés',
    log: 'Journal',
  },
  checkNow: 'Vérifier',
  auditRuns: 'L’audit est en cours',
  saleColumns: ['Vente', 'État', 'Reste', 'Ici', 'Prix', 'Période'],
  leftOf: (left, all) => `${left} sur ${all}`,
  itemsLeft: (left, all) => `${left} articles sur ${all}`,

  // Phases, listes et codes
  access: {
    title: 'Qui peut acheter, et quand',
    add: 'Ajouter une phase',
    hint: 'Tout le monde peut acheter dès l’ouverture. Avec des phases, les membres ou les personnes avec un code passent d’abord.',
    phase: 'Phase',
    name: 'Nom',
    whoMayBuy: 'Ouverte à',
    begins: 'Début',
    remove: 'Retirer',
    members: 'Les membres d’abord',
    all: 'Tout le monde',
    who: {
      everybody: 'tout le monde',
      list: 'les personnes sur la liste',
      code: 'les personnes avec un code',
    },
    fromThen: (/** @type {string} */ who, /** @type {string} */ at) => `${who}, dès ${at}`,
    nameMissing: 'Donnez un nom à la phase : les acheteurs le lisent',
    afterBefore: 'Une heure après la phase précédente est attendue',
    list: 'Liste',
    upload: 'Envoyer une liste…',
    uploadTitle: 'Remplacer la liste',
    uploadHint:
      'Une adresse par ligne, ou un CSV avec une colonne d’adresses ; 100 000 au plus. Elle remplace la liste actuelle. Seules des empreintes à clé sont gardées, et seules les adresses confirmées comptent.',
    addresses: 'Adresses',
    orFile: 'Ou un fichier',
    noAddresses: 'Collez des adresses, ou choisissez un fichier',
    listed: (/** @type {number} */ count) =>
      count < 2
        ? `${number(count)} personne est sur la liste`
        : `${number(count)} personnes sont sur la liste`,
    codes: 'Codes',
    columns: ['Pour', 'Codes', 'Par code', 'Utilisés', 'Créés', 'Annulés'],
    make: 'Créer des codes…',
    makeTitle: 'Créer des codes',
    makeNow: 'Créer',
    batchName: 'Pour',
    batchHint: 'Vous seuls le voyez, par exemple la lettre dans laquelle ils sont envoyés.',
    count: 'Nombre de codes',
    countHint: 'Un seul est un code partagé.',
    uses: 'Commandes par code',
    usesHint: 'Une commande annulée rend son utilisation.',
    csvHead: 'code,lien',
    once: (/** @type {number} */ count) =>
      count < 2
        ? '1 code est dans le fichier enregistré. Gardez-le : les codes ne sont conservés que sous forme d’empreinte et ne sont plus affichés.'
        : `${number(count)} codes sont dans le fichier enregistré. Gardez-le : les codes ne sont conservés que sous forme d’empreinte et ne sont plus affichés.`,
    saveAgain: 'Enregistrer le fichier à nouveau',
    code: 'Code',
    revoke: 'Annuler',
    revokeOne: 'En annuler un…',
    revokeTitle: 'Annuler un code',
    revokeHint: 'Les commandes qu’il a permises restent.',
    revokeConfirm: (/** @type {number} */ count) =>
      count < 2
        ? 'Annuler 1 code ? Les commandes qu’il a permises restent.'
        : `Annuler ${number(count)} codes ? Les commandes qu’ils ont permises restent.`,
    revokedAt: (/** @type {string} */ at) => `annulés ${at}`,
    revokedAfter: (/** @type {number} */ count) => `Annulé ; il a été utilisé ${number(count)} fois`,
  },

  // What a sale demands against bots
  bots: {
    title: 'Contre les robots',
    puzzle: 'Énigme',
    puzzleHint:
      'Chaque appareil la résout seul avant un achat, une place ou une inscription, pendant que son propriétaire attend l’ouverture. Beaucoup de comptes coûtent alors beaucoup de calcul.',
    none: 'aucun',
    light: 'légère : imperceptible sur un téléphone',
    usual: 'habituelle : moins d’une seconde sur un téléphone',
    heavy: 'lourde : quelques secondes sur un téléphone',
    asNow: 'comme réglé maintenant',
    harder: 'Quatre fois plus dure',
    harderHint: 'Seulement avec une énigme.',
    never: 'jamais',
    atOpening: 'pendant la première minute',
    underLoad: 'tant que 5 000 commandes attendent',
    both: 'pendant la première minute, et tant que 5 000 commandes attendent',
    people: 'Personnes d’un même réseau, au plus',
    peopleHint: 'Vide : pas de limite. Un bureau ou une résidence est aussi un réseau.',
    peopleAtLeast: 'Personnes d’un même réseau : au moins 1, ou rien',
    network: 'Un réseau est',
    address: 'une connexion à Internet',
    range: '256 connexions voisines',
    captcha: 'Captcha',
    captchaOn: 'demandé à tous',
    captchaHint: 'Avant une place ou une inscription. L’achat n’en demande pas.',
    captchaWords: 'un captcha avant une place ou une inscription',
    nothing: 'rien que la limite par personne',
    networks: 'Réseaux avec le plus de personnes',
    networksWhy:
      'Cette vente limite le nombre de personnes d’un même réseau. « Refusées » indique combien de fois d’autres sont venues.',
    networkName: 'Réseau',
    peopleName: 'Personnes',
    refusedName: 'Refusées',
    bits: (/** @type {number} */ bits) => `${bits} bits`,
    puzzleWords: (/** @type {string} */ how) => `une énigme, ${how}`,
    harderWords: (/** @type {string} */ when) => `quatre fois plus dure ${when}`,
    networkWords: (/** @type {string} */ people, /** @type {string} */ network) =>
      `au plus ${people} personnes d’un même réseau (${network})`,
  },
};
