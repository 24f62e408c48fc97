import { mongoClock } from '../../runtime/clock.ts';
import type { Migration } from './migrate.ts';

const paymentsAtOnce = 2_000;

/**
 * Makes the voided payments due that still pay an order. The version before left nothing to do for them, so their orders
 * stayed paid without any money; the next step of such a payment ends its order.
 */
export const voidedPayments: Migration = {
  name: '0003-voided-payments',
  async up({ collections: { payments, orders }, keepLease }) {
    for (let after = ''; ; ) {
      await keepLease();
      const voided = await payments
        .find(
          { _id: { $gt: after }, state: 'voided', authorisedAt: { $ne: null } },
          { projection: { _id: 1, orderId: 1 } },
        )
        .sort({ _id: 1 })
        .limit(paymentsAtOnce)
        .toArray();
      const last = voided.at(-1);
      if (!last) return;
      const ofOrders = { _id: { $in: voided.map(({ orderId }) => orderId) } };
      const paid = await orders
        .find({ ...ofOrders, status: 'paid' }, { projection: { paymentId: 1 } })
        .toArray();
      const paying = new Set(paid.map(({ paymentId }) => paymentId));
      const ids = voided.map(({ _id }) => _id).filter((id) => paying.has(id));
      await payments.updateMany(
        { _id: { $in: ids }, state: 'voided' },
        { $set: { dueAt: mongoClock.now() }, $inc: { revision: 1 } },
      );
      after = last._id;
    }
  },
};
