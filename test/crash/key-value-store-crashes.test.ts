/** The key-value store under `crashTest`, its log and its snapshot alike; and with mistakes that it could have made. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { KeyValueStore, type KeyValueStoreOptions } from '../../examples/key-value-store.js';
import type { DirectoryLock, FileHandle, FileManager, OpenOptions } from '../../src/index.js';
import { crashTest, CrashTestFailure, type CrashTestOptions, type CrashTestSubject } from '../support/crash-test.js';

/** Passes everything on. */
class PassingFileManager implements FileManager {
  constructor(readonly files: FileManager) {}

  createDirectory(directory: string): Promise<void> {
    return this.files.createDirectory(directory);
  }

  list(directory: string): Promise<string[]> {
    return this.files.list(directory);
  }

  open(path: string, options: OpenOptions): Promise<FileHandle> {
    return this.files.open(path, options);
  }

  rename(from: string, to: string): Promise<void> {
    return this.files.rename(from, to);
  }

  remove(path: string): Promise<void> {
    return this.files.remove(path);
  }

  syncDirectory(directory: string): Promise<void> {
    return this.files.syncDirectory(directory);
  }

  lock(directory: string, onCompromised: (cause: Error) => void): Promise<DirectoryLock> {
    return this.files.lock(directory, onCompromised);
  }
}

/** So small that four changes fill a segment: a run writes several snapshots and uses files again. */
const OPTIONS: KeyValueStoreOptions = {
  preallocateBytes: 4096, checkpointAfterBytes: 600, bufferBytes: 4096, maxPendingBytes: 8192,
};
const LIMITS: CrashTestOptions = { changes: 12, seeds: [0, 1, 2, 3], choicesPerMoment: 6 };

/** Each change leaves the store as no other does: a key is set to what it never was, or one that is there is deleted. */
function changeOf(number: number): { readonly key: string; readonly value: string | undefined } {
  if (number % 7 === 6) return { key: `key ${(number - 1) % 5}`, value: undefined };
  return { key: `key ${number % 5}`, value: `value ${number}`.padEnd(120, '.') };
}

async function change(store: KeyValueStore, number: number): Promise<unknown> {
  const { key, value } = changeOf(number);
  return value === undefined ? store.delete(key) : store.set(key, value);
}

/** How many changes make the store what it is. */
async function count(store: KeyValueStore, begun: number): Promise<number> {
  const held = new Map<string, string>();
  for (const key of store.keys()) held.set(key, Buffer.from((await store.get(key)) ?? []).toString());
  const expected = new Map<string, string>();
  for (let number = 0; number <= begun; number++) {
    if (isDeepStrictEqual(held, expected)) return number;
    const { key, value } = changeOf(number);
    if (value === undefined) expected.delete(key);
    else expected.set(key, value);
  }
  return assert.fail(`no changes leave ${JSON.stringify([...held])}`);
}

/** The store, on a file manager that `spoil` may have made something else of. */
function storeOn(spoil: (files: FileManager) => FileManager): CrashTestSubject<KeyValueStore> {
  return {
    open: (fileManager, directory) => KeyValueStore.open(directory, { ...OPTIONS, fileManager: spoil(fileManager) }),
    change,
    count,
  };
}

test('a store loses or makes up a change when it crashes, with a snapshot half written or half named', async (context) => {
  let snapshots = 0;
  const countSnapshots = (files: FileManager): FileManager => new class extends PassingFileManager {
    override rename(from: string, to: string): Promise<void> {
      if (to.endsWith('/snapshot')) snapshots++;
      return super.rename(from, to);
    }
  }(files);
  const { moments, states } = await crashTest(storeOn(countSnapshots), LIMITS);
  assert.ok(snapshots > 100, `only ${snapshots} snapshots were written`);
  assert.ok(states > 1000, `only ${states} states`);
  context.diagnostic(`${states} states from ${moments} moments, ${snapshots} snapshots`);
});

/** Does not sync a snapshot before that gets its name. */
class UnsyncedSnapshot extends PassingFileManager {
  override async open(path: string, options: OpenOptions): Promise<FileHandle> {
    const file = await super.open(path, options);
    if (path.endsWith('.new')) file.sync = async () => undefined;
    return file;
  }
}

/** Syncs the name of a snapshot neither when it is saved nor when it is loaded, before its entries leave the log. */
class UnsyncedName extends PassingFileManager {
  #left = 0;

  override async rename(from: string, to: string): Promise<void> {
    await super.rename(from, to);
    if (to.endsWith('/snapshot')) this.#left = 2;
  }

  override async syncDirectory(directory: string): Promise<void> {
    if (this.#left === 0) return super.syncDirectory(directory);
    this.#left--;
  }
}

/** Removes the old snapshot before the new one gets its name. */
class RemovedSnapshot extends PassingFileManager {
  override async rename(from: string, to: string): Promise<void> {
    if (to.endsWith('/snapshot')) {
      await this.remove(to).catch(() => undefined);
      await this.syncDirectory('/store');
    }
    await super.rename(from, to);
  }
}

describe('the crash test does not see that a store', () => {
  const mistakes = [
    ['does not sync its snapshot before the rename', UnsyncedSnapshot],
    ['does not sync the directory after the rename', UnsyncedName],
    ['removes the old snapshot before the rename', RemovedSnapshot],
  ] as const;
  for (const [mistake, Mistaken] of mistakes) {
    test(mistake, async (context) => {
      const subject = storeOn((files) => new Mistaken(files));
      await assert.rejects(crashTest(subject, LIMITS), (error) => {
        assert.ok(error instanceof CrashTestFailure);
        context.diagnostic(error.message);
        return true;
      });
    });
  }
});
