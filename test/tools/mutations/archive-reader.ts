import { named, type Mutation, type NamedTest } from './mutation.js';

function read(test: string): NamedTest {
  return named('unit/archive-reader', test);
}

function restored(test: string): NamedTest {
  return named('unit/archive-restore', test);
}

const CRASHED = named(
  'crash/archive-store-crashes',
  'an object that was confirmed, or listed, is gone or another after a crash, whatever failed before',
);

/** What a reader of an archive, and a store, must not get wrong. */
export const ARCHIVE_READER: readonly Mutation[] = [
  {
    name: 'a directory store replaces an object that is there',
    file: 'archive/directory-store.ts',
    find: 'await this.#files.link(from, to);',
    replace: 'await this.#files.rename(from, to);',
    caughtBy: named('unit/archive-stores', 'directoryStore in memory: an object replaces another with its key'),
  },
  {
    name: 'an object has its name before its bytes are durable',
    file: 'archive/directory-store.ts',
    find: 'await file.sync();',
    replace: '',
    caughtBy: CRASHED,
  },
  {
    name: 'an object is confirmed before its name is durable',
    file: 'archive/directory-store.ts',
    find: "await this.#sync(); return isCreated",
    replace: 'return isCreated',
    caughtBy: CRASHED,
  },
  {
    name: 'a conflict of two requests is taken for an object that is there',
    file: 'archive/fetch-store.ts',
    find: 'response.status === 412',
    replace: 'response.status === 412 || response.status === 409',
    caughtBy: named('unit/archive-stores', 'an answer of a store is taken for another one'),
  },
  {
    name: 'a missing bucket is taken for a missing object',
    file: 'archive/fetch-store.ts',
    find: "error.code === 'NoSuchKey'",
    replace: 'status === 404',
    caughtBy: named('unit/archive-stores', 'an answer of a store is taken for another one'),
  },
  {
    name: 'slots that are missing are passed over',
    file: 'archive/slot-stream.ts',
    find: 'if (slots === undefined) break;',
    replace: 'if (slots === undefined) { this.#next++; this.#before = undefined; continue; }',
    caughtBy: read('damage is not seen, or taken for something else: a slot is missing'),
  },
  {
    name: 'a slot of another archive is read as one of this',
    file: 'archive/slot-stream.ts',
    find: 'if (this.#before !== undefined) assertFollows(this.#before, slot);',
    replace: '',
    caughtBy: read('damage is not seen, or taken for something else: a slot is whole, but of another archive'),
  },
  {
    name: 'a part of a body is not verified',
    file: 'archive/bodies.ts',
    find: 'bytes.length === length && (await hashInTurns(bytes)) === hash',
    replace: 'true',
    caughtBy: read('damage is not seen, or taken for something else: a run or a part is missing, or another'),
  },
  {
    name: 'a standby never lists the slots again',
    file: 'archive/slot-stream.ts',
    find: 'waitedMs += everyMs',
    replace: 'waitedMs += 0',
    caughtBy: read('a standby misses what was deleted while it was away, without a word'),
  },
  {
    name: 'a restore ends within a batch',
    file: 'archive/log-builder.ts',
    find: 'if (entry.endsBatch) this.#append(',
    replace: 'this.#append(',
    caughtBy: restored('a restored log has other entries, ids, batches, version infos, or another identity'),
  },
  {
    name: 'ids that were passed over are given out by a restore',
    file: 'archive/log-builder.ts',
    find: 'if (isFirst || this.#batchId > this.#lastId + 1)',
    replace: 'if (isFirst)',
    caughtBy: restored('a restored log has other entries, ids, batches, version infos, or another identity'),
  },
  {
    name: 'a restored log has an identity of its own',
    file: 'archive/restore.ts',
    find: 'identity: source.logId',
    replace: 'identity: undefined',
    caughtBy: restored('a restored log has other entries, ids, batches, version infos, or another identity'),
  },
];
