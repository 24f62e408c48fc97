/**
 * The same shop without a broker: the order service calls the inventory service by HTTP, and answers after its answer.
 *
 * This program is both services: the one that takes orders calls the other at INVENTORY_URL. The other settings are those
 * of settings.ts.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import express from 'express';
import mongoose from 'mongoose';
import { newOrder } from '../contract.ts';
import { readSettings } from '../settings.ts';

const { MONGO_URL, PORT, HOST, RESERVE_CHANCE, RESERVE_MS } = readSettings();
const inventoryUrl = process.env.INVENTORY_URL ?? 'http://127.0.0.1:8102';
const inventoryTimeoutMs = 2_000;

const mongo = await mongoose.createConnection(MONGO_URL).asPromise();
const app = express().use(express.json({ limit: '16kb' }));
app.get('/readyz', (_request, response) => void response.json({ status: 'ready' }));

app.post('/order', async (request, response) => {
  const order = newOrder.safeParse(request.body);
  if (!order.success) return void response.status(400).json({ error: order.error.issues });
  const reservation = await fetch(`${inventoryUrl}/reservations`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(order.data),
    signal: AbortSignal.timeout(inventoryTimeoutMs),
  }).catch(() => null);
  // The order is not stored, so the client has to retry.
  if (!reservation?.ok) return void response.status(503).json({ error: 'Inventory does not answer' });
  const record = { order_id: randomUUID(), ...order.data, ...((await reservation.json()) as object) };
  await mongo.collection('synchronous_orders').insertOne({ ...record });
  response.status(201).json(record);
});

app.post('/reservations', async (request, response) => {
  await delay(RESERVE_MS);
  const status = Math.random() < RESERVE_CHANCE ? 'reserved' : 'failed';
  await mongo.collection('synchronous_reservations').insertOne({ ...request.body, status });
  response.json({ status });
});

const http = app.listen(PORT ?? 8_101, HOST);
process.once('SIGTERM', () => {
  http.close();
  http.closeAllConnections();
  void mongo.close();
});
