import type { MailTexts } from './en.ts';

export const german: MailTexts = {
  language: 'de',
  hello: 'Guten Tag,',
  yourOrders: 'Ihre Bestellungen',
  orderNumber: (number) => `Bestellung Nr. ${number}`,

  paid: {
    subject: (what) => `Ihre Bestellung: ${what}`,
    text: (what) => `Es hat geklappt: ${what}.`,
    textFor: (what, total) => `Es hat geklappt: ${what}, für ${total}.`,
  },
  rejected: {
    subject: (names) => `Diesmal leider nicht: ${names}`,
    text: (what) => `Wir konnten Ihnen ${what} nicht geben.`,
    notCharged: 'Ihnen wurde nichts berechnet.',
    why(reason, asked, left) {
      switch (reason) {
        case 'sold_out':
          if (left === null || left >= asked)
            return 'Andere waren schneller: Als Sie an der Reihe waren, war weniger übrig, als Sie wollten.';
          return left === 0
            ? 'Andere waren schneller: Als Sie an der Reihe waren, war nichts mehr übrig.'
            : `Sie wollten ${asked} Stück, und als Sie an der Reihe waren, ${left === 1 ? 'war' : 'waren'} nur noch ${left} übrig. Eine Bestellung wird ganz oder gar nicht ausgeführt.`;
        case 'over_limit':
          return 'Es wäre mehr gewesen, als eine Person in diesem Verkauf haben darf.';
        case 'unknown_sale':
          return 'Diesen Verkauf gibt es nicht mehr.';
        case 'unknown_item':
          return 'In diesem Verkauf gibt es nicht, was Sie wollten.';
        case 'called_off':
          return 'Der Shop hat diesen Verkauf abgesagt.';
        default:
          return 'Bei uns ist etwas schiefgegangen, und wir wissen davon.';
      }
    },
  },
  cancelled: {
    subject: (what) => `Storniert: ${what}`,
    byBuyer: (what) => `Ihre Bestellung über ${what} ist storniert.`,
    byStaff: (what) => `Der Shop hat Ihre Bestellung über ${what} storniert.`,
    calledOff: (what) => `Der Verkauf wurde abgesagt, und damit ist Ihre Bestellung über ${what} storniert.`,
    reason: (reason) => `Der Grund: ${reason}`,
    refund: (total) => `Sie bekommen ${total} zurück.`,
  },

  account: (shop) => ({
    'verify-email': {
      subject: `Bestätigen Sie Ihre Adresse für ${shop}`,
      paragraphs: [
        `Diese Adresse wurde für ein Konto bei ${shop} angegeben. Wenn Sie das waren, bestätigen Sie sie mit diesem Link. Er gilt einmal und einen Tag lang.`,
        'Wenn Sie es nicht waren, tun Sie nichts: Ohne Ihre Bestätigung folgt nichts daraus.',
      ],
      action: 'Diese Adresse bestätigen',
    },
    'reset-password': {
      subject: `Ein neues Passwort für ${shop}`,
      paragraphs: [
        `Jemand hat ein neues Passwort für Ihr Konto bei ${shop} angefordert. Wenn Sie das waren, wählen Sie es mit diesem Link. Er gilt einmal und 30 Minuten lang. Danach sind Sie überall sonst abgemeldet.`,
        'Wenn Sie es nicht waren, tun Sie nichts: Ihr Passwort bleibt, wie es ist.',
      ],
      action: 'Ein neues Passwort wählen',
    },
    'join-staff': {
      subject: `Zum Team von ${shop} kommen`,
      paragraphs: [
        `Sie sind eingeladen, ${shop} mitzubetreiben. Treten Sie mit diesem Link bei; er gilt einmal und drei Tage lang.`,
        'Wenn Sie das nicht erwarten, tun Sie nichts: Ohne Sie geschieht nichts.',
      ],
      action: 'Dem Team beitreten',
    },
    'password-changed': {
      subject: `Ihr Passwort für ${shop} wurde geändert`,
      paragraphs: [
        `Das Passwort Ihres Kontos bei ${shop} wurde geändert, und alle anderen Geräte wurden abgemeldet.`,
        'Wenn Sie es nicht waren, fordern Sie sofort ein neues Passwort an: „Passwort vergessen?“ finden Sie bei der Anmeldung.',
      ],
      action: 'Ihr Konto',
    },
  }),
};
