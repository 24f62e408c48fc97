import { type Call, type Route, route } from '../http/route.ts';
import { showEventSchema } from '../pages/event-schemas.ts';
import type { Shop } from '../shop.ts';
import { enterAsVisitor, forgetAccount, giveExport, signUp } from './accounts.ts';
import { openControlRoom } from './admin/control-room.ts';
import {
  discardDeadLetter,
  republishDeadLetter,
  showDeadLetter,
  showDeadLetters,
} from './admin/dead-letters.ts';
import { resendMails, resendOneMail, showUnsentMails } from './admin/mails.ts';
import { exportOrders, findOrders } from './admin/orders.ts';
import { showOverview } from './admin/overview.ts';
import { grantVisit } from './admin/queue-board.ts';
import {
  createWebhook,
  deleteWebhook,
  resendDeliveries,
  showDeliveries,
  showWebhooks,
} from './admin/webhooks.ts';
import {
  byEventId,
  byEventType,
  byId,
  byJobId,
  credentials,
  deadLetterList,
  liveSince,
  newestList,
  newProduct,
  newSale,
  newUser,
  newWebhook,
  orderList,
  orderSearch,
  pageAfter,
  productChange,
  purchaseRequest,
  saleChange,
  unsentMailList,
} from './inputs.ts';
import { cancel, payOrder, showOrder, showOrders } from './orders.ts';
import { addPicture, pictureMaxBytes, picturesPath } from './pictures.ts';
import { buy } from './purchases.ts';
import { addProduct, addSale, editProduct, editSale, salesReader, showProducts } from './sales.ts';
import { renew, signIn, signOut, signOutEverywhere } from './sessions.ts';

/** Every endpoint of the API: who may call it, what it takes, and the function that answers. */
export function apiRoutes(shop: Shop): Route[] {
  const sales = salesReader(shop);
  const room = openControlRoom(shop);
  return [
    route('post', '/api/users', 'anyone', (call) => signUp(shop, call), { body: newUser }),
    route('post', '/api/sessions', 'anyone', (call) => signIn(shop, call), { body: credentials }),
    route('delete', '/api/sessions', 'buyer', (call) => signOutEverywhere(shop, call)),
    route('post', '/api/sessions/renewal', 'anyone', (call) => renew(shop, call)),
    route('delete', '/api/sessions/current', 'anyone', (call) => signOut(shop, call)),
    route('get', '/api/account/export', 'buyer', (call) => giveExport(shop, call)),
    route('delete', '/api/account', 'buyer', (call) => forgetAccount(shop, call)),
    route('post', '/api/visitors', 'anyone', () => enterAsVisitor(shop)),

    route('get', '/api/sales', 'anyone', (call) => sales.list(call), { query: pageAfter }),
    route('get', '/api/sales/:id', 'anyone', (call) => sales.one(call), { params: byId }),

    route('post', '/api/sales/:id/purchases', 'buyer', (call) => buy(shop, call), {
      params: byId,
      body: purchaseRequest,
      hot: true,
      limit: 'purchases',
    }),
    route('get', '/api/orders', 'buyer', (call) => showOrders(shop, call), { query: orderList }),
    route('get', '/api/orders/:id', 'buyer', (call) => showOrder(shop, call), { params: byId, hot: true }),
    route('post', '/api/orders/:id/payment', 'buyer', (call) => payOrder(shop, call), { params: byId }),
    route('delete', '/api/orders/:id', 'buyer', (call) => cancel(shop, call), { params: byId, hot: true }),

    route('get', '/schemas/:type/1', 'anyone', showEventSchema, { params: byEventType }),

    route('post', '/api/products', 'admin', (call) => addProduct(shop, call), { body: newProduct }),
    route('patch', '/api/products/:id', 'admin', (call) => editProduct(shop, call), {
      params: byId,
      body: productChange,
    }),
    route('post', '/api/sales', 'admin', (call) => addSale(shop, call), { body: newSale }),
    route('patch', '/api/sales/:id', 'admin', (call) => editSale(shop, call), {
      params: byId,
      body: saleChange,
    }),
    route('get', '/api/admin/overview', 'admin', () => showOverview(shop)),
    route('get', '/api/admin/live', 'admin', (call) => room.live(call), { query: liveSince }),
    route('post', '/api/admin/audits', 'admin', () => room.startAudit()),
    route('get', '/api/admin/products', 'admin', (call) => showProducts(shop, call), { query: pageAfter }),
    route('post', picturesPath, 'admin', (call: Call<unknown, unknown, Buffer>) => addPicture(shop, call), {
      fileMaxBytes: pictureMaxBytes,
    }),
    route('get', '/api/admin/orders', 'admin', (call) => findOrders(shop, call), { query: orderSearch }),
    route('get', '/api/admin/sales/:id/report', 'admin', (call) => room.report(call), { params: byId }),
    route('get', '/api/admin/sales/:id/orders.csv', 'admin', (call) => exportOrders(shop, call), {
      params: byId,
    }),
    route('get', '/api/admin/sales/:id/minutes', 'admin', (call) => room.minutes(call), {
      params: byId,
      query: pageAfter,
    }),
    route('get', '/api/admin/mails', 'admin', (call) => showUnsentMails(shop, call), {
      query: unsentMailList,
    }),
    route('post', '/api/admin/mails/resend', 'admin', () => resendMails(shop)),
    route('post', '/api/admin/mails/:id/resend', 'admin', (call) => resendOneMail(shop, call), {
      params: byEventId,
    }),
    route('get', '/api/admin/webhooks', 'admin', () => showWebhooks(shop)),
    route('post', '/api/admin/webhooks', 'admin', (call) => createWebhook(shop, call), { body: newWebhook }),
    route('delete', '/api/admin/webhooks/:id', 'admin', (call) => deleteWebhook(shop, call), {
      params: byId,
    }),
    route('get', '/api/admin/webhooks/:id/deliveries', 'admin', (call) => showDeliveries(shop, call), {
      params: byId,
      query: newestList,
    }),
    route('post', '/api/admin/webhooks/:id/resend', 'admin', (call) => resendDeliveries(shop, call), {
      params: byId,
    }),
    route('post', '/api/admin/queue-visits', 'admin', () => grantVisit(shop)),
    route('get', '/api/admin/dead-letters', 'admin', (call) => showDeadLetters(shop, call), {
      query: deadLetterList,
    }),
    route('get', '/api/admin/dead-letters/:id', 'admin', (call) => showDeadLetter(shop, call), {
      params: byJobId,
    }),
    route(
      'post',
      '/api/admin/dead-letters/:id/republish',
      'admin',
      (call) => republishDeadLetter(shop, call),
      {
        params: byJobId,
      },
    ),
    route('delete', '/api/admin/dead-letters/:id', 'admin', (call) => discardDeadLetter(shop, call), {
      params: byJobId,
    }),
  ];
}
