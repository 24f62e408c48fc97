import type { Identify } from '../http/identity/identification.ts';
import type { Route } from '../http/route.ts';
import type { Shop } from '../shop.ts';
import { accessRoutes } from './access.ts';
import { accountRoutes } from './accounts.ts';
import { apiKeyRoutes } from './admin/api-keys.ts';
import { auditRoutes } from './admin/audits.ts';
import { controlRoomRoutes } from './admin/control-room.ts';
import { deadLetterRoutes } from './admin/dead-letters.ts';
import { mailRoutes } from './admin/mails.ts';
import { orderCancellationRoutes } from './admin/orders/order-cancellations.ts';
import { orderDeskRoutes } from './admin/orders/order-desk.ts';
import { orderRefundRoutes } from './admin/orders/order-refunds.ts';
import { orderAdminRoutes } from './admin/orders/orders.ts';
import { suspectRoutes } from './admin/orders/suspects.ts';
import { overviewRoutes } from './admin/overview.ts';
import { queueVisitRoutes } from './admin/queue-board.ts';
import { saleAccessRoutes } from './admin/sales/access.ts';
import { draftRoutes } from './admin/sales/drafts.ts';
import { productRoutes } from './admin/sales/products.ts';
import { rehearsalRoutes } from './admin/sales/rehearsals.ts';
import { roomRoutes } from './admin/sales/room.ts';
import { saleAdminRoutes } from './admin/sales/sales.ts';
import { staffRoutes } from './admin/staff.ts';
import { staffLogRoutes } from './admin/staff-log.ts';
import { themeRoutes } from './admin/theme.ts';
import { webhookRoutes } from './admin/webhooks.ts';
import { emailVerificationRoutes } from './email-verification.ts';
import { eventSchemaRoutes } from './event-schemas.ts';
import { orderRoutes } from './orders.ts';
import { passwordRoutes } from './passwords.ts';
import { paymentRoutes } from './payments.ts';
import { pictureUploadRoutes } from './pictures.ts';
import { placeRoutes } from './places.ts';
import { providerSignInRoutes } from './provider-sign-in.ts';
import { purchaseRoutes } from './purchases.ts';
import { saleRoutes } from './sales.ts';
import { sessionRoutes } from './sessions.ts';

/** Every endpoint of the API, in the order of `/openapi.json`. */
const features: ((shop: Shop, identify: Identify) => Route[])[] = [
  accountRoutes,
  sessionRoutes,
  passwordRoutes,
  emailVerificationRoutes,
  providerSignInRoutes,
  saleRoutes,
  purchaseRoutes,
  accessRoutes,
  placeRoutes,
  orderRoutes,
  paymentRoutes,
  eventSchemaRoutes,
  productRoutes,
  saleAdminRoutes,
  draftRoutes,
  roomRoutes,
  saleAccessRoutes,
  overviewRoutes,
  controlRoomRoutes,
  auditRoutes,
  rehearsalRoutes,
  pictureUploadRoutes,
  orderAdminRoutes,
  orderDeskRoutes,
  orderCancellationRoutes,
  orderRefundRoutes,
  suspectRoutes,
  mailRoutes,
  webhookRoutes,
  queueVisitRoutes,
  deadLetterRoutes,
  staffRoutes,
  apiKeyRoutes,
  staffLogRoutes,
  themeRoutes,
];

export const apiRoutes = (shop: Shop, identify: Identify): Route[] =>
  features.flatMap((routesOf) => routesOf(shop, identify));
