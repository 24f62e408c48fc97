import type { MailTexts } from './en.ts';

export const german: MailTexts = {
  language: 'de',
  hello: 'Hallo,',
  yourOrders: 'Deine Bestellungen',
  orderNumber: (number) => `Bestellung Nr. ${number}`,
  notCharged: 'Du zahlst nichts.',

  paid: {
    subject: (what) => `Für dich: ${what}`,
    text: (what) => `Es hat geklappt: ${what}.`,
    textFor: (what, total) => `Es hat geklappt: ${what}, für ${total}.`,
  },
  held: {
    subject: (what) => `Jetzt zahlen: ${what}`,
    text: (what, total, until) =>
      `Wir halten ${what} für dich zurück. Zahle ${total} bis ${until}, sonst kommen andere zum Zug.`,
  },
  turn: {
    subject: (what) => `Du bist an der Reihe: ${what}`,
    text: (what, total, until) =>
      `Du hast darauf gewartet und bist jetzt an der Reihe: Wir halten ${what} für dich zurück. Zahle ${total} bis ${until}, sonst kommt die nächste Person zum Zug.`,
    pay: 'Jetzt zahlen',
  },
  called: {
    subject: (name) => `Komm jetzt herein: ${name}`,
    text: (name, until) =>
      `Du hast auf ${name} gewartet und bist an der Reihe: Komm bis ${until} herein, um zu kaufen. Sonst kommst du ans Ende, und wenn du es wieder verpasst, verlierst du deinen Platz.`,
    again: (name, until) =>
      `Du hast auf ${name} gewartet und bist wieder an der Reihe: Komm bis ${until} herein, um zu kaufen. Sonst verlierst du deinen Platz.`,
    comeIn: 'Hereinkommen',
  },
  drawn: {
    subject: (name) => `Die Verlosung ist gemacht: ${name}`,
    text: (name, number, entries) =>
      `Die Verlosung von ${name} ist gemacht. Du hast die Nummer ${number} von ${entries}. Was da ist, geht zuerst an die niedrigsten Nummern, und was nicht genommen wird, an die nächsten. Wir schreiben dir sofort, wenn du an der Reihe bist.`,
    check: 'Wie gelost wurde, zum Nachprüfen',
  },
  expired: {
    subject: (what) => `Nicht rechtzeitig bezahlt: ${what}`,
    text: (what) =>
      `Deine Bestellung über ${what} wurde nicht rechtzeitig bezahlt und ist nicht mehr für dich reserviert.`,
    money: 'Du zahlst nichts. Eine Zahlung, die zu spät kam, bekommst du zurück.',
  },
  refunded: {
    subject: (amount, what) => `Du bekommst ${amount} zurück: ${what}`,
    part: (what, amount) => `Der Shop erstattet dir ${amount} von deiner Bestellung über ${what}.`,
    whole: (what, amount) =>
      `Der Shop hat deine Bestellung über ${what} beendet, du bekommst ${amount} zurück.`,
  },
  rejected: {
    subject: (names) => `Diesmal leider nicht: ${names}`,
    text: (what) => `Wir konnten dir ${what} nicht geben.`,
    why(reason, asked, left) {
      switch (reason) {
        case 'sold_out':
          if (left === null || left >= asked)
            return 'Andere waren schneller: Als du an der Reihe warst, war weniger übrig, als du wolltest.';
          return left === 0
            ? 'Andere waren schneller: Als du an der Reihe warst, war nichts mehr übrig.'
            : `Du wolltest ${asked} Stück, und als du an der Reihe warst, ${left === 1 ? 'war' : 'waren'} nur noch ${left} übrig. Eine Bestellung wird ganz oder gar nicht ausgeführt.`;
        case 'over_limit':
          return 'Es wäre mehr gewesen, als eine Person in diesem Verkauf haben darf.';
        case 'unknown_sale':
          return 'Diesen Verkauf gibt es nicht mehr.';
        case 'unknown_item':
          return 'In diesem Verkauf gibt es nicht, was du wolltest.';
        case 'called_off':
          return 'Der Shop hat diesen Verkauf abgesagt.';
        default:
          return 'Bei uns ist etwas schiefgegangen, und wir wissen davon.';
      }
    },
  },
  cancelled: {
    subject: (what) => `Storniert: ${what}`,
    byBuyer: (what) => `Deine Bestellung über ${what} ist storniert.`,
    byStaff: (what) => `Der Shop hat deine Bestellung über ${what} storniert.`,
    calledOff: (what) => `Der Verkauf wurde abgesagt, und damit ist deine Bestellung über ${what} storniert.`,
    paymentLost: (what) =>
      `Deine Zahlung für ${what} kam am Ende doch nicht zustande, deshalb ist deine Bestellung storniert.`,
    reason: (reason) => `Der Grund: ${reason}`,
    refund: (total) => `Du bekommst ${total} zurück.`,
  },

  account: (shop) => ({
    'verify-email': {
      subject: `Bestätige deine Adresse für ${shop}`,
      paragraphs: [
        `Diese Adresse wurde für ein Konto bei ${shop} angegeben. Wenn du das warst, bestätige sie mit diesem Link. Er gilt einmal und einen Tag lang.`,
        'Wenn du es nicht warst, tu nichts: Ohne deine Bestätigung folgt nichts daraus.',
      ],
      action: 'Diese Adresse bestätigen',
    },
    'reset-password': {
      subject: `Ein neues Passwort für ${shop}`,
      paragraphs: [
        `Jemand hat ein neues Passwort für dein Konto bei ${shop} angefordert. Wenn du das warst, wähle es mit diesem Link. Er gilt einmal und 30 Minuten lang. Danach bist du überall sonst abgemeldet.`,
        'Wenn du es nicht warst, tu nichts: Dein Passwort bleibt, wie es ist.',
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
      subject: `Dein Passwort für ${shop} wurde geändert`,
      paragraphs: [
        `Das Passwort deines Kontos bei ${shop} wurde geändert, und alle anderen Geräte wurden abgemeldet.`,
        'Wenn du es nicht warst, fordere sofort ein neues Passwort an: „Passwort vergessen?“ steht bei der Anmeldung.',
      ],
      action: 'Dein Konto',
    },
  }),
};
