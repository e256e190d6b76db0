import { named, type Mutation } from './mutation.js';

const CRASHES = named(
  'crash/snapshot-crashes', 'a snapshot that was saved, or loaded, is gone after a crash, whatever fails at any call before',
);

/** What makes a snapshot file lose what it holds, or believe what it does not. */
export const SNAPSHOTS: readonly Mutation[] = [
  {
    name: 'a snapshot gets its name before it is synced',
    file: 'snapshot/snapshot-file.ts',
    find: 'await this.#attempt(() => encoder.finish()); await this.#attempt(() => file.sync());',
    replace: 'await this.#attempt(() => encoder.finish());',
    caughtBy: CRASHES,
  },
  {
    name: 'the name of a snapshot is not synced when it is saved',
    file: 'snapshot/snapshot-file.ts',
    find: 'await this.#attempt(() => this.#fileManager.syncDirectory(path.dirname(this.#path)));',
    replace: '',
    caughtBy: CRASHES,
  },
  {
    name: 'the name of a snapshot is not synced when it is loaded',
    file: 'snapshot/snapshot-file.ts',
    find: 'await this.#fileManager.syncDirectory(directory);',
    replace: '',
    caughtBy: CRASHES,
  },
  {
    name: 'a snapshot is not synced when it is loaded',
    file: 'snapshot/snapshot-file.ts',
    find: 'await file.sync(); const snapshot',
    replace: 'const snapshot',
    caughtBy: named('crash/snapshot-crashes', 'a snapshot that was copied by hand, and not synced, is gone after it was loaded'),
  },
  {
    name: 'a snapshot is loaded after the sync of its name has failed',
    file: 'snapshot/snapshot-file.ts',
    find: 'this.#isUnproven = true;',
    replace: '',
    caughtBy: named('unit/snapshot', 'a snapshot is loaded although the sync of its name has failed'),
  },
  {
    name: 'a snapshot is written over what a failed attempt has left',
    file: 'snapshot/snapshot-file.ts',
    find: '-${++this.#saves}.new',
    replace: '-${1}.new',
    caughtBy: named('unit/snapshot', 'what a failed attempt has left is used by the next, or in its way'),
  },
  {
    name: 'a snapshot that was aborted while it was synced gets its name',
    file: 'snapshot/snapshot-file.ts',
    find: 'signal)); signal?.throwIfAborted();',
    replace: 'signal));',
    caughtBy: named('unit/snapshot', 'an abort while the snapshot is being synced leaves the new one, or one after its end the old'),
  },
  {
    name: 'two snapshots are saved at the same time',
    file: 'snapshot/snapshot-file.ts',
    find: 'await this.#calls.run(() => this.#save(lastId, pieces, signal));',
    replace: 'await this.#save(lastId, pieces, signal);',
    caughtBy: named('unit/snapshot', 'callers at the same time get in the way of each other (memory)'),
  },
  {
    name: 'a snapshot goes back',
    file: 'snapshot/snapshot-file.ts',
    find: 'if (lastId < this.#lastId)',
    replace: 'if (false)',
    caughtBy: named('unit/snapshot', 'a snapshot goes back to fewer entries than the log has freed since'),
  },
  {
    name: 'a snapshot is missing where it cannot be opened',
    file: 'snapshot/snapshot-file.ts',
    find: "if (hasCode(error, 'ENOENT'))",
    replace: 'if (true)',
    caughtBy: named('unit/snapshot', 'a link or a directory in place of the snapshot is taken for none'),
  },
  {
    name: 'a block of a snapshot is not verified',
    file: 'snapshot/snapshot.ts',
    find: 'if (!isValid)',
    replace: 'if (false)',
    caughtBy: named('unit/snapshot', 'a snapshot that was never saved, and one that is damaged, are taken for each other (memory)'),
  },
  {
    name: 'a block of a snapshot is valid in any place',
    file: 'format/snapshot-format.ts',
    find: 'crc32(content, crc32(place))',
    replace: 'crc32(content)',
    caughtBy: named('unit/snapshot', 'a block of another snapshot, or of another place, is taken for one of this'),
  },
  {
    name: 'a snapshot may be longer than it says',
    file: 'snapshot/snapshot.ts',
    find: 'if (size !== expected)',
    replace: 'if (size < expected)',
    caughtBy: named('unit/snapshot', 'a snapshot that was never saved, and one that is damaged, are taken for each other (memory)'),
  },
  {
    name: 'the file of a snapshot is closed while it is read',
    file: 'snapshot/snapshot.ts',
    find: 'if (this.#reads === 0) this.#closeFile();',
    replace: 'this.#closeFile();',
    caughtBy: named('unit/snapshot', 'a snapshot that is being read goes away when it is replaced or closed (memory)'),
  },
];
