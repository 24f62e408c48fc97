import type { Server as HttpServer, IncomingHttpHeaders } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import type { Redis } from 'ioredis';
import { Server, type Socket } from 'socket.io';
import type { Config } from '../runtime/config.ts';
import { coalesceStock } from '../sale/broadcast.ts';
import type { ClientToServerEvents, SaleSnapshot, ServerToClientEvents } from '../sale/contract.ts';
import type { Settled } from '../sale/transaction.ts';
import type { Identity, Tokens } from './auth.ts';
import { byId } from './inputs.ts';

/** Between instances: the worker tells every server what a batch changed, and each server tells its own sockets. */
interface InterServerEvents {
  settled: (settled: Settled) => void;
}

type LiveServer = Server<
  ClientToServerEvents,
  ServerToClientEvents,
  InterServerEvents,
  { identity: Identity }
>;
type LiveSocket = Socket<
  ClientToServerEvents,
  ServerToClientEvents,
  InterServerEvents,
  { identity: Identity }
>;

const saleRoom = (saleId: string) => `sale:${saleId}`;
const buyerRoom = (buyerId: string) => `buyer:${buyerId}`;

export interface Live {
  announceSale(snapshot: SaleSnapshot): void;
  announceSettled(settled: Settled): void;
  /** Says goodbye to every socket; each reconnects to another instance. */
  close(): Promise<void>;
}

/** @param publisher and `subscriber`: two connections of their own, as a subscriber can do nothing else. */
export function openLive(
  http: HttpServer,
  tokens: Tokens,
  { publisher, subscriber }: { publisher: Redis; subscriber: Redis },
  config: Config,
): Live {
  const io: LiveServer = new Server(http, {
    adapter: createAdapter(publisher, subscriber),
    // One long connection needs no sticky sessions; a page that cannot have it polls the API.
    transports: ['websocket'],
    allowRequest: (request, decide) => decide(null, isWelcome(request.headers, config.ALLOWED_ORIGINS)),
    // What a page sends is a sale's id.
    maxHttpBufferSize: 1_024,
    connectTimeout: 10_000,
  });

  const stock = coalesceStock({
    perSecond: config.STOCK_MESSAGES_PER_SECOND,
    send: (message) => io.local.to(saleRoom(message.saleId)).emit('stock', message),
  });

  function tellOwnSockets({ stocks, orders }: Settled): void {
    for (const message of stocks) stock.tell(message);
    const { rooms } = io.of('/').adapter;
    for (const { buyerId, order } of orders) {
      const room = buyerRoom(buyerId);
      if (rooms.has(room)) io.local.to(room).emit('order', order);
    }
  }
  io.on('settled', tellOwnSockets);

  io.use((socket, next) => {
    const { token } = socket.handshake.auth;
    const identity = typeof token === 'string' ? tokens.verify(token) : null;
    if (!identity) return next(new Error('unauthorized'));
    socket.data.identity = identity;
    next();
  });
  io.on('connection', welcome);

  return {
    announceSale(snapshot) {
      io.to(saleRoom(snapshot.id)).emit('sale', snapshot);
    },
    announceSettled(settled) {
      tellOwnSockets(settled);
      io.serverSideEmit('settled', settled);
    },
    async close() {
      stock.close();
      await io.close();
    },
  };
}

/** Rooms are by the server's say: the buyer's own, and one sale. */
function welcome(socket: LiveSocket): void {
  const { userId, role } = socket.data.identity;
  if (role !== 'visitor') void socket.join(buyerRoom(userId));
  let watched: string | null = null;

  socket.on('watch', (request, acknowledge) => {
    const reply = typeof acknowledge === 'function' ? acknowledge : () => {};
    const parsed = byId.safeParse({ id: request?.saleId });
    if (!parsed.success) return reply({ ok: false, detail: 'expected {saleId}, the id of a sale' });
    if (watched) void socket.leave(watched);
    watched = saleRoom(parsed.data.id);
    void socket.join(watched);
    reply({ ok: true });
  });
}

/** A browser always says where its page comes from; `cors` would not stop a foreign page's websocket. */
function isWelcome({ origin, host }: IncomingHttpHeaders, allowed: readonly string[]): boolean {
  if (!origin) return true;
  return allowed.includes(origin) || (URL.canParse(origin) && new URL(origin).host === host);
}
