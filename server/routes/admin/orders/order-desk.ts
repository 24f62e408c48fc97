import { z } from 'zod';
import { addressOf } from '../../../../accounts/user.ts';
import { orderDetails, orderNote } from '../../../../insight/contract.ts';
import { findMailedEvent, readOrderDetails } from '../../../../insight/order-details.ts';
import { addNote } from '../../../../insight/order-notes.ts';
import { sendAgain } from '../../../../subscribers/mail/order-mail.ts';
import { byId, prose } from '../../../http/inputs.ts';
import { refuse } from '../../../http/problems.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import type { Shop } from '../../../shop.ts';
import { notSettled } from '../../orders.ts';
import { noOrder } from './order-cancellations.ts';

const newNote = z.strictObject({ text: prose(2_000).trim().min(1) });

export const orderDeskRoutes = ({ collections, gate }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/orders/:id',
    access: 'desk',
    scope: 'orders:read',
    summary: 'An order with its lines, steps, mails, webhooks and notes',
    params: byId,
    answer: [200, orderDetails],
    problems: ['not-found'],
    async handle({ params }) {
      const details = await readOrderDetails(collections, gate, params.id);
      return details ? { status: 200, body: details } : noOrder(params.id);
    },
  }),
  route({
    method: 'post',
    path: '/api/admin/orders/:id/notes',
    access: 'desk',
    scope: 'orders:write',
    summary: 'Add a note for other staff; at most 100, none of which can be changed',
    params: byId,
    body: newNote,
    answer: [201, orderNote],
    problems: ['not-found', 'not-settled', 'too-many-notes'],
    async handle({ params, body, ...call }) {
      const order = await collections.orders.findOne({ _id: params.id });
      if (!order) return (await gate.findPurchase(params.id)) ? notSettled() : noOrder(params.id);
      const { _id: orderId, buyerId } = order;
      const note = await addNote(collections, { orderId, buyerId }, body.text, byOf(call));
      return note
        ? { status: 201, body: note }
        : refuse('too-many-notes', 'expected at most 100 notes on an order');
    },
  }),
  route({
    method: 'post',
    path: '/api/admin/orders/:id/mail',
    access: 'desk',
    scope: 'orders:write',
    summary: 'Send the mail about the order’s last step again',
    params: byId,
    answer: [202, z.object({ eventId: z.string(), type: z.string() })],
    problems: ['not-found', 'not-settled', 'no-address'],
    async handle({ params, ...call }) {
      const order = await collections.orders.findOne({ _id: params.id });
      if (!order) return (await gate.findPurchase(params.id)) ? notSettled() : noOrder(params.id);
      const buyer = await collections.users.findOne({ _id: order.buyerId });
      if (!buyer || !addressOf(buyer))
        return refuse('no-address', 'The buyer has no account with an address here, or has deleted it');
      const event = await findMailedEvent(collections, order);
      if (!event) return refuse('not-found', `There is no mail about order ${params.id}`);
      await sendAgain(collections, event, byOf(call));
      return { status: 202, body: { eventId: event.id, type: event.type } };
    },
  }),
];
