import type { Readable } from 'node:stream';
import { createTransport, type SendMailOptions } from 'nodemailer';
import type { Log } from '../../runtime/observe/log.ts';

/** The result of an attempt to send a mail. */
export type MailEnding =
  | { kind: 'sent' }
  /** The mail server cannot be reached or refuses the login, which says nothing about the mail. */
  | { kind: 'away'; answer: string }
  /** A temporary refusal: the mail is tried again. */
  | { kind: 'refused'; answer: string }
  /** A permanent refusal. */
  | { kind: 'rejected'; answer: string }
  /** The whole mail was transmitted without an answer, so it may have been delivered. */
  | { kind: 'unanswered'; answer: string };

export interface MailTransport {
  send(mail: SendMailOptions): Promise<MailEnding>;
  close(): void;
}

/** @param maxConnections the number of mails that can be sent at the same time. */
export function openMailTransport(
  { url, timeoutMs, maxConnections }: { url: string; timeoutMs: number; maxConnections: number },
  log: Log,
): MailTransport {
  const transport = createTransport({
    url,
    pool: true,
    maxConnections,
    // sender.ts decides about retries.
    maxRequeues: 0,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
  });
  // An idle connection failed; the next mail opens a new one.
  transport.on('error', ({ code }: Error & { code?: string }) =>
    log.warn({ error: code }, 'mail server connection error'),
  );

  transport.use('stream', (mail, done) => {
    const { progress } = mail.data as Watched;
    const { message } = mail;
    const createReadStream = message.createReadStream.bind(message);
    message.createReadStream = (...options: Parameters<typeof createReadStream>) => {
      // nodemailer creates the stream once it is connected and logged in, and reads it after the server accepted DATA.
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

/** Nodemailer passes unknown fields of a mail on to its plugins. */
type Watched = SendMailOptions & { progress: Progress };

type SmtpError = Error & { code?: string; responseCode?: number; response?: string; command?: string };

/** nodemailer's error codes that concern the connection rather than the mail. */
const ofConnection =
  /^(EAUTH|ENOAUTH|EOAUTH2|ECONNECTION|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ESOCKET|EDNS|ETLS|EPROTOCOL|EPROXY)$/;
/** SMTP 503, bad sequence of commands, concerns the connection, so the mail is tried again on another. */
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

/** The codes of an answer without its text, which may contain the address and must not reach logs or lists. */
function answerOf({ code, responseCode, response = '', command }: SmtpError): string {
  if (responseCode === undefined) return code ?? 'the mail could not be composed';
  const enhanced = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b/.exec(response)?.[1];
  return [responseCode, enhanced, command && `at ${command}`].filter(Boolean).join(' ');
}
