import assert from 'node:assert/strict';
import path from 'node:path';
import type { FileHandle, FileManager } from '../../src/files/file-manager.js';

/**
 * One case of the contract of `FileManager`. Its name says what goes wrong where it fails.
 *
 * @example
 * const some: FileManagerCase[] = fileManagerSuite.slice(0, 3);
 * for (const { run } of some) await run(new MemoryFileManager(), '/empty');
 */
export interface FileManagerCase {
  /** What the case checks, for the name of a test. */
  readonly name: string;
  /**
   * Rejects if `fileManager` breaks the contract. All cases may be given the same `directory`, which need not exist:
   * each works in a subdirectory of its own, which must not be left from an earlier run.
   */
  readonly run: (fileManager: FileManager, directory: string) => Promise<void>;
}

type Run = (files: FileManager, directory: string) => Promise<void>;

const failOnLoss = (cause: Error): void => assert.fail(`the lock was lost: ${cause.message}`);

/** `length` bytes that differ from place to place. None of them is zero. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => 1 + ((index * 7 + (index >> 8)) % 255));
}

/** Writes all of `parts`, however short the single writes are. */
async function writeAll(file: FileHandle, parts: readonly Uint8Array[], position = 0): Promise<void> {
  let rest = parts.filter((part) => part.length > 0);
  while (rest.length > 0) {
    let written = await file.write(rest, position);
    const offered = rest.reduce((sum, { length }) => sum + length, 0);
    assert.ok(Number.isInteger(written) && written >= 1 && written <= offered, `a write of ${offered} took ${written}`);
    position += written;
    rest = rest.flatMap((part) => {
      const skipped = Math.min(written, part.length);
      written -= skipped;
      return skipped === part.length ? [] : [part.subarray(skipped)];
    });
  }
}

/** All bytes from `position` to the end of the file, however short the single reads are. */
async function readAll(file: FileHandle, position = 0): Promise<Uint8Array> {
  const target = new Uint8Array(Math.max(0, await file.size() - position) + 1);
  let filled = 0;
  for (;;) {
    const read = await file.read(target.subarray(filled), position + filled);
    if (read === 0) return target.subarray(0, filled);
    filled += read;
    assert.ok(filled < target.length, 'more was read than the file holds');
  }
}

async function withFile(
  files: FileManager, file: string, access: 'read' | 'write' | 'create', use: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const handle = await files.open(file, { access });
  try {
    await use(handle);
  } finally {
    await handle.close();
  }
}

async function create(files: FileManager, file: string, content: Uint8Array = pattern(100)): Promise<void> {
  await withFile(files, file, 'create', (handle) => writeAll(handle, [content]));
}

async function assertContent(files: FileManager, file: string, expected: Uint8Array): Promise<void> {
  await withFile(files, file, 'read', async (handle) => {
    assert.equal(await handle.size(), expected.length);
    assert.deepEqual(await readAll(handle), Uint8Array.from(expected));
  });
}

const directories: Readonly<Record<string, Run>> = {
  'a directory whose parents are missing cannot be created': async (files, directory) => {
    const deep = path.join(directory, 'a', 'b', 'c');
    await files.createDirectory(deep);
    assert.deepEqual(await files.list(deep), []);
    assert.deepEqual(await files.list(path.join(directory, 'a')), []);
  },
  'creating a directory that exists fails or empties it': async (files, directory) => {
    await files.createDirectory(directory);
    await create(files, path.join(directory, 'a'));
    await files.createDirectory(directory);
    await files.createDirectory(path.join(directory, '.', 'b', '..'));
    assert.deepEqual(await files.list(directory), ['a']);
  },
  'a directory is created where a file is, or below one': async (files, directory) => {
    await files.createDirectory(directory);
    const file = path.join(directory, 'file');
    await create(files, file);
    for (const target of [file, path.join(file, 'below')]) {
      await assert.rejects(files.createDirectory(target), (error: NodeJS.ErrnoException) => {
        assert.match(error.code ?? '', /^(EEXIST|ENOTDIR)$/);
        return true;
      });
    }
    await assert.rejects(files.list(path.join(file, 'below')), 'nothing may be left of the attempt');
    await assertContent(files, file, pattern(100));
  },
  'a listing misses files or names directories': async (files, directory) => {
    await files.createDirectory(path.join(directory, 'subdirectory'));
    for (const name of ['wal-1', 'wal-2-cp', 'with space', 'ünïcode']) await create(files, path.join(directory, name));
    await create(files, path.join(directory, 'subdirectory', 'below'));
    assert.deepEqual((await files.list(directory)).sort(), ['wal-1', 'wal-2-cp', 'with space', 'ünïcode']);
  },
  'a missing directory is listed, synced or opened in': async (files, directory) => {
    const missing = path.join(directory, 'missing');
    await assert.rejects(files.list(missing), { code: 'ENOENT' });
    await assert.rejects(files.syncDirectory(missing), { code: 'ENOENT' });
    await assert.rejects(files.open(path.join(missing, 'a'), { access: 'create' }), { code: 'ENOENT' });
  },
  'syncing a directory fails or changes it': async (files, directory) => {
    await files.createDirectory(directory);
    await files.syncDirectory(directory);
    await create(files, path.join(directory, 'a'));
    await Promise.all([files.syncDirectory(directory), files.syncDirectory(directory)]);
    assert.deepEqual(await files.list(directory), ['a']);
  },
};

const names: Readonly<Record<string, Run>> = {
  'a missing file is opened without create': async (files, directory) => {
    await files.createDirectory(directory);
    for (const access of ['read', 'write'] as const) {
      await assert.rejects(files.open(path.join(directory, 'a'), { access }), { code: 'ENOENT' });
    }
    assert.deepEqual(await files.list(directory), []);
  },
  'create empties a file that exists, or makes one that is not empty': async (files, directory) => {
    await files.createDirectory(directory);
    const [fresh, old] = ['new', 'old'].map((name) => path.join(directory, name));
    await withFile(files, fresh, 'create', async (handle) => assert.equal(await handle.size(), 0));
    await create(files, old);
    await withFile(files, old, 'create', async (handle) => assert.equal(await handle.size(), 100));
    await assertContent(files, old, pattern(100));
  },
  'a directory is opened or removed as a file': async (files, directory) => {
    const inner = path.join(directory, 'inner');
    await files.createDirectory(inner);
    for (const access of ['read', 'write', 'create'] as const) {
      await assert.rejects(files.open(inner, { access }), { code: 'EISDIR' });
    }
    await assert.rejects(files.remove(inner));
    assert.deepEqual(await files.list(inner), []);
  },
  'a link replaces a file, or is another file': async (files, directory) => {
    if (files.link === undefined) return;
    await files.createDirectory(directory);
    const [first, second, taken] = ['first', 'second', 'taken'].map((name) => path.join(directory, name));
    await create(files, first, pattern(10));
    await create(files, taken, pattern(20));
    await assert.rejects(files.link(first, taken), { code: 'EEXIST' });
    await assert.rejects(files.link(first, first), { code: 'EEXIST' });
    await assert.rejects(files.link(path.join(directory, 'missing'), second), { code: 'ENOENT' });
    const outcomes = await Promise.allSettled([files.link(first, second), files.link(taken, second)]);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    await files.syncDirectory(directory);
    await files.remove(first);
    await files.remove(taken);
    assert.deepEqual(await files.list(directory), ['second']);
    await assertContent(files, second, pattern(outcomes[0].status === 'fulfilled' ? 10 : 20));
  },

  'a rename loses the file, keeps its old name or leaves the target as it was': async (files, directory) => {
    await files.createDirectory(directory);
    const [from, to] = ['from', 'to'].map((name) => path.join(directory, name));
    await create(files, from, pattern(10));
    await create(files, to, pattern(300));
    await files.rename(from, to);
    assert.deepEqual(await files.list(directory), ['to']);
    await assertContent(files, to, pattern(10));
    await assert.rejects(files.rename(from, to), { code: 'ENOENT' });
    await files.rename(to, to);
    await assertContent(files, to, pattern(10));
  },
  'a removed file is still there, or can be removed twice': async (files, directory) => {
    await files.createDirectory(directory);
    const file = path.join(directory, 'a');
    await create(files, file);
    await files.remove(file);
    assert.deepEqual(await files.list(directory), []);
    await assert.rejects(files.remove(file), { code: 'ENOENT' });
    await assert.rejects(files.open(file, { access: 'read' }), { code: 'ENOENT' });
  },
  'a handle follows the name instead of the file': async (files, directory) => {
    await files.createDirectory(directory);
    const [first, second] = ['first', 'second'].map((name) => path.join(directory, name));
    await create(files, first, pattern(10));
    await create(files, second, pattern(20));
    await withFile(files, first, 'write', (renamed) => withFile(files, second, 'read', async (replaced) => {
      await files.rename(first, second);
      await writeAll(renamed, [Uint8Array.of(9)], 10);
      await renamed.sync();
      assert.deepEqual(await readAll(replaced), pattern(20));
      await assertContent(files, second, Uint8Array.of(...pattern(10), 9));
      await files.remove(second);
      await writeAll(renamed, [Uint8Array.of(8)], 11);
      assert.equal((await readAll(renamed)).length, 12);
    }));
    assert.deepEqual(await files.list(directory), []);
  },
  'two handles of one file do not see one another\'s writes': async (files, directory) => {
    await files.createDirectory(directory);
    const file = path.join(directory, 'a');
    await withFile(files, file, 'create', (writer) => withFile(files, file, 'read', async (reader) => {
      await writeAll(writer, [pattern(50)]);
      assert.deepEqual(await readAll(reader), pattern(50));
      await reader.sync();
      await writer.truncate(20);
      assert.equal(await reader.size(), 20);
    }));
  },
};

/** Runs `use` with a new file that is open for writing. */
function onFile(use: (file: FileHandle, files: FileManager, path: string) => Promise<void>): Run {
  return async (files, directory) => {
    await files.createDirectory(directory);
    const name = path.join(directory, 'file');
    await withFile(files, name, 'create', (file) => use(file, files, name));
  };
}

const bytes: Readonly<Record<string, Run>> = {
  'a read goes past the end, or does not say that it is there': onFile(async (file) => {
    await writeAll(file, [pattern(100)]);
    const target = new Uint8Array(200).fill(255);
    const read = await file.read(target, 60);
    assert.ok(read >= 1 && read <= 40);
    assert.deepEqual(target.subarray(0, read), pattern(100).subarray(60, 60 + read));
    assert.ok(target.subarray(read).every((byte) => byte === 255), 'bytes that were not read were changed');
    for (const position of [100, 101, 1_000_000]) assert.equal(await file.read(target, position), 0);
  }),
  'parts are written in another order, or into one another': onFile(async (file) => {
    await writeAll(file, [pattern(3), new Uint8Array(), pattern(5), pattern(1)], 4);
    const expected = [0, 0, 0, 0, ...pattern(3), ...pattern(5), ...pattern(1)];
    assert.deepEqual(await readAll(file), Uint8Array.from(expected));
  }),
  'thousands of parts, or of bytes, are too many for one write': onFile(async (file) => {
    const parts = Array.from({ length: 5000 }, (_, index) => Uint8Array.of(index & 255, index >> 8));
    await writeAll(file, parts);
    assert.deepEqual(await readAll(file), Uint8Array.from(parts.flatMap((part) => [...part])));
    const large = pattern(3_000_000);
    await writeAll(file, [large, large], 7);
    assert.ok(Buffer.concat([large, large]).equals(await readAll(file, 7)), 'not all bytes were written');
  }),
  'a gap before a write does not read as zeros': onFile(async (file) => {
    await writeAll(file, [pattern(10)]);
    await writeAll(file, [pattern(10)], 70_000);
    assert.equal(await file.size(), 70_010);
    const content = await readAll(file);
    assert.deepEqual(content.subarray(0, 10), pattern(10));
    assert.ok(content.subarray(10, 70_000).every((byte) => byte === 0));
    assert.deepEqual(content.subarray(70_000), pattern(10));
  }),
  'a write into the middle changes what is beside it': onFile(async (file) => {
    await writeAll(file, [pattern(100)]);
    await writeAll(file, [Uint8Array.of(0, 0)], 50);
    const expected = pattern(100).fill(0, 50, 52);
    assert.deepEqual(await readAll(file), expected);
  }),
  'bytes that were cut off come back when the file grows': onFile(async (file) => {
    await writeAll(file, [pattern(100)]);
    await file.truncate(10);
    assert.equal(await file.size(), 10);
    assert.equal(await file.read(new Uint8Array(10), 10), 0);
    await file.truncate(50);
    assert.deepEqual(await readAll(file), Uint8Array.of(...pattern(10), ...new Uint8Array(40)));
    await file.truncate(20);
    await writeAll(file, [Uint8Array.of(1)], 60);
    assert.deepEqual(await readAll(file), Uint8Array.of(...pattern(10), ...new Uint8Array(50), 1));
    await file.truncate(0);
    assert.equal(await file.size(), 0);
  }),
  'reads and writes side by side get in one another\'s way': onFile(async (file) => {
    const block = 1000;
    const written = Array.from({ length: 16 }, (_, index) => new Uint8Array(block).fill(index + 1));
    await Promise.all(written.map((part, index) => writeAll(file, [part], index * block)));
    await Promise.all(written.map(async (part, index) => {
      const target = new Uint8Array(block);
      for (let filled = 0; filled < block;) filled += await file.read(target.subarray(filled), index * block + filled);
      assert.deepEqual(target, part);
    }));
  }),
  'a sync fails, or changes what is read': onFile(async (file, files, name) => {
    await file.sync();
    await writeAll(file, [pattern(100)]);
    await Promise.all([file.sync(), file.sync(), files.syncDirectory(path.dirname(name))]);
    assert.deepEqual(await readAll(file), pattern(100));
  }),
};

const handles: Readonly<Record<string, Run>> = {
  'a file cannot be opened for durable writes': async (files, directory) => {
    await files.createDirectory(directory);
    const name = path.join(directory, 'file');
    const file = await files.open(name, { access: 'create', durableWrites: true });
    assert.equal(typeof file.durableWrites, 'boolean');
    await writeAll(file, [pattern(50), pattern(50)]);
    await file.truncate(70);
    await file.sync();
    assert.deepEqual(await readAll(file), Uint8Array.of(...pattern(50), ...pattern(20)));
    await file.close();
    const reader = await files.open(name, { access: 'read', durableWrites: true });
    assert.equal((await readAll(reader)).length, 70);
    await reader.close();
  },
  'a handle for reading changes the file': async (files, directory) => {
    await files.createDirectory(directory);
    const name = path.join(directory, 'file');
    await create(files, name);
    await withFile(files, name, 'read', async (file) => {
      await assert.rejects(file.write([pattern(1)], 0));
      await assert.rejects(file.truncate(0));
    });
    await assertContent(files, name, pattern(100));
  },
  'a closed handle reaches a file, its own or another one': async (files, directory) => {
    await files.createDirectory(directory);
    const name = path.join(directory, 'file');
    await create(files, name);
    const closed = await files.open(name, { access: 'write' });
    await closed.close();
    // On many systems the next file to be opened gets the number that the closed one had.
    await withFile(files, path.join(directory, 'other'), 'create', async (other) => {
      await assert.rejects(closed.write([pattern(1)], 0));
      await assert.rejects(closed.truncate(0));
      await assert.rejects(closed.read(new Uint8Array(1), 0));
      if (closed.readBlocking !== undefined) assert.throws(() => closed.readBlocking?.(new Uint8Array(1), 0));
      await assert.rejects(closed.size());
      await assert.rejects(closed.sync());
      await assert.rejects(closed.close());
      assert.equal(await other.size(), 0);
    });
    await assertContent(files, name, pattern(100));
  },
  'a write on the calling thread differs from another one': onFile(async (file) => {
    if (file.writeBlocking === undefined) return;
    assert.equal(typeof file.syncBlocking, 'function', 'whatever writes on the calling thread must sync there too');
    let position = 3;
    for (let rest = pattern(200).subarray(); rest.length > 0;) {
      const written = file.writeBlocking([rest.subarray(0, 80), rest.subarray(80)], position);
      assert.ok(written >= 1 && written <= rest.length);
      rest = rest.subarray(written);
      position += written;
    }
    file.syncBlocking?.();
    assert.deepEqual(await readAll(file), Uint8Array.of(0, 0, 0, ...pattern(200)));
  }),
  'a read on the calling thread differs from another one': onFile(async (file) => {
    if (file.readBlocking === undefined) return;
    await writeAll(file, [pattern(200)], 3);
    const target = new Uint8Array(300).fill(255);
    let filled = 0;
    for (let read = -1; read !== 0; filled += read) {
      read = file.readBlocking(target.subarray(filled), 2 + filled);
      assert.ok(read >= 0 && filled + read <= 201);
    }
    assert.deepEqual(target.subarray(0, filled), Uint8Array.of(0, ...pattern(200)));
    assert.ok(target.subarray(filled).every((byte) => byte === 255), 'bytes that were not read were changed');
    for (const position of [203, 1_000_000]) assert.equal(file.readBlocking(target, position), 0);
    await writeAll(file, [Uint8Array.of(7)], 3);
    assert.equal(file.readBlocking(target.subarray(0, 1), 3), 1);
    assert.equal(target[0], 7, 'a write that has resolved is not seen');
  }),
};

const locks: Readonly<Record<string, Run>> = {
  'a directory has two owners': async (files, directory) => {
    await files.createDirectory(directory);
    const lock = await files.lock(directory, failOnLoss);
    await assert.rejects(files.lock(directory, failOnLoss), { code: 'WAL_LOCKED' });
    await assert.rejects(files.lock(path.join(directory, '.'), failOnLoss), { code: 'WAL_LOCKED' });
    await lock.release();
    const next = await files.lock(directory, failOnLoss);
    await next.release();
  },
  'of owners that come together, two or none get in': async (files, directory) => {
    await files.createDirectory(directory);
    const attempts = await Promise.allSettled(Array.from({ length: 5 }, () => files.lock(directory, failOnLoss)));
    const taken = attempts.filter((attempt) => attempt.status === 'fulfilled');
    assert.equal(taken.length, 1);
    await taken[0].value.release();
  },
  'giving a directory up a second time takes it from its next owner': async (files, directory) => {
    await files.createDirectory(directory);
    const lock = await files.lock(directory, failOnLoss);
    await lock.release();
    const next = await files.lock(directory, failOnLoss);
    await lock.release();
    await assert.rejects(files.lock(directory, failOnLoss), { code: 'WAL_LOCKED' });
    await next.release();
  },
  'owning one directory keeps others from another, or from files': async (files, directory) => {
    const [first, second] = ['first', 'second'].map((name) => path.join(directory, name));
    await files.createDirectory(first);
    await files.createDirectory(second);
    const held = [await files.lock(first, failOnLoss), await files.lock(second, failOnLoss)];
    await create(files, path.join(first, 'wal-1'));
    assert.ok((await files.list(first)).includes('wal-1'));
    for (const lock of held) await lock.release();
  },
  'a missing directory is owned': async (files, directory) => {
    await assert.rejects(files.lock(path.join(directory, 'missing'), failOnLoss), { code: 'ENOENT' });
  },
};

/** The contract of `FileManager`, as far as it can be seen from outside: what survives a crash cannot. */
export const fileManagerSuite: readonly FileManagerCase[] = [directories, names, bytes, handles, locks]
  .flatMap((cases) => Object.entries(cases))
  .map(([name, run], index) => ({
    name,
    run: (fileManager, directory) => run(fileManager, path.join(directory, `case-${index + 1}`)),
  }));
