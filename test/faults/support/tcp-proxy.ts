import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy that simulates network faults. */
export interface TcpProxy {
  port: number;
  /** Stops forwarding until `flow()`, with connections kept open. */
  stall(): void;
  flow(): void;
  /** Closes every open connection. */
  reset(): void;
  close(): Promise<void>;
}

export async function openTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let stalled = false;

  function keep(socket: Socket): Socket {
    sockets.add(socket);
    socket.on('error', () => {}); // Resets are expected.
    socket.on('close', () => sockets.delete(socket));
    if (stalled) socket.pause();
    return socket;
  }
  const server = createServer((incoming) => {
    const outgoing = keep(connect(targetPort, '127.0.0.1'));
    keep(incoming);
    for (const [from, to] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      from.on('data', (chunk) => to.write(chunk));
      from.on('close', () => to.destroy());
      if (stalled) from.pause();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: (server.address() as AddressInfo).port,
    stall() {
      stalled = true;
      for (const socket of sockets) socket.pause();
    },
    flow() {
      stalled = false;
      for (const socket of sockets) socket.resume();
    },
    reset() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
