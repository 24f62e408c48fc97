import { z } from 'zod';
import { createApiKey, listApiKeys, revokeApiKey } from '../accounts/api-key.ts';
import { apiScope } from '../insight/contract.ts';
import { prepareCollections } from '../store/collections.ts';
import { byCommand, openSystem, runCommand } from './system.ts';

const usage = `expected one of
  npm run api-keys -- list                  one JSON line each
  npm run api-keys -- create NAME SCOPE…    a key, which is shown once; scopes: ${apiScope.options.join(', ')}
  npm run api-keys -- revoke ID             its next request is refused`;

const by = byCommand('npm run api-keys');

const arguments_ = z.union([
  z.tuple([z.literal('list')]),
  z.tuple([z.literal('create'), z.string().trim().min(1).max(100), apiScope], apiScope),
  z.tuple([z.literal('revoke'), z.string()]),
]);

/** `npm run api-keys`: lists, creates and revokes the keys of servers that call the API. */
await runCommand(async () => {
  const given = arguments_.safeParse(process.argv.slice(2));
  if (!given.success) throw new Error(usage);
  const [action, name, ...scopes] = given.data;
  const { collections, close } = await openSystem();
  try {
    await prepareCollections(collections);
    if (action === 'list') {
      for (const key of await listApiKeys(collections)) console.log(JSON.stringify(key));
    } else if (action === 'create') {
      const made = await createApiKey(collections, { name, scopes }, by);
      if (made === 'too_many') throw new Error('There are too many keys: revoke one first');
      console.log(JSON.stringify(made));
    } else {
      if (!(await revokeApiKey(collections, name, by))) throw new Error(`There is no API key ${name}`);
      console.log(JSON.stringify({ revoked: name }));
    }
  } finally {
    await close();
  }
});
