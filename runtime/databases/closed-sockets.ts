import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';

/** What is used of the driver's connection, which it does not export. */
interface DriverConnection {
  socket: Socket;
  cleanup(error: Error): void;
}

let isMended = false;

/**
 * Lets a command fail that is written to a socket just as it closes. The driver, up to its version 7.9 at least, then waits for the
 * socket's `drain`, which never comes, and a settlement would hang until its process ends. When it is woken, it sees that its
 * connection is closed and throws MongoNetworkError.
 */
export function failWritesToClosedSockets(): void {
  if (isMended) return;
  isMended = true;
  const ofMongoose = createRequire(fileURLToPath(import.meta.resolve('mongoose')));
  const { Connection } = ofMongoose('mongodb/lib/cmap/connection.js') as {
    Connection: { prototype: DriverConnection };
  };
  const { cleanup } = Connection.prototype;
  Connection.prototype.cleanup = function (error) {
    cleanup.call(this, error);
    this.socket.emit('drain');
    // A command that was still being compressed is written later.
    this.socket.on('newListener', (event) => {
      if (event === 'drain') setImmediate(() => this.socket.emit('drain'));
    });
  };
}
