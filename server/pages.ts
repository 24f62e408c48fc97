import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { Router } from 'express';

const pages = fileURLToPath(new URL('../public/', import.meta.url));
const charts = dirname(createRequire(import.meta.url).resolve('uplot'));

/** Addresses that stand for a page; every other file is at its own name. */
const addresses = {
  '/sales/:id': 'sale.html',
  '/orders': 'orders.html',
  '/admin': 'admin.html',
  '/ticker/:id': 'ticker.html',
} as const;

/** The pages and their files, as they are. */
export function pageRoutes(): Router {
  const router = Router();
  for (const [address, file] of Object.entries(addresses)) {
    router.get(address, (_request, response) => response.sendFile(file, { root: pages }));
  }
  router.get('/embed.js', (_request, response) => {
    response.set(openToAnySite).sendFile('embed.js', { root: pages });
  });
  router.use('/vendor/uplot', express.static(charts, { index: false, maxAge: '1h' }));
  router.use(express.static(pages));
  return router;
}

/** For what other sites may load: the embedded element, and the snapshot that it reads. There is no secret in either. */
export const openToAnySite = {
  'Access-Control-Allow-Origin': '*',
  'Cross-Origin-Resource-Policy': 'cross-origin',
} as const;
