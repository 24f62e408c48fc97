/** The socket.io connection. Messages may be lost, so a page fetches a snapshot each time the socket connects. */

/** @import { Socket } from 'socket.io-client' */
/** @import { ClientToServerEvents, CrowdMessage, Order, RoomStatus, SaleSnapshot, ServerToClientEvents, StockMessage } from '../../sale/contract.ts' */

import {
  currentSession,
  dropVisitorToken,
  endSession,
  NotSignedIn,
  onSessionChange,
  renew,
  socketToken,
} from '../account/session.js';
import { jittered } from './clock.js';

const ACKNOWLEDGE_MS = 5_000;
const TRY_AGAIN_MS = 2_000;
/** A timeout of our own, because the client does not notice when the network fails while it connects. */
const CONNECT_MS = 8_000;

/**
 * Loads beside the page's first drawing, which needs no socket.
 * @param {number} failures @returns {Promise<{ io: typeof import('socket.io-client').io }>}
 */
async function loadClient(failures) {
  // A browser caches a failed import, so the next attempt needs another address.
  if (failures > 0) return await import(`/socket.io/socket.io.esm.min.js?again=${failures}`);
  return await import('/socket.io/socket.io.esm.min.js');
}

/**
 * @typedef {object} LivePage
 * @property {string} [saleId] the sale to watch
 * @property {boolean} [isList] watches all sales, with fewer messages
 * @property {() => void} onUp connected and watching, so the page should fetch a snapshot
 * @property {() => void} onDown
 * @property {(message: StockMessage) => void} [onStock]
 * @property {(sale: SaleSnapshot) => void} [onSale]
 * @property {(order: Order) => void} [onOrder]
 * @property {(message: CrowdMessage) => void} [onCrowd]
 * @property {(status: RoomStatus) => void} [onRoom]
 */

/** @param {LivePage} page @param {number} [failures] how often the client did not load */
export async function openLive(page, failures = 0) {
  try {
    const { io } = await loadClient(failures);
    keepWatching(connect(io), page);
  } catch {
    page.onDown();
    setTimeout(() => openLive(page, failures + 1), jittered(TRY_AGAIN_MS));
  }
}

/** @param {typeof import('socket.io-client').io} io @returns {Socket<ServerToClientEvents, ClientToServerEvents>} */
const connect = (io) =>
  io({
    transports: ['websocket'],
    timeout: CONNECT_MS,
    reconnectionDelay: 500,
    reconnectionDelayMax: 5_000,
    randomizationFactor: 0.5,
    auth: (present) => {
      // Without a token the server refuses the socket, and the handler of `connect_error` retries later.
      socketToken().then(
        (token) => present({ token }),
        () => present({}),
      );
    },
  });

/** @param {Socket<ServerToClientEvents, ClientToServerEvents>} socket @param {LivePage} page */
function keepWatching(socket, { saleId, isList, onUp, onDown, onStock, onSale, onOrder, onCrowd, onRoom }) {
  function watch() {
    if (!saleId && !isList) return onUp();
    const connection = socket.id;
    const isOver = () => socket.id !== connection;
    const tryAgain = () => {
      if (isOver()) return;
      onDown();
      setTimeout(() => isOver() || watch(), jittered(TRY_AGAIN_MS));
    };
    const silence = setTimeout(tryAgain, ACKNOWLEDGE_MS);
    const answered = (/** @type {{ ok: boolean }} */ { ok }) => {
      clearTimeout(silence);
      if (!ok) return tryAgain();
      if (!isOver()) onUp();
    };
    if (saleId) socket.emit('watch', { saleId }, answered);
    else socket.emit('browse', answered);
  }

  let isRenewed = false;
  socket.on('connect', () => {
    isRenewed = false;
    watch();
  });
  socket.on('disconnect', (reason) => {
    if (reason === 'io client disconnect') return;
    onDown();
    if (reason === 'io server disconnect') setTimeout(() => socket.connect(), jittered(TRY_AGAIN_MS));
  });
  socket.on('connect_error', (error) => {
    if (socket.active) return onDown(); // socket.io reconnects by itself
    if (error.message === 'unauthorized') {
      const session = currentSession();
      if (session && isRenewed) return endSession('expired'); // which reconnects as a visitor
      if (session) {
        isRenewed = true;
        // If the renewal fails the session ends, and the socket reconnects as a visitor.
        renew(session).then(
          () => socket.connect(),
          (problem) =>
            problem instanceof NotSignedIn || setTimeout(() => socket.connect(), jittered(TRY_AGAIN_MS)),
        );
        return onDown();
      }
      dropVisitorToken();
      if (!isRenewed) {
        isRenewed = true;
        return socket.connect();
      }
    }
    onDown();
    setTimeout(() => socket.connect(), jittered(TRY_AGAIN_MS));
  });
  // The server identifies a socket by its token at the handshake, so another token needs a new connection.
  onSessionChange(() => socket.disconnect().connect());

  if (onStock) socket.on('stock', onStock);
  if (onSale) socket.on('sale', onSale);
  if (onOrder) socket.on('order', onOrder);
  if (onCrowd) socket.on('crowd', onCrowd);
  if (onRoom) socket.on('room', onRoom);
}
