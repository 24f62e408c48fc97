import { once } from 'node:events';
import PostalMime, { type Email } from 'postal-mime';
import { SMTPServer } from 'smtp-server';
import { freePort } from '../../ops/local/processes/port.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';

export interface MailCatcher {
  url: string;
  /** Every accepted mail, in order of arrival. */
  posts: { to: string; mail: Email }[];
  /** Waits for a mail to this address whose subject begins like this; `nth` counts from 1. */
  mailTo(email: string, subject: string, nth?: number): Promise<Email>;
  open(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a mail server that keeps what it gets. It refuses mails with `unwanted` in their subject for good. */
export async function openMailCatcher(): Promise<MailCatcher> {
  const port = await freePort();
  const posts: MailCatcher['posts'] = [];
  let server: SMTPServer;
  const catcher: MailCatcher = {
    url: `smtp://127.0.0.1:${port}`,
    posts,
    mailTo: (email, subject, nth = 1) =>
      waitUntil(
        () =>
          posts.filter(({ to, mail }) => to === email && mail.subject?.startsWith(subject))[nth - 1]?.mail,
        { deadlineMs: 30_000, what: `mail ${nth} "${subject}" to ${email}` },
      ),
    async open() {
      server = new SMTPServer({
        // Closes idle keep-alive connections, for which a closing server would wait.
        closeTimeout: 100,
        authOptional: true,
        disabledCommands: ['STARTTLS'],
        async onData(stream, session, done) {
          const chunks: Buffer[] = [];
          for await (const chunk of stream) chunks.push(chunk);
          const mail = await PostalMime.parse(Buffer.concat(chunks));
          if (mail.subject?.includes('unwanted'))
            return done(Object.assign(new Error('no'), { responseCode: 550 }));
          posts.push({ to: session.envelope.rcptTo[0]?.address ?? '', mail });
          done();
        },
      });
      server.on('error', () => {});
      server.listen(port, '127.0.0.1');
      await once(server.server, 'listening');
    },
    close: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  };
  await catcher.open();
  return catcher;
}
