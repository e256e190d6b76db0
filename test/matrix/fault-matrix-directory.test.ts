/** Row 44: a directory that is removed, moved or replaced while a log is open in it. */
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { NodeFileManager, type DirectoryLock, type WalError } from '../../src/index.js';
import { lockDirectory } from '../../src/files/lock/directory-lock.js';
import { loadFlock } from '../../src/files/lock/optional.js';
import { fillSegment, HoardingManager, Storage, withTemporaryDirectory } from '../tools/helpers.js';

const flock = await loadFlock();

/** Owns directories by the kernel's lock, or by a heartbeat. */
class OneLockManager extends NodeFileManager {
  readonly #byKernel: boolean;

  constructor(byKernel: boolean) {
    super();
    this.#byKernel = byKernel;
  }

  override lock(directory: string, onCompromised: (cause: Error) => void): Promise<DirectoryLock> {
    return lockDirectory(directory, onCompromised, this.#byKernel ? flock : null);
  }
}

const CHANGES: Readonly<Record<string, (directory: string) => Promise<void>>> = {
  removed: (directory) => fs.rm(directory, { recursive: true }),
  moved: (directory) => fs.rename(directory, `${directory}-old`),
  'replaced by an empty one': async (directory) => {
    await fs.rm(directory, { recursive: true });
    await fs.mkdir(directory);
  },
  'replaced by a copy of itself': async (directory) => {
    await fs.rename(directory, `${directory}-old`);
    await fs.cp(`${directory}-old`, directory, { recursive: true });
  },
};

for (const provider of ['flock', 'heartbeat']) {
  for (const [what, change] of Object.entries(CHANGES)) {
    const skip = provider === 'flock' && flock === null && 'fs-ext is not installed';
    test(`row 44: a directory that is ${what} under an open log goes unnoticed at a rotation (${provider})`, { skip }, () =>
      withTemporaryDirectory(async (parent) => {
        const directory = path.join(parent, 'wal');
        const storage = new Storage(new OneLockManager(provider === 'flock'), directory);
        const manager = new HoardingManager();
        const log = await storage.open({ manager });
        await fillSegment(log);
        const failed = new Promise<WalError>((resolve) => log.once('failed', resolve));
        await change(directory);
        const before = await fs.readdir(directory).catch(() => []);
        // What fills the active segment may still be acknowledged; what needs the next one cannot be.
        await assert.rejects(async () => {
          for (let rotations = 0; rotations < 3; rotations++) await fillSegment(log);
        }, { code: 'WAL_FAILED', message: /is another directory now: its own was removed, moved or replaced/ });
        assert.match((await failed).message, new RegExp(`${directory} is another directory`));
        assert.deepEqual(await fs.readdir(directory).catch(() => []), before, 'nothing is written to the other directory');
        manager.letGo();
        await log.shutdown();
      }));
  }
}
