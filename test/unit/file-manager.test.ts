import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import type { FileHandle } from '../../src/files/file-manager.js';
import { MemoryFileManager, NodeFileManager } from '../../src/index.js';
import { fileManagerSuite } from '../support/file-manager-suite.js';

const linuxOnly = process.platform === 'linux' ? false : 'needs /proc';

async function newDirectory(t: TestContext): Promise<string> {
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'wal-files-'));
  t.after(() => fs.rm(directory, { recursive: true, force: true }));
  return directory;
}

async function openDescriptors(): Promise<number> {
  return (await fs.readdir('/proc/self/fd')).length;
}

for (const { name, run } of fileManagerSuite) {
  test(`NodeFileManager: ${name}`, async (t) => run(new NodeFileManager(), await newDirectory(t)));
  test(`MemoryFileManager: ${name}`, () => run(new MemoryFileManager(), path.resolve('/some/empty/directory')));
}

test('all cases of the suite cannot share one directory, as the documentation has them do', async (t) => {
  const directory = await newDirectory(t);
  for (const { run } of fileManagerSuite) await run(new NodeFileManager(), directory);
  const memory = new MemoryFileManager();
  for (const { run } of fileManagerSuite) await run(memory, directory);
});

test('NodeFileManager leaks descriptors when it fails', { skip: linuxOnly }, async (t) => {
  const directory = await newDirectory(t);
  const files = new NodeFileManager();
  const file = path.join(directory, 'file');
  await fs.writeFile(file, '');
  const failing = [
    () => files.open(path.join(directory, 'missing'), { access: 'read' }),
    () => files.open(path.join(file, 'below'), { access: 'create' }),
    () => files.open(directory, { access: 'read' }),
    () => files.open(directory, { access: 'create' }),
    () => files.syncDirectory(path.join(directory, 'missing')),
    () => files.createDirectory(file),
    () => files.list(file),
    () => files.lock(file, () => undefined),
  ];
  const before = await openDescriptors();
  for (const fail of failing) await assert.rejects(fail);
  await files.syncDirectory(directory);
  await (await files.open(file, { access: 'create', durableWrites: true })).close();
  assert.equal(await openDescriptors(), before);
});

/** The flags a file was opened with each time it is open now, as the kernel has them. */
async function openFlags(file: string): Promise<number[]> {
  const flags: number[] = [];
  for (const descriptor of await fs.readdir('/proc/self/fd')) {
    const target = await fs.readlink(`/proc/self/fd/${descriptor}`).catch(() => '');
    if (target !== file) continue;
    const info = await fs.readFile(`/proc/self/fdinfo/${descriptor}`, 'utf8');
    flags.push(parseInt(/^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? '', 8));
  }
  return flags;
}

test('durable writes are promised without being asked of the kernel', { skip: linuxOnly }, async (t) => {
  const directory = await fs.realpath(await newDirectory(t));
  const files = new NodeFileManager();
  const { O_CREAT, O_DSYNC, O_RDWR, O_WRONLY } = (await import('node:fs')).constants;
  for (const durableWrites of [true, false]) {
    const file = path.join(directory, String(durableWrites));
    const handle = await files.open(file, { access: 'create', durableWrites });
    const flags = await openFlags(file);
    // One to read and to write without syncing, and one for durable writes.
    assert.deepEqual(flags.map((each) => (each & O_DSYNC) !== 0).sort(), durableWrites ? [false, true] : [false]);
    for (const each of flags) assert.equal(each & (O_RDWR | O_WRONLY | O_CREAT), O_RDWR);
    assert.equal(handle.durableWrites, durableWrites);
    await handle.close();
  }
  const closeOnExec = 0o2000000;
  const reader = await files.open(path.join(directory, 'true'), { access: 'read', durableWrites: true });
  const [flags] = await openFlags(path.join(directory, 'true'));
  assert.equal(flags & (O_RDWR | O_WRONLY), 0, 'a reader could write');
  assert.ok((flags & closeOnExec) !== 0, 'a child process would keep the file open');
  await reader.close();
});

test('NodeFileManager makes new files executable or writable for everyone', { skip: linuxOnly }, async (t) => {
  const directory = await newDirectory(t);
  const file = path.join(directory, 'file');
  await (await new NodeFileManager().open(file, { access: 'create' })).close();
  assert.equal((await fs.stat(file)).mode & 0o777 & ~0o644, 0);
});

test('NodeFileManager lists, opens or overwrites what a symbolic link names', { skip: linuxOnly }, async (t) => {
  const directory = await newDirectory(t);
  const files = new NodeFileManager();
  const target = path.join(directory, 'target');
  await fs.writeFile(target, 'precious');
  for (const [name, to] of [['wal-1', 'target'], ['wal-2', 'missing'], ['wal-3', '.']]) {
    await fs.symlink(to, path.join(directory, name));
    for (const access of ['read', 'write', 'create'] as const) {
      await assert.rejects(files.open(path.join(directory, name), { access }), { code: 'ELOOP' });
    }
  }
  assert.deepEqual(await files.list(directory), ['target']);
});

test('a directory behind a symbolic link cannot be used', { skip: linuxOnly }, async (t) => {
  const directory = await newDirectory(t);
  await fs.mkdir(path.join(directory, 'real'));
  const link = path.join(directory, 'link');
  await fs.symlink('real', link);
  const files = new NodeFileManager();
  await files.createDirectory(link);
  await (await files.open(path.join(link, 'file'), { access: 'create' })).close();
  assert.deepEqual(await files.list(link), ['file']);
  const lock = await files.lock(link, () => undefined);
  await assert.rejects(files.lock(path.join(directory, 'real'), () => undefined), { code: 'WAL_LOCKED' });
  await lock.release();
});

/** The directories that `action` syncs, by path. */
async function directorySyncs(t: TestContext, files: NodeFileManager, action: () => Promise<void>): Promise<string[]> {
  const { mock } = t.mock.method(files, 'syncDirectory');
  await action();
  return mock.calls.map(({ arguments: [directory] }) => path.resolve(directory));
}

test('a new directory, or one left by a crash, is lost because its parent was not synced', async (t) => {
  const directory = await newDirectory(t);
  const files = new NodeFileManager();
  const [a, b] = [path.join(directory, 'a'), path.join(directory, 'a', 'b')];
  const created = await directorySyncs(t, files, () => files.createDirectory(b));
  assert.ok(created.includes(directory) && created.includes(a), `synced: ${created.join(', ')}`);
  // Whoever created it may have died before syncing its parent.
  assert.ok((await directorySyncs(t, new NodeFileManager(), () => files.createDirectory(b))).length === 0);
  const again = new NodeFileManager();
  assert.deepEqual(await directorySyncs(t, again, () => again.createDirectory(b)), [a]);
});

/** Makes calls of `node:fs/promises` fail with `code` for `target`, until the test ends. */
function failCalls(t: TestContext, name: 'open' | 'stat', target: string, code: string): void {
  const original = fs[name] as (file: string, ...rest: unknown[]) => Promise<unknown>;
  t.mock.method(fs, name, (file: string, ...rest: unknown[]) => file === target
    ? Promise.reject(Object.assign(new Error(`${code}: ${name}`), { code }))
    : original(file, ...rest));
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}

for (const code of ['EACCES', 'EPERM', 'EINVAL', 'EROFS', 'ENOTSUP']) {
  test(`a directory that is there is refused because its parent cannot be synced (${code})`, async (t) => {
    const parent = await newDirectory(t);
    const files = new NodeFileManager();
    const directory = path.join(parent, 'log');
    await fs.mkdir(directory);
    failCalls(t, 'open', parent, code);
    await files.createDirectory(directory);
    await files.createDirectory(path.join(directory, 'new', 'one'));
  });

  test(`a new directory counts although its name cannot be made durable (${code})`, async (t) => {
    const parent = await newDirectory(t);
    const files = new NodeFileManager();
    failCalls(t, 'open', parent, code);
    for (const name of ['log', 'log/below']) {
      // The second time it must not be found there.
      for (let time = 0; time < 2; time++) {
        await assert.rejects(files.createDirectory(path.join(parent, name)), { code });
      }
    }
    assert.deepEqual(await fs.readdir(parent), []);
  });
}

test('a directory whose parent failed to be synced is taken for durable the second time', async (t) => {
  const parent = await newDirectory(t);
  const directory = path.join(parent, 'log');
  await fs.mkdir(directory);
  failCalls(t, 'open', parent, 'EIO');
  await assert.rejects(new NodeFileManager().createDirectory(directory), { code: 'EIO' });
});

for (const code of ['EIO', 'EACCES', 'ESTALE']) {
  test(`a directory that cannot be looked at is said to be something else (${code})`, async (t) => {
    const parent = await newDirectory(t);
    const directory = path.join(parent, 'log');
    await fs.mkdir(directory);
    failCalls(t, 'stat', directory, code);
    await assert.rejects(new NodeFileManager().createDirectory(directory), { code });
  });
}

test('a dangling link passes for a directory, or for one whose parent is missing', { skip: linuxOnly }, async (t) => {
  const directory = await newDirectory(t);
  await fs.symlink('missing', path.join(directory, 'link'));
  await assert.rejects(new NodeFileManager().createDirectory(path.join(directory, 'link')), { code: 'EEXIST' });
});

test('a write of more than a call takes fails, or claims more than it wrote', async (t) => {
  const directory = await newDirectory(t);
  const file = await new NodeFileManager().open(path.join(directory, 'file'), { access: 'create' });
  const parts = Array.from({ length: 1500 }, () => Uint8Array.of(1));
  assert.equal(await file.write(parts, 0), 1024);
  assert.equal(await file.size(), 1024);
  await file.close();
});

test('a full disk passes for a success', { skip: linuxOnly }, async () => {
  const full = await new NodeFileManager().open('/dev/full', { access: 'write' }).catch(() => undefined);
  if (full === undefined) return;
  await assert.rejects(full.write([Uint8Array.of(1)], 0), { code: 'ENOSPC' });
  await full.close();
});

/** Whether `operation` settles only after the event loop has turned, as it would with a disk. */
async function turnsTheLoop(operation: () => Promise<unknown>): Promise<boolean> {
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  await operation();
  return turned;
}

test('whoever loops on a MemoryFileManager keeps everything else from running', async () => {
  const files = new MemoryFileManager();
  const directory = path.resolve('/memory');
  const name = path.join(directory, 'file');
  assert.ok(await turnsTheLoop(() => files.createDirectory(directory)));
  let file!: FileHandle;
  assert.ok(await turnsTheLoop(async () => {
    file = await files.open(name, { access: 'create' });
  }));
  for (const operation of [
    () => file.write([Uint8Array.of(1)], 0), () => file.read(new Uint8Array(1), 0), () => file.sync(),
    () => file.size(), () => file.truncate(0), () => file.close(),
    () => files.list(directory), () => files.syncDirectory(directory),
    () => files.rename(name, name), () => files.remove(name),
  ]) {
    assert.ok(await turnsTheLoop(operation), operation.toString());
  }
});

test('two MemoryFileManagers share files or locks', async () => {
  const [one, other] = [new MemoryFileManager(), new MemoryFileManager()];
  const directory = path.resolve('/memory');
  await one.createDirectory(directory);
  await (await one.open(path.join(directory, 'a'), { access: 'create' })).close();
  await one.lock(directory);
  await assert.rejects(other.list(directory), { code: 'ENOENT' });
  await other.createDirectory(directory);
  assert.deepEqual(await other.list(directory), []);
  await (await other.lock(directory)).release();
});

test('a file in memory that grows in small writes is copied at each of them', async (t) => {
  const files = new MemoryFileManager();
  await files.createDirectory(path.resolve('/memory'));
  const file = await files.open(path.resolve('/memory/file'), { access: 'create' });
  const copies = t.mock.method(Uint8Array.prototype, 'set');
  for (let position = 0; position < 20_000; position += 10) await file.write([new Uint8Array(10)], position);
  copies.mock.restore();
  const copied = copies.mock.calls.reduce((sum, { arguments: [source] }) => sum + source.length, 0);
  assert.ok(copied >= 20_000 && copied < 10 * 20_000, `${copied} bytes were copied`);
});
