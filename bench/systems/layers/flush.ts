import { admissionLimitsOf, openAdmission } from '../../../sale/admission/admission.ts';
import { findSale } from '../../../sale/sale.ts';
import { serveShop } from './serve-shop.ts';

/** Stampede's app and admission, with a flush that takes units and remembers purchases but adds no job. */
await serveShop(({ config, redis, collections, gate, queue }) => {
  const { admit } = openAdmission({
    redis,
    gate,
    queue: { ...queue, flush: { keysIn: () => [], lua: 'local function addJob() end\n' } },
    findSale: (saleId) => findSale(collections, saleId),
    requeueLost: async () => {},
    limits: admissionLimitsOf(config),
  });
  return admit;
});
