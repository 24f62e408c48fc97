import { PaymentFault, type PaymentProvider, type PaymentReport, type PaymentRequest } from './provider.ts';

/**
 * The shop's own checkout. It takes the money and reports each payment with an API key, so there is nothing here to ask: an
 * order's page only sends its buyer there. What has to go back is given back by the shop: a refund is pending until it says so.
 */
export function openExternal({ checkoutUrl }: { checkoutUrl: string }): PaymentProvider {
  const reportOf = ({ paymentId, price }: Pick<PaymentRequest, 'paymentId' | 'price'>): PaymentReport => ({
    paymentId,
    providerId: paymentId,
    stage: 'started',
    isProcessing: false,
    price,
    capturedAmount: 0,
    refundedAmount: null,
    failure: null,
  });
  return {
    name: 'external',
    faultOf: () => null,
    start: async (request) => ({
      ...reportOf(request),
      handover: { redirectUrl: checkoutUrlOf(checkoutUrl, request.orderId) },
    }),
    async read(payment) {
      const [orderId = ''] = payment.paymentId.split('.');
      return { ...reportOf(payment), handover: { redirectUrl: checkoutUrlOf(checkoutUrl, orderId) } };
    },
    capture: async () => {
      throw new PaymentFault('refused', 'a payment of the shop’s own checkout is captured there');
    },
    void: async (payment) => ({ ...reportOf(payment), stage: 'voided' }),
    refund: async (_payment, { refundId, amount }) => ({
      refundId,
      providerId: refundId,
      amount,
      stage: 'pending',
    }),
    async *listSince() {},
    verifyWebhook: () => null,
  };
}

const checkoutUrlOf = (template: string, orderId: string) => template.replace('{orderId}', orderId);
