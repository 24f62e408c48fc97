import { connect, type Socket } from 'node:net';

export interface Reply {
  status: number;
  body: string;
}

/**
 * A keep-alive HTTP connection that carries one request at a time, and little more: a load generator shares its cores
 * with what it measures, and this one takes half the CPU of autocannon for each request: see crosscheck.ts.
 */
export interface Connection {
  /** @param onReply is given null when the connection broke before the answer was there. */
  ask(request: string, onReply: (reply: Reply | null) => void): void;
  close(): void;
}

/** What any connection reads, which is looked at before the next one reads. */
const readInto = Buffer.allocUnsafe(16_384);

/** Opens when it is first asked, and again after the other side has closed it between two requests. */
export function openConnection({ hostname, port }: URL): Connection {
  let socket: Socket | null = null;
  let received = '';
  let onReply: ((reply: Reply | null) => void) | null = null;

  function settle(reply: Reply | null): void {
    const tell = onReply;
    onReply = null;
    received = '';
    tell?.(reply);
  }

  function open(): Socket {
    const opened = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: {
        buffer: readInto,
        callback(size) {
          // A character is a byte, as lengths are counted; what is looked at in an answer is ASCII.
          received += readInto.toString('latin1', 0, size);
          const reply = readReply(received);
          if (reply?.closes) drop(opened);
          if (reply) settle(reply);
          return true;
        },
      },
    });
    opened.on('error', () => {});
    opened.on('close', () => {
      if (socket !== opened) return;
      socket = null;
      settle(null);
    });
    return opened;
  }

  function drop(old: Socket): void {
    if (socket === old) socket = null;
    old.destroy();
  }

  return {
    ask(request, tell) {
      onReply = tell;
      socket ??= open();
      socket.write(request, 'latin1');
    },
    close() {
      if (socket) drop(socket);
      settle(null);
    },
  };
}

/** As nginx and Node write them: looking for any spelling took a tenth of the generator's time. */
const lengthHeader = '\r\nContent-Length: ';
const closeHeader = '\r\nConnection: close';

/** @returns null while the answer is not complete. */
function readReply(text: string): (Reply & { closes: boolean }) | null {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const head = text.slice(0, end);
  const body = text.slice(end + 4);
  const lengthAt = head.indexOf(lengthHeader);
  if (lengthAt === -1) throw new Error(`expected an answer with a Content-Length, got ${head}`);
  if (body.length < Number.parseInt(head.slice(lengthAt + lengthHeader.length), 10)) return null;
  return { status: Number(head.slice(9, 12)), body, closes: head.includes(closeHeader) };
}
