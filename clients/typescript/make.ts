import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../ops/local/folders.mjs';
import { openApiText } from '../../server/pages/docs.ts';
import { apiRoutes } from '../../server/routes/routes.ts';
import type { Shop } from '../../server/shop.ts';

/** `npm run client`: makes the types of the client from the API's OpenAPI document, for which no shop has to run. */

const folder = join(ROOT, 'clients/typescript');
const document = openApiText(apiRoutes({} as Shop, () => null));
if (!existsSync(join(folder, 'node_modules')))
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, stdio: 'inherit' });
const [input, output] = ['openapi.json', 'schema.ts'].map((name) => join(folder, name)) as [string, string];
writeFileSync(input, document);
try {
  const program = join(folder, 'node_modules/openapi-typescript/bin/cli.js');
  execFileSync(process.execPath, [program, input, '--output', output], { cwd: folder, stdio: 'inherit' });
} finally {
  rmSync(input);
}
const hash = createHash('sha256').update(document).digest('hex');
const made = readFileSync(output, 'utf8');
writeFileSync(output, `// Made by \`npm run client\` from the OpenAPI document ${hash}\n${made}`);
