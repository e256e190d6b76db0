import { named, type Mutation } from './mutation.js';

/** What a file manager says of the disk although it is not so. */
export const DISK: readonly Mutation[] = [
  {
    name: 'a sync is said to be done without the system being asked',
    file: 'files/node-file-manager.ts',
    find: "return this.#call(process.platform === 'darwin' ? fs.fsync : fs.fdatasync);",
    replace: 'return Promise.resolve();',
    caughtBy: named('unit/sync-calls', 'a file is said to be synced although the system was not asked'),
  },
  {
    name: 'a sync on the calling thread is said to be done without the system being asked',
    file: 'files/node-file-manager.ts',
    find: 'else fs.fdatasyncSync(this.#open());',
    replace: '',
    skip: process.platform === 'darwin' && 'another call does it there',
    caughtBy: named('unit/sync-calls', 'a file is said to be synced although the system was not asked'),
  },
  {
    name: 'a directory sync is said to be done without the system being asked',
    file: 'files/node-file-manager.ts',
    find: 'await handle.sync();',
    replace: '',
    skip: process.platform === 'win32' && 'a directory cannot be synced there',
    caughtBy: named('unit/sync-calls', 'a directory is said to be synced although the system was not asked'),
  },
  {
    name: 'the name of a new directory is not synced',
    file: 'files/node-file-manager.ts',
    find: 'if (parent !== target) await this.#syncName(target, isNew);',
    replace: '',
    caughtBy: named('unit/file-manager', 'a new directory, or one left by a crash, is lost because its parent was not synced'),
  },
  {
    name: 'a directory sync that has begun already is taken for the next one',
    file: 'engine/directory/log-directory.ts',
    find: 'this.#next ??= this.#running.catch(() => undefined).then(() => this.#run()); return this.#next;',
    replace: 'return this.#running;',
    caughtBy: named('unit/log-directory', 'names changed during a sync are taken to be durable with it'),
  },
  {
    name: 'a directory sync is tried again after the one before it has failed',
    file: 'engine/directory/log-directory.ts',
    find: 'this.#next = undefined; this.#lifecycle.assertMayWrite();',
    replace: 'this.#next = undefined;',
    caughtBy: named('unit/holds', 'a hold is said to be durable by a directory sync that came after one that failed'),
  },
  {
    name: 'a directory sync that fails is an error for its caller and not for the log',
    file: 'engine/directory/log-directory.ts',
    find: 'this.#lifecycle.fail(error); throw error;',
    replace: 'throw error;',
    caughtBy: named('unit/log-directory', 'a caller hears of a failed sync before the log has failed'),
  },
  {
    name: 'a name is changed although the lock has been lost',
    file: 'engine/directory/lifecycle.ts',
    find: 'if (this.#lock?.isHeld?.() === false)',
    replace: 'if (false)',
    caughtBy: named('unit/log-directory', 'a directory whose lock has been lost unnoticed is changed once more'),
  },
];
