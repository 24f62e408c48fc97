import { enterAsVisitor, signIn, signUp } from './accounts.ts';
import { discardDeadLetter, republishDeadLetter, showDeadLetter, showDeadLetters } from './dead-letters.ts';
import {
  byId,
  byJobId,
  credentials,
  deadLetterList,
  newProduct,
  newSale,
  newUser,
  orderList,
  purchaseRequest,
  saleChange,
} from './inputs.ts';
import { cancel, payOrder, showOrder, showOrders } from './orders.ts';
import { showOverview } from './overview.ts';
import { buy } from './purchases.ts';
import { type Route, route } from './route.ts';
import { addProduct, addSale, editSale, salesReader } from './sales.ts';
import type { Shop } from './shop.ts';

/** Every endpoint of the API: who may call it, what it takes, and the function that answers. */
export function apiRoutes(shop: Shop): Route[] {
  const sales = salesReader(shop);
  return [
    route('post', '/api/users', 'anyone', (call) => signUp(shop, call), { body: newUser }),
    route('post', '/api/sessions', 'anyone', (call) => signIn(shop, call), { body: credentials }),
    route('post', '/api/visitors', 'anyone', () => enterAsVisitor(shop)),

    route('get', '/api/sales', 'anyone', () => sales.list()),
    route('get', '/api/sales/:id', 'anyone', (call) => sales.one(call), { params: byId }),

    route('post', '/api/sales/:id/purchases', 'buyer', (call) => buy(shop, call), {
      params: byId,
      body: purchaseRequest,
    }),
    route('get', '/api/orders', 'buyer', (call) => showOrders(shop, call), { query: orderList }),
    route('get', '/api/orders/:id', 'buyer', (call) => showOrder(shop, call), { params: byId }),
    route('post', '/api/orders/:id/payment', 'buyer', (call) => payOrder(shop, call), { params: byId }),
    route('delete', '/api/orders/:id', 'buyer', (call) => cancel(shop, call), { params: byId }),

    route('post', '/api/products', 'admin', (call) => addProduct(shop, call), { body: newProduct }),
    route('post', '/api/sales', 'admin', (call) => addSale(shop, call), { body: newSale }),
    route('patch', '/api/sales/:id', 'admin', (call) => editSale(shop, call), {
      params: byId,
      body: saleChange,
    }),
    route('get', '/api/admin/overview', 'admin', () => showOverview(shop)),
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
