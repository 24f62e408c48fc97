import type { Server as HttpServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import type { Redis } from 'ioredis';
import { Server, type Socket } from 'socket.io';
import type { Revocation } from '../../accounts/session.ts';
import type { Config } from '../../runtime/config.ts';
import { coalesceStock } from '../../sale/broadcast.ts';
import type {
  ClientToServerEvents,
  RoomStatus,
  SaleSnapshot,
  ServerToClientEvents,
} from '../../sale/contract.ts';
import { isRehearsal } from '../../sale/rehearsal.ts';
import type { Settled } from '../../sale/settlement/transaction.ts';
import type { Identity, Tokens } from '../http/identity/tokens.ts';
import { byId } from '../http/inputs.ts';
import { limitOf } from '../http/limits.ts';
import { type Audience, openAudience } from './audience.ts';
import { limitSocket, openConnectionGuard, socketPath } from './bounds.ts';

/** Messages between processes: a worker sends each batch's changes to all servers, which send them to their own sockets. */
interface InterServerEvents {
  changed: (snapshot: SaleSnapshot) => void;
  settled: (settled: Settled) => void;
  room: (status: RoomStatus) => void;
  /** A user's access tokens issued before a time are revoked. */
  expelled: (who: Revocation) => void;
}

interface SocketData {
  identity: Identity;
  /** Expiry of the socket's token, in Unix ms. */
  expiresAtMs: number;
}

type LiveServer = Server<ClientToServerEvents, ServerToClientEvents, InterServerEvents, SocketData>;
type LiveSocket = Socket<ClientToServerEvents, ServerToClientEvents, InterServerEvents, SocketData>;

type EngineConnection = LiveSocket['conn'];

/** The room of pages that list all sales. */
const listRoom = 'sales';
/** The rooms that hear of a changed sale; no list has a rehearsal. */
const roomsOf = ({ id }: SaleSnapshot) => (isRehearsal(id) ? [saleRoom(id)] : [saleRoom(id), listRoom]);
/** Stock messages per sale and second to pages that show that sale. */
const stockMessagesPerSecond = 20;
/** Stock messages per sale and second to pages that list all sales; they need not show every change. */
const listStockPerSecond = 2;
/** Only the sales with the most sockets are counted, because clients may watch any number of made-up ids. */
const countedSales = 500;

const saleRoom = (saleId: string) => `sale:${saleId}`;
const buyerRoom = (buyerId: string) => `buyer:${buyerId}`;

export interface Live {
  /** The number of this instance's sockets, and how many of them watch each sale. */
  count(): { sockets: number; watching: Record<string, number> };
  /** Packets received from and sent to this instance's sockets since it started. */
  traffic(): { received: number; sent: number };
  /** Sends this instance's pages the audience count of all instances. */
  updateAudience(people: Record<string, number>): void;
  announceSale(snapshot: SaleSnapshot): void;
  announceSettled(settled: Settled): void;
  /** Revokes this user's older access tokens and closes their sockets, on every instance. */
  revokeTokens(who: Revocation): void;
  /** The same on this instance only; a known revocation is ignored. */
  applyRevocation(who: Revocation): void;
  /** Closes every socket; each reconnects to another instance. */
  close(): Promise<void>;
}

/**
 * @param publisher and `subscriber` are two dedicated connections, because a subscribing one takes no other commands.
 * @param addSettled is called with every order that any instance settled.
 * @param keepRoom is called with every status of a waiting room.
 */
export function openLive(
  http: HttpServer,
  tokens: Tokens,
  { publisher, subscriber }: { publisher: Redis; subscriber: Redis },
  config: Config,
  addSettled: (orders: Settled['orders']) => void,
  keepRoom: (status: RoomStatus) => void,
): Live {
  const guard = openConnectionGuard(http, config);
  const messagesPerMinute = limitOf(config, 'messages', config.SOCKET_MESSAGES_PER_MINUTE).quota;
  const io: LiveServer = new Server(http, {
    path: socketPath,
    // The connection guard answers upgrades at other paths.
    destroyUpgrade: false,
    adapter: createAdapter(publisher, subscriber),
    // Websockets need no sticky sessions; a page that cannot open one polls the API.
    transports: ['websocket'],
    allowRequest: (request, decide) => decide(null, guard.allows(request)),
    // A page sends nothing longer than a sale's id.
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
    perSecond: stockMessagesPerSecond,
    send: (message) => io.local.to(saleRoom(message.saleId)).emit('stock', message),
  });

  const listStock = coalesceStock({
    perSecond: listStockPerSecond,
    send: (message) => io.local.to(listRoom).emit('stock', message),
  });
  const audience = openAudience((message) => io.local.to(saleRoom(message.saleId)).emit('crowd', message));

  function sendToOwnSockets({ stocks, orders }: Settled): void {
    addSettled(orders);
    for (const message of stocks) {
      stock.push(message);
      if (!isRehearsal(message.saleId)) listStock.push(message);
    }
    const { rooms } = io.of('/').adapter;
    for (const { buyerId, order } of orders) {
      const room = buyerRoom(buyerId);
      if (rooms.has(room)) io.local.to(room).emit('order', order);
    }
  }
  io.on('settled', sendToOwnSockets);
  // A worker found that a change had not reached the gate, so the pages may have missed it too.
  io.on('changed', (snapshot: SaleSnapshot) => {
    io.local.to(roomsOf(snapshot)).emit('sale', snapshot);
  });

  io.on('room', (status: RoomStatus) => {
    keepRoom(status);
    io.local.to(saleRoom(status.saleId)).emit('room', status);
  });

  function revokeHere({ userId, atMs }: Revocation): void {
    if (!tokens.revoke(userId, atMs)) return;
    io.local.in(buyerRoom(userId)).disconnectSockets(true);
  }
  io.on('expelled', revokeHere);

  io.use((socket, next) => {
    const { token } = socket.handshake.auth;
    const verified = typeof token === 'string' ? tokens.verify(token) : null;
    if (!verified) return next(new Error('unauthorized'));
    const { expiresAtMs, ...identity } = verified;
    socket.data = { identity, expiresAtMs };
    next();
  });
  io.on('connection', (socket) => {
    limitSocket(socket, messagesPerMinute);
    handleSocket(socket, audience);
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
    updateAudience: audience.update,
    announceSale(snapshot) {
      io.to(roomsOf(snapshot)).emit('sale', snapshot);
    },
    announceSettled(settled) {
      sendToOwnSockets(settled);
      io.serverSideEmit('settled', settled);
    },
    applyRevocation: revokeHere,
    revokeTokens(who) {
      revokeHere(who);
      io.serverSideEmit('expelled', who);
    },
    async close() {
      stock.close();
      listStock.close();
      await io.close();
    },
  };
}

/** Joins the rooms of the buyer and of their session, and the room of the sale that the page watches. */
function handleSocket(socket: LiveSocket, audience: Audience): void {
  const { userId, sessionId, role } = socket.data.identity;
  if (role !== 'visitor') void socket.join(buyerRoom(userId));
  // A revocation names a user or a session.
  if (sessionId) void socket.join(buyerRoom(sessionId));
  let watched: string | null = null;

  socket.on('watch', (request, acknowledge) => {
    const reply = typeof acknowledge === 'function' ? acknowledge : () => {};
    const parsed = byId.safeParse({ id: request?.saleId });
    if (!parsed.success) return reply({ ok: false, detail: 'expected {saleId}, the id of a sale' });
    if (watched) void socket.leave(watched);
    watched = saleRoom(parsed.data.id);
    void socket.join(watched);
    reply({ ok: true });
    const count = audience.of(parsed.data.id);
    if (count) socket.emit('crowd', count);
  });
  socket.on('browse', (acknowledge) => {
    void socket.join(listRoom);
    if (typeof acknowledge === 'function') acknowledge({ ok: true });
  });
}
