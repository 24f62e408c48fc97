import { dataFolder } from '../ops/local/folders.mjs';
import { makeCertificate } from '../ops/local/nginx/tls.mjs';
import { runCommand } from './system.ts';

/** `npm run tls`: creates a self-signed certificate for this machine, which nginx uses from the next start on. */
await runCommand(async () => {
  if (process.argv.length > 2) throw new Error('expected npm run tls, and nothing more');
  const { certificate } = await makeCertificate(dataFolder());
  console.log(`${certificate}\nStart again with \`npm start\`, and open https://localhost:8443 (TLS_PORT)`);
});
