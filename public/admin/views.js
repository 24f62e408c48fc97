/** The views of the control room that load when they are opened: all but the first one. */

/** @import { OpenView } from './admin-page.js' */

import { openDeadLettersView } from './dead-letters/dead-letters-view.js';
import { openRunbookView } from './health/runbook-view.js';
import { openOrderView } from './orders/order-view.js';
import { openOrdersView } from './orders/orders-view.js';
import { openSuspectsView } from './orders/suspects-view.js';
import { openProductsView } from './products/products-view.js';
import { openDraftView } from './sales/draft-view.js';
import { openSaleDetails } from './sales/sale-details.js';
import { openSalesView } from './sales/sales-view.js';
import { openKeysView } from './staff/keys-view.js';
import { openLogView } from './staff/log-view.js';
import { openShopView } from './staff/shop-view.js';
import { openStaffView } from './staff/staff-view.js';

export { openJoinForm } from './staff/join-form.js';

/** By the first part of the address's hash. @type {Map<string, OpenView>} */
export const views = new Map(
  Object.entries({
    sales: openSalesView,
    sale: openSaleDetails,
    draft: openDraftView,
    products: openProductsView,
    orders: openOrdersView,
    order: openOrderView,
    suspects: openSuspectsView,
    'dead-letters': openDeadLettersView,
    shop: openShopView,
    staff: openStaffView,
    keys: openKeysView,
    log: openLogView,
    runbook: openRunbookView,
  }),
);
