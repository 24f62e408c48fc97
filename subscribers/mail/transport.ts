import type { Readable } from 'node:stream';
import { createTransport, type SendMailOptions } from 'nodemailer';
import type { Log } from '../../runtime/observe/log.ts';

/** What an attempt to send a mail came to. */
export type MailEnding =
  | { kind: 'sent' }
  /** The mail server cannot be reached, or does not let us in: it says nothing about the mail. */
  | { kind: 'away'; answer: string }
  /** Not now. */
  | { kind: 'refused'; answer: string }
  /** Never. */
  | { kind: 'rejected'; answer: string }
  /** The whole of it was transmitted, and no answer came: it may have been delivered. */
  | { kind: 'unanswered'; answer: string };

export interface MailTransport {
  send(mail: SendMailOptions): Promise<MailEnding>;
  close(): void;
}

/**
 * @param maxConnections as many mails are on their way at once.
 */
export function openMailTransport(
  { url, timeoutMs, maxConnections }: { url: string; timeoutMs: number; maxConnections: number },
  log: Log,
): MailTransport {
  const transport = createTransport({
    url,
    pool: true,
    maxConnections,
    // Whether a mail is sent once more is for us to decide.
    maxRequeues: 0,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
  });
  // Of a connection between two mails; the next mail opens another.
  transport.on('error', ({ code }: Error & { code?: string }) => log.warn({ error: code }, 'mail server'));

  transport.use('stream', (mail, done) => {
    const { progress } = mail.data as Watched;
    const { message } = mail;
    const createReadStream = message.createReadStream.bind(message);
    message.createReadStream = (...options: Parameters<typeof createReadStream>) => {
      // The pool asks for the stream when a connection is there and logged in, and reads it once the server takes DATA.
      const stream: Readable = createReadStream(...options);
      progress.isConnected = true;
      stream.once('end', () => {
        progress.isTransmitted = true;
      });
      return stream as ReturnType<typeof createReadStream>;
    };
    done();
  });

  return {
    async send(mail) {
      const progress = { isConnected: false, isTransmitted: false };
      const watched: Watched = { ...mail, progress };
      try {
        await transport.sendMail(watched);
        return { kind: 'sent' };
      } catch (error) {
        return endingOf(error as SmtpError, progress);
      }
    },
    close: () => transport.close(),
  };
}

/** How far a mail got. */
interface Progress {
  isConnected: boolean;
  isTransmitted: boolean;
}

/** Nodemailer passes on what it does not know to its plugins. */
type Watched = SendMailOptions & { progress: Progress };

type SmtpError = Error & { code?: string; responseCode?: number; response?: string; command?: string };

/** What nodemailer says of a connection, and never of a mail. */
const ofConnection =
  /^(EAUTH|ENOAUTH|EOAUTH2|ECONNECTION|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ESOCKET|EDNS|ETLS|EPROTOCOL|EPROXY)$/;
/** A bad sequence of commands is about the connection; another one may do. */
const badSequence = 503;

function endingOf(error: SmtpError, { isConnected, isTransmitted }: Progress): MailEnding {
  const { code = '', responseCode } = error;
  const answer = answerOf(error);
  const isOfConnection = ofConnection.test(code);
  if (!isConnected) return { kind: isOfConnection ? 'away' : 'rejected', answer };
  if (responseCode !== undefined) {
    const isForGood = responseCode >= 500 && responseCode !== badSequence;
    return { kind: isForGood ? 'rejected' : 'refused', answer };
  }
  if (!isOfConnection) return { kind: 'rejected', answer };
  return { kind: isTransmitted ? 'unanswered' : 'refused', answer };
}

/** Without the server's words: they name the address, which belongs neither into a log nor into a list. */
function answerOf({ code, responseCode, response = '', command }: SmtpError): string {
  if (responseCode === undefined) return code ?? 'it could not be written';
  const enhanced = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b/.exec(response)?.[1];
  return [responseCode, enhanced, command && `at ${command}`].filter(Boolean).join(' ');
}
