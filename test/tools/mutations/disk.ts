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
    find: 'if (parent !== target) await this.syncDirectory(parent);',
    replace: '',
    caughtBy: named('unit/file-manager', 'a new directory, or one left by a crash, is lost because its parent was not synced'),
  },
  {
    name: 'a directory sync that has begun already is taken for the next one',
    file: 'engine/directory/directory-sync.ts',
    find: 'this.#next ??= this.#running.catch(() => undefined).then(() => this.#run()); return this.#next;',
    replace: 'return this.#running;',
    caughtBy: named('unit/directory-sync', 'names changed during a sync are taken to be durable with it'),
  },
];
