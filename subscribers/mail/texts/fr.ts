import type { MailTexts } from './en.ts';

export const french: MailTexts = {
  language: 'fr',
  hello: 'Bonjour,',
  yourOrders: 'Vos commandes',
  orderNumber: (number) => `Commande n° ${number}`,
  notCharged: 'Rien ne vous a été débité.',

  paid: {
    subject: (what) => `C’est à vous : ${what}`,
    text: (what) => `C’est réussi : ${what}.`,
    textFor: (what, total) => `C’est réussi : ${what}, pour ${total}.`,
  },
  held: {
    subject: (what) => `À payer maintenant : ${what}`,
    text: (what, total, until) =>
      `Nous vous réservons ${what}. Payez ${total} jusqu’au ${until}, sinon d’autres auront leur chance.`,
  },
  turn: {
    subject: (what) => `C’est votre tour : ${what}`,
    text: (what, total, until) =>
      `Vous l’attendiez, et c’est votre tour : nous vous réservons ${what}. Payez ${total} jusqu’au ${until}, sinon la personne suivante aura sa chance.`,
    pay: 'Payer maintenant',
  },
  called: {
    subject: (name) => `Entrez maintenant : ${name}`,
    text: (name, until) =>
      `Vous avez attendu pour ${name}, et c’est votre tour : entrez avant ${until} pour acheter. Sinon vous passez en fin de file, et si vous manquez encore votre tour, vous perdez votre place.`,
    again: (name, until) =>
      `Vous avez attendu pour ${name}, et c’est de nouveau votre tour : entrez avant ${until} pour acheter. Sinon vous perdez votre place.`,
    comeIn: 'Entrer',
  },
  drawn: {
    subject: (name) => `Le tirage au sort est fait : ${name}`,
    text: (name, number, entries) =>
      `Le tirage au sort pour ${name} est fait. Vous avez le numéro ${number} sur ${entries}. Ce qu’il y a va d’abord aux numéros les plus bas, et ce qui n’est pas pris aux suivants. Nous vous écrivons dès que c’est votre tour.`,
    check: 'Comment le tirage a été fait, pour le vérifier',
  },
  expired: {
    subject: (what) => `Pas payée à temps : ${what}`,
    text: (what) => `Votre commande (${what}) n’a pas été payée à temps et ne vous est plus réservée.`,
    money: 'Rien ne vous a été débité. Un paiement arrivé trop tard vous est remboursé.',
  },
  refunded: {
    subject: (amount, what) => `Vous serez remboursé de ${amount} : ${what}`,
    part: (what, amount) => `La boutique vous rembourse ${amount} de votre commande (${what}).`,
    whole: (what, amount) =>
      `La boutique a mis fin à votre commande (${what}), et vous serez remboursé de ${amount}.`,
  },
  rejected: {
    subject: (names) => `Pas cette fois : ${names}`,
    text: (what) => `Nous n’avons pas pu vous donner ${what}.`,
    why(reason, asked, left) {
      switch (reason) {
        case 'sold_out':
          if (left === null || left >= asked)
            return 'D’autres ont été plus rapides : à votre tour, il en restait moins que vous n’en vouliez.';
          return left === 0
            ? 'D’autres ont été plus rapides : à votre tour, il ne restait plus rien.'
            : `Vous en vouliez ${asked}, et à votre tour il n’en restait que ${left}. Une commande est honorée en entier ou pas du tout.`;
        case 'over_limit':
          return 'C’était plus que ce qu’une personne peut avoir dans cette vente.';
        case 'unknown_sale':
          return 'Cette vente n’existe plus.';
        case 'unknown_item':
          return 'Cette vente ne propose pas ce que vous vouliez.';
        case 'called_off':
          return 'La boutique a annulé cette vente.';
        default:
          return 'Quelque chose n’a pas marché chez nous, et nous le savons.';
      }
    },
  },
  cancelled: {
    subject: (what) => `Annulée : ${what}`,
    byBuyer: (what) => `Votre commande (${what}) est annulée.`,
    byStaff: (what) => `La boutique a annulé votre commande (${what}).`,
    calledOff: (what) => `La vente a été annulée, et donc votre commande (${what}) aussi.`,
    paymentLost: (what) =>
      `Votre paiement pour ${what} n’a finalement pas abouti, votre commande est donc annulée.`,
    reason: (reason) => `La raison : ${reason}`,
    refund: (total) => `Vous serez remboursé de ${total}.`,
  },

  account: (shop) => ({
    'verify-email': {
      subject: `Confirmez votre adresse pour ${shop}`,
      paragraphs: [
        `Cette adresse a été donnée pour un compte chez ${shop}. Si c’était vous, confirmez-la avec ce lien, qui sert une fois et pendant un jour.`,
        'Si ce n’était pas vous, ne faites rien : sans votre confirmation, rien ne s’ensuit.',
      ],
      action: 'Confirmer cette adresse',
    },
    'reset-password': {
      subject: `Un nouveau mot de passe pour ${shop}`,
      paragraphs: [
        `Quelqu’un a demandé un nouveau mot de passe pour votre compte chez ${shop}. Si c’était vous, choisissez-le avec ce lien, qui sert une fois et pendant 30 minutes. Vous serez ensuite déconnecté partout ailleurs.`,
        'Si ce n’était pas vous, ne faites rien : votre mot de passe reste le même.',
      ],
      action: 'Choisir un nouveau mot de passe',
    },
    'join-staff': {
      subject: `Rejoindre l’équipe de ${shop}`,
      paragraphs: [
        `Vous êtes invité à faire partie de l’équipe de ${shop}. Rejoignez-la avec ce lien, valable une seule fois et pendant trois jours.`,
        'Si vous ne vous y attendez pas, ne faites rien : sans vous, rien ne se passe.',
      ],
      action: 'Rejoindre l’équipe',
    },
    'password-changed': {
      subject: `Votre mot de passe pour ${shop} a changé`,
      paragraphs: [
        `Le mot de passe de votre compte chez ${shop} a été changé, et tous les autres appareils ont été déconnectés.`,
        'Si ce n’était pas vous, demandez tout de suite un nouveau mot de passe : « Mot de passe oublié ? » se trouve à la connexion.',
      ],
      action: 'Votre compte',
    },
  }),
};
