import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { checkDataFolder, checkPort, portIn, tlsPortIn } from '../../ops/local/checks.mjs';
import { hostsOf } from '../../ops/local/databases/database-url.mjs';
import { describeFileFault } from '../../ops/local/files/file-fault.mjs';
import { jwtSecretIn } from '../../ops/local/files/private-file.mjs';
import { checkNode } from '../../ops/local/node-version.mjs';
import { freePort, freePortsFrom } from '../../ops/local/processes/port.mjs';
import { lastWords, run } from '../../ops/local/processes/process.mjs';
import { claimFolder } from '../../ops/local/processes/process-list.mjs';

const dir = mkdtempSync(join(tmpdir(), 'stampede-checks-'));
afterAll(() => rmSync(dir, { recursive: true }));

test.each(['12.22.0', '18.20.8', '20.18.3'])('Node %s is refused with what is needed', (version) => {
  expect(() => checkNode(version)).toThrow(/^Stampede needs Node 20\.19 or newer, and this is [\d.]+: \S+/);
});
test.each(['20.19.0', '22.1.0', '100.0.0'])('Node %s is new enough', (version) => checkNode(version));

test.each(['abc', '0', '-1', '65536', '1e3', '0x50', '80.5', ' 80', '999999'])(
  'PORT=%s is refused',
  (given) => {
    expect(() => portIn(given)).toThrow(`PORT must be a number from 1 to 65535, and is "${given}".`);
  },
);

test('an unset port has a default, and the TLS port must differ', () => {
  expect([portIn(undefined), portIn(''), portIn('65535')]).toEqual([8_080, 8_080, 65_535]);
  expect(() => tlsPortIn('8080', 8_080)).toThrow(/both 8080/);
  expect(() => tlsPortIn('x', 8_080)).toThrow(/^TLS_PORT must be/);
});

test('free ports are found beyond the last port, and a taken port is reported with a free one', async () => {
  const ports = await freePortsFrom(65_535, 3);
  expect(new Set(ports).size).toBe(3);
  expect(ports.every((port) => port <= 65_535)).toBe(true);
  expect(await freePortsFrom(65_536, 2)).toHaveLength(2);
  const port = await freePort();
  const holder = createServer().listen(port, '127.0.0.1');
  await once(holder, 'listening');
  await expect(checkPort(port)).rejects.toThrow(
    new RegExp(
      `^Port ${port} is taken: another program listens there\\. Choose another: {2}PORT=\\d+ npm start$`,
    ),
  );
  holder.close();
});

test.each(['', '{"jwtSecret', 'null', '[]', '{"jwtSecret":7}', '{"jwtSecret":"short"}'])(
  'secrets.json with %s is reported as damaged, and is not replaced',
  (content) => {
    const file = join(dir, 'secrets.json');
    writeFileSync(file, content);
    expect(() => jwtSecretIn(file)).toThrow(/secrets\.json is damaged: restore it from a copy, or delete it/);
    rmSync(file);
    const secret = jwtSecretIn(file);
    expect(jwtSecretIn(file)).toBe(secret);
    expect(statSync(file).mode & 0o077).toBe(0);
  },
);

test.each([
  [
    'Error: The configuration is not usable: PORT: too small; FLUSH_DEADLINE_MS: no number\n    at readConfig (…)\n\nNode.js v20',
    /PORT: too small; FLUSH_DEADLINE_MS: no number$/,
  ],
  [
    [
      '{"s":"E","msg":"WiredTiger error message","attr":{"error":"28: fatal log failure"}}',
      '{"s":"F","msg":"Writing fatal message","attr":{"message":"terminate() called"}}',
      '{"s":"I","msg":"Shutting down"}',
    ].join('\n'),
    /^WiredTiger error message: 28: fatal log failure$/,
  ],
  ['# Fatal error, can’t open config file\n', /^# Fatal error/],
  ['', /^$/],
])('the last words of a process are its last error that says something', (text, words) => {
  expect(lastWords(text)).toMatch(words);
});

test('file system errors are described, and other errors are not', () => {
  const fault = (code: string) => Object.assign(new Error('x'), { code, path: '/a', syscall: 'open' });
  expect(describeFileFault(fault('EROFS'), '/b')).toBe('/a cannot be opened: the file system is read-only.');
  expect(describeFileFault(fault('ENOSPC'), dir)).toMatch(
    /^the disk is full \(\d+ MB left\) where .*: free some/,
  );
  expect(describeFileFault(new Error('x'), '/b')).toBeNull();
});

test('a data folder that is a file or not writable is refused by name', async () => {
  const file = join(dir, 'file');
  writeFileSync(file, '');
  expect(() => checkDataFolder(file)).toThrow(/^The data folder cannot be used: .*STAMPEDE_DATA_DIR=/);
  expect(() => checkDataFolder(join(file, 'below'))).toThrow(/no folder\..*STAMPEDE_DATA_DIR=/);
  // Run as another user, because root can write anywhere.
  if (process.getuid?.() !== 0) return;
  const folder = mkdtempSync(join(dir, 'of-root-'));
  const module = join(import.meta.dirname, '../../ops/local/checks.mjs');
  const asNobody = async () => {
    const script = `import(${JSON.stringify(module)}).then((checks) => {
      process.setgroups([]);
      process.setgid(65534);
      process.setuid(65534);
      checks.checkDataFolder(${JSON.stringify(folder)});
    }).catch((error) => console.log(error.message))`;
    return (await run(process.execPath, ['-e', script], { deadlineMs: 20_000 })).stdout;
  };
  chmodSync(dir, 0o755);
  chmodSync(folder, 0o755);
  expect(await asNobody()).toMatch(/this user may not\. STAMPEDE_DATA_DIR=/);
  writeFileSync(join(folder, 'secrets.json'), '', { mode: 0o600 });
  chmodSync(folder, 0o777);
  expect(await asNobody()).toMatch(/secrets\.json: it belongs to user 0, and this is 65534\. Fix it \(chown/);
});

test('one of several concurrent starts locks the folder, also when a stale lock exists', async () => {
  const folder = mkdtempSync(join(dir, 'claimed-'));
  const dead = { starter: { name: 'start', pid: 2 ** 22, born: '1' }, url: 'http://127.0.0.1:1' };
  writeFileSync(join(folder, 'start.lock'), JSON.stringify(dead));
  const module = join(import.meta.dirname, '../../ops/local/processes/process-list.mjs');
  const over = `${folder}.over`;
  const script = `import(${JSON.stringify(module)}).then(async (m) => {
    await m.claimFolder(${JSON.stringify(folder)}, 'http://127.0.0.1:2', console.log);
    console.log('mine');
    // Keeps the lock until the others were refused.
    while (!(await import('node:fs')).existsSync(${JSON.stringify(over)})) await new Promise((resolve) => setTimeout(resolve, 20));
  }).catch((e) => console.log(e.message))`;
  let ended = 0;
  const starts = Array.from({ length: 4 }, async () => {
    const { stdout } = await run(process.execPath, ['-e', script], { deadlineMs: 30_000 });
    ended += 1;
    if (ended === 3) writeFileSync(over, '');
    return stdout.trim();
  });
  const said = (await Promise.all(starts)).sort();
  expect(said.pop()).toBe('mine');
  for (const line of said)
    expect(line).toMatch(/^Stampede is already running at http:\/\/127\.0\.0\.1:2 \(pid \d+\)\.$/);
  // The last holder ended without releasing the lock.
  const processes = await claimFolder(folder, 'http://127.0.0.1:3', () => {});
  processes.remove();
  expect(readdirSync(folder)).toEqual([]);
});

test('the hosts of a database URL are shown without the password', () => {
  expect(hostsOf('mongodb+srv://me:secret@a.example,b.example/shop?x=1')).toBe('a.example,b.example');
  expect(hostsOf('redis://:secret@127.0.0.1:6379')).toBe('127.0.0.1:6379');
});
