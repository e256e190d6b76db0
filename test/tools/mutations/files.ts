import { crashes, named, twice, type Mutation } from './mutation.js';

/** What is wrong with the files of the log and their names. */
export const FILES: readonly Mutation[] = [
  {
    name: 'the header of a new segment is not synced',
    file: 'engine/directory/spare-files.ts',
    find: 'await this.#allocate(file); await file.sync();',
    replace: 'await this.#allocate(file);',
    caughtBy: crashes('rotation'),
  },
  {
    name: 'the name of a new segment is not synced before it is written to',
    file: 'engine/directory/spare-files.ts',
    find: 'this.#drop(name); await this.#directory.sync();',
    replace: 'this.#drop(name);',
    caughtBy: crashes('rotation'),
  },
  {
    name: 'the name of a checkpointed segment is not synced before its file is used again',
    file: 'engine/directory/spare-files.ts',
    find: 'segment.renamed(name); await this.#directory.sync();',
    replace: 'segment.renamed(name);',
    caughtBy: twice('entries around the end of a segment'),
  },
  {
    name: 'a segment that was never linked keeps its name when the log is opened, and gets a new header under it',
    file: 'engine/log/continue.ts',
    find: 'const spares = await renameSpares(log, parts);',
    replace: 'const spares = log.spares;',
    caughtBy: twice('first commit'),
  },
  {
    name: 'the names found at opening are not synced',
    file: 'engine/log/continue.ts',
    find: 'await parts.directory.sync();',
    replace: '',
    caughtBy: twice('a checkpoint after reopening'),
  },
  {
    name: 'the second name of a file is left in the directory',
    file: 'engine/log/continue.ts',
    find: 'for (const name of log.aliases)',
    replace: 'for (const name of [])',
    caughtBy: twice('first commit'),
  },
  {
    name: 'two names of one file are taken for two files',
    file: 'engine/view/segment-files.ts',
    find: 'if (identities.has(identity))',
    replace: 'if (false)',
    caughtBy: crashes('entries around the end of a segment'),
  },
  {
    name: 'the next segment is given the name of the live one',
    file: 'engine/write/rotation.ts',
    find: 'Math.max(this.nextId, this.segment.segmentId + 1)',
    replace: 'this.segment.segmentId',
    caughtBy: crashes('rotation'),
  },
  {
    name: 'a new segment takes the name that somebody has given to the file of a live one',
    file: 'engine/log/continue.ts',
    find: 'parts.spareFiles.reserve(name);',
    replace: 'void name;',
    caughtBy: named('matrix/fault-matrix-damage', 'row 37: a segment under another name is not written over by the segment that is to have that name'),
  },
  {
    name: 'files are renamed after the log has failed',
    file: 'engine/directory/log-directory.ts',
    find: 'async rename(from, to) { this.#lifecycle.assertMayWrite();',
    replace: 'async rename(from, to) {',
    caughtBy: named('unit/rare-faults', 'a checkpoint that ends after the log has failed renames no file'),
  },
  {
    name: 'a file is closed at shutdown while it is being written',
    file: 'engine/log/shut-down.ts',
    find: 'await flusher.landed();',
    replace: '',
    caughtBy: named('unit/shutdown', 'a lost lock fails the log at once: nothing is written, renamed or removed (memory)'),
  },
];
