import type { Server as HttpServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import type { Redis } from 'ioredis';
import { Server, type Socket } from 'socket.io';
import type { Expulsion } from '../../accounts/session.ts';
import type { Config } from '../../runtime/config.ts';
import { coalesceStock } from '../../sale/broadcast.ts';
import type { ClientToServerEvents, SaleSnapshot, ServerToClientEvents } from '../../sale/contract.ts';
import type { Settled } from '../../sale/settlement/transaction.ts';
import { limitOf } from '../http/limits.ts';
import type { Identity, Tokens } from '../http/tokens.ts';
import { byId } from '../routes/inputs.ts';
import { type Audience, openAudience } from './audience.ts';
import { keepInBounds, openDoor, socketPath } from './bounds.ts';

/** Between instances: the worker tells every server what a batch changed, and each server tells its own sockets. */
interface InterServerEvents {
  changed: (snapshot: SaleSnapshot) => void;
  settled: (settled: Settled) => void;
  /** Their access tokens from before then are not good any more. */
  expelled: (who: Expulsion) => void;
}

interface SocketData {
  identity: Identity;
  /** When its token expires. */
  expiresAtMs: number;
}

type LiveServer = Server<ClientToServerEvents, ServerToClientEvents, InterServerEvents, SocketData>;
type LiveSocket = Socket<ClientToServerEvents, ServerToClientEvents, InterServerEvents, SocketData>;

type EngineConnection = LiveSocket['conn'];

/** The pages that list all sales. */
const listRoom = 'sales';
/** A list is for choosing: it need not follow each piece. */
const listStockPerSecond = 2;
/** Sales whose watchers an instance counts, those with most of them: anybody may watch any made-up id. */
const countedSales = 500;

const saleRoom = (saleId: string) => `sale:${saleId}`;
const buyerRoom = (buyerId: string) => `buyer:${buyerId}`;

export interface Live {
  /** The sockets of this instance, and how many of them watch each sale. */
  count(): { sockets: number; watching: Record<string, number> };
  /** Packets that this instance's sockets sent and were sent since it started. */
  traffic(): { received: number; sent: number };
  /** Tells this instance's pages how many people are here, on all instances. */
  tellCrowd(people: Record<string, number>): void;
  announceSale(snapshot: SaleSnapshot): void;
  announceSettled(settled: Settled): void;
  /** Refuses this user's tokens from before then and cuts off their sockets, on every instance. */
  expel(who: Expulsion): void;
  /** The same on this instance; who was expelled already is left alone. */
  hearExpelled(who: Expulsion): void;
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
  const door = openDoor(http, config);
  const messagesPerMinute = limitOf(config, 'messages', config.SOCKET_MESSAGES_PER_MINUTE).quota;
  const io: LiveServer = new Server(http, {
    path: socketPath,
    // The door answers what goes elsewhere.
    destroyUpgrade: false,
    adapter: createAdapter(publisher, subscriber),
    // One long connection needs no sticky sessions; a page that cannot have it polls the API.
    transports: ['websocket'],
    allowRequest: (request, decide) => decide(null, door.isOpenTo(request)),
    // What a page sends is a sale's id.
    maxHttpBufferSize: 1_024,
    connectTimeout: 10_000,
  });

  const traffic = { received: 0, sent: 0 };
  io.engine.on('connection', (connection: EngineConnection) => {
    connection.on('packet', () => {
      traffic.received += 1;
    });
    connection.on('packetCreate', () => {
      traffic.sent += 1;
    });
  });

  const stock = coalesceStock({
    perSecond: config.STOCK_MESSAGES_PER_SECOND,
    send: (message) => io.local.to(saleRoom(message.saleId)).emit('stock', message),
  });

  const listStock = coalesceStock({
    perSecond: listStockPerSecond,
    send: (message) => io.local.to(listRoom).emit('stock', message),
  });
  const crowd = openAudience((message) => io.local.to(saleRoom(message.saleId)).emit('crowd', message));

  function tellOwnSockets({ stocks, orders }: Settled): void {
    for (const message of stocks) {
      stock.push(message);
      listStock.push(message);
    }
    const { rooms } = io.of('/').adapter;
    for (const { buyerId, order } of orders) {
      const room = buyerRoom(buyerId);
      if (rooms.has(room)) io.local.to(room).emit('order', order);
    }
  }
  io.on('settled', tellOwnSockets);
  // A worker found that a change had not reached the gate, and so perhaps not the tabs.
  io.on('changed', (snapshot: SaleSnapshot) => {
    io.local.to([saleRoom(snapshot.id), listRoom]).emit('sale', snapshot);
  });

  function expelHere({ userId, atMs }: Expulsion): void {
    if (!tokens.revoke(userId, atMs)) return;
    io.local.in(buyerRoom(userId)).disconnectSockets(true);
  }
  io.on('expelled', expelHere);

  io.use((socket, next) => {
    const { token } = socket.handshake.auth;
    const verified = typeof token === 'string' ? tokens.verify(token) : null;
    if (!verified) return next(new Error('unauthorized'));
    const { expiresAtMs, ...identity } = verified;
    socket.data = { identity, expiresAtMs };
    next();
  });
  io.on('connection', (socket) => {
    keepInBounds(socket, messagesPerMinute);
    welcome(socket, crowd);
  });

  return {
    count() {
      const rooms = [...io.of('/').adapter.rooms]
        .filter(([room]) => room.startsWith(saleRoom('')))
        .map(([room, sockets]) => [room.slice(saleRoom('').length), sockets.size] as const)
        .sort(([, one], [, other]) => other - one);
      const watching = Object.fromEntries(rooms.slice(0, countedSales));
      return { sockets: io.of('/').sockets.size, watching };
    },
    traffic: () => traffic,
    tellCrowd: crowd.hear,
    announceSale(snapshot) {
      io.to([saleRoom(snapshot.id), listRoom]).emit('sale', snapshot);
    },
    announceSettled(settled) {
      tellOwnSockets(settled);
      io.serverSideEmit('settled', settled);
    },
    hearExpelled: expelHere,
    expel(who) {
      expelHere(who);
      io.serverSideEmit('expelled', who);
    },
    async close() {
      stock.close();
      listStock.close();
      await io.close();
    },
  };
}

/** Rooms are by the server's say: the buyer's own, and one sale. */
function welcome(socket: LiveSocket, crowd: Audience): void {
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
    const here = crowd.of(parsed.data.id);
    if (here) socket.emit('crowd', here);
  });
  socket.on('browse', (acknowledge) => {
    void socket.join(listRoom);
    if (typeof acknowledge === 'function') acknowledge({ ok: true });
  });
}
