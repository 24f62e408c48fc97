import { connect, type Socket } from 'node:net';

export interface Reply {
  status: number;
  body: string;
}

/**
 * A keep-alive HTTP connection for one request at a time. It does little more, because a load generator shares its cores
 * with the system it measures: this one takes half the CPU of autocannon for each request (see crosscheck.ts).
 */
export interface Connection {
  /** @param onReply is given null when the connection broke before the answer was there. */
  ask(request: string, onReply: (reply: Reply | null) => void): void;
  close(): void;
}

/** All connections share this read buffer: each one's data is copied out before the next one reads. */
const readInto = Buffer.allocUnsafe(16_384);

/** Connects at the first request, and again after the server has closed the connection between two requests. */
export function openConnection({ hostname, port }: URL): Connection {
  let socket: Socket | null = null;
  let received = '';
  let onReply: ((reply: Reply | null) => void) | null = null;

  function answer(reply: Reply | null): void {
    const callback = onReply;
    onReply = null;
    received = '';
    callback?.(reply);
  }

  function open(): Socket {
    const opened = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: {
        buffer: readInto,
        callback(size) {
          // Latin-1 makes each byte one character, so that Content-Length counts characters; the parsed fields are ASCII.
          received += readInto.toString('latin1', 0, size);
          const reply = readReply(received);
          if (reply?.closes) drop(opened);
          if (reply) answer(reply);
          return true;
        },
      },
    });
    opened.on('error', () => {});
    opened.on('close', () => {
      if (socket !== opened) return;
      socket = null;
      answer(null);
    });
    return opened;
  }

  function drop(old: Socket): void {
    if (socket === old) socket = null;
    old.destroy();
  }

  return {
    ask(request, callback) {
      onReply = callback;
      socket ??= open();
      socket.write(request, 'latin1');
    },
    close() {
      if (socket) drop(socket);
      answer(null);
    },
  };
}

/** Exactly as nginx and Node spell them, since a case-insensitive search took a tenth of the generator's time. */
const lengthHeader = '\r\nContent-Length: ';
const closeHeader = '\r\nConnection: close';

/** @returns null while the answer is not complete. */
function readReply(text: string): (Reply & { closes: boolean }) | null {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const head = text.slice(0, end);
  const body = text.slice(end + 4);
  const lengthAt = head.indexOf(lengthHeader);
  if (lengthAt === -1) throw new Error(`expected a response with a Content-Length, got ${head}`);
  if (body.length < Number.parseInt(head.slice(lengthAt + lengthHeader.length), 10)) return null;
  return { status: Number(head.slice(9, 12)), body, closes: head.includes(closeHeader) };
}
