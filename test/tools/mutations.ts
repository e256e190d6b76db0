import type { Case } from './mutant.js';

/** A test of the suite, by the name of its file without the ending, and its own. */
export interface NamedTest {
  readonly kind: 'test';
  readonly file: string;
  readonly test: string;
}

/** A change of one place in the log's compiled text. */
export interface Edit {
  /** The file under src. */
  readonly file: string;
  /** Must occur exactly once in the compiled file. White space of any kind and length matches any other. */
  readonly find: string;
  readonly replace: string;
}

/** One bug for the suite to catch. */
export interface Mutation extends Edit {
  /** What the log does wrong, as a sentence. */
  readonly name: string;
  /** More edits that the bug takes: where two things guard against the same fault, neither is missed alone. */
  readonly also?: readonly Edit[];
  /** Why it cannot be seen on this system. */
  readonly skip?: string | false;
  /** The part of the suite that is expected to see it: not the only one, but one that does so soon. */
  readonly caughtBy: Case | NamedTest;
}

function crashes(workload: string): Case {
  return { kind: 'crashes', workload };
}

function twice(workload: string): Case {
  return { kind: 'crashes twice', workload };
}

function faults(workload: string): Case {
  return { kind: 'faults', workload };
}

const RANDOM: Case = { kind: 'random' };

function named(file: string, test: string): NamedTest {
  return { kind: 'test', file, test };
}

/** What is wrong with the files of the log and their names. */
const FILES: readonly Mutation[] = [
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
    find: 'this.#drop(name); await this.#directorySync.sync();',
    replace: 'this.#drop(name);',
    caughtBy: crashes('rotation'),
  },
  {
    name: 'the name of a checkpointed segment is not synced before its file is used again',
    file: 'engine/directory/spare-files.ts',
    find: 'segment.name = name; await this.#directorySync.sync();',
    replace: 'segment.name = name;',
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
    find: 'await parts.directorySync.sync();',
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
    find: 'parts.pool.reserve(name);',
    replace: 'void name;',
    caughtBy: named('matrix/fault-matrix-damage', 'row 37: a segment under another name is not written over by the segment that is to have that name'),
  },
  {
    name: 'the file of a checkpointed segment is used again while a reader holds it',
    file: 'engine/directory/spare-files.ts',
    find: 'await segment.whenUnpinned();',
    replace: '',
    caughtBy: crashes('reading a large chunk across recycling'),
  },
  {
    name: 'a reader does not keep its segment from being recycled',
    file: 'api/write-ahead-log.ts',
    find: 'segment.pin(); try { if (offset >= segment.durableEnd) await this.#queue.whenDurable(segment, offset);',
    replace: 'try { await segment.read(Buffer.alloc(5), offset); segment.pin(); if (offset >= segment.durableEnd) await this.#queue.whenDurable(segment, offset);',
    caughtBy: named('unit/failures-elsewhere-recovery', 'a read that has begun is counted before its segment can be recycled under it (memory)'),
  },
  {
    name: 'files are renamed after the log has failed',
    file: 'engine/directory/spare-files.ts',
    find: 'stop() { this.#isStopped = true; }',
    replace: 'stop() { }',
    caughtBy: named('unit/rare-faults', 'a checkpoint that ends after the log has failed renames no file'),
  },
  {
    name: 'a file is closed at shutdown while it is being written',
    file: 'api/write-ahead-log.ts',
    find: 'await this.#holds.idle(); await this.#queue.landed();',
    replace: 'await this.#holds.idle();',
    caughtBy: named('unit/shutdown', 'a lost lock fails the log at once: nothing is written, renamed or removed (memory)'),
  },
];

/** What a file manager says of the disk, and is not so. */
const DISK: readonly Mutation[] = [
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
    name: 'a flush on the calling thread is written and not synced',
    file: 'files/transfer.ts',
    find: 'if (!file.durableWrites) file.syncBlocking();',
    replace: '',
    caughtBy: RANDOM,
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

/** What a commit-queue does wrong. */
const COMMITS: readonly Mutation[] = [
  {
    name: 'a durable write is taken to cover what was written before it without a sync',
    file: 'engine/flush/flusher.ts',
    find: 'isDurable && file.durableWrites && this.#unsynced === undefined',
    replace: 'isDurable && file.durableWrites',
    caughtBy: RANDOM,
  },
  {
    name: 'a rollback forgets the length of the chunk that was committed before it',
    file: 'segment/segment-encoder.ts',
    find: 'taken ? undefined : savepoint.patch',
    replace: 'undefined',
    caughtBy: named('crash/crash-interplay', 'a rollback takes away the length of the chunk that was committed before it (memory)'),
  },
  {
    name: 'a segment can still be held when it is on its way out',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'this.#events.onRetiring(segment);',
    replace: '',
    caughtBy: named('crash/crash-interplay', 'a hold is promised entries whose segment is already on its way out'),
  },
  {
    name: 'an entry in the middle of a batch counts without the end of the batch',
    file: 'segment/record-scanner.ts',
    find: '?? this.#endEntry(this.#isBounded)',
    replace: '?? this.#endEntry(true)',
    caughtBy: RANDOM,
  },
  {
    name: 'the log is cut before what names the place of the cut is durable',
    file: 'engine/write/rotation.ts',
    find: 'this.#goOn(successor, { ...link, lastId: this.nextId - 1 }, { committed: resolve, failed: reject });',
    replace: 'this.#goOn(successor, { ...link, lastId: this.nextId - 1 }, { committed: () => {}, failed: reject }); resolve();',
    caughtBy: RANDOM,
  },
  {
    name: 'a flush is written and not synced',
    file: 'engine/flush/flusher.ts',
    find: 'if (isDurable) await file.sync();',
    replace: '',
    caughtBy: crashes('entries of several chunks'),
  },
  {
    name: 'a commit is acknowledged before its flush is durable',
    file: 'engine/flush/flusher.ts',
    find: 'this.#inFlight = flush;',
    replace: 'this.#inFlight = flush; for (const waiter of flush.waiters) waiter.durable();',
    caughtBy: crashes('first commit'),
  },
  {
    name: 'a commit is acknowledged although its flush failed',
    file: 'engine/flush/flusher.ts',
    find: 'for (const waiter of this.#inFlight?.waiters ?? []) waiter.failed(error);',
    replace: 'for (const waiter of this.#inFlight?.waiters ?? []) waiter.durable();',
    caughtBy: faults('first commit'),
  },
  {
    name: 'a failed sync is tried again',
    file: 'engine/flush/flusher.ts',
    find: 'await file.sync();',
    replace: 'await file.sync().catch(() => file.sync());',
    caughtBy: named('unit/failures-elsewhere-writing', 'a sync that fails once fails all commits from then on, and is not retried (memory)'),
  },
  {
    name: 'two flushes are in flight at once',
    file: 'engine/flush/flusher.ts',
    find: 'this.#isFlying = true;',
    replace: '',
    caughtBy: crashes('concurrent writers'),
  },
  {
    name: 'the newest segment is flushed before the one it follows',
    file: 'engine/flush/flusher.ts',
    find: 'const buffer = this.#buffers[0];',
    replace: 'const buffer = this.#buffers.at(-1);',
    caughtBy: RANDOM,
  },
  {
    name: 'those who wait for the next flush are forgotten when the log fails',
    file: 'engine/flush/flusher.ts',
    find: 'this.#rejectCommits(error); for (const waiter of this.#durabilityWaiters',
    replace: 'for (const waiter of this.#durabilityWaiters',
    caughtBy: named('unit/failures-elsewhere-writing', 'a sync that fails once fails all commits from then on, and is not retried (memory)'),
  },
  {
    name: 'those in line to write are forgotten when the log fails',
    file: 'engine/write/write-queue.ts',
    find: 'for (const request of requests) request.refuse(error);',
    replace: 'void error;',
    caughtBy: named('unit/failures-elsewhere-writing', 'a sync that fails once fails all commits from then on, and is not retried (memory)'),
  },
  {
    name: 'those who wait to read are forgotten when the log fails',
    file: 'engine/flush/flusher.ts',
    find: 'for (const waiter of this.#durabilityWaiters.splice(0)) waiter.reject(error);',
    replace: '',
    caughtBy: named('unit/failures-elsewhere-writing', 'a sync that fails once fails all commits from then on, and is not retried (memory)'),
  },
  {
    name: 'those who wait to read an entry are forgotten when it is rolled back',
    file: 'engine/flush/flusher.ts',
    find: 'for (const waiter of gone) waiter.reject(error);',
    replace: '',
    caughtBy: named('unit/chunk-reader', 'a read that waits for an entry hears when that is rolled back, or the log shut down'),
  },
  {
    name: 'commits are accepted and written after the log has failed',
    file: 'engine/flush/flusher.ts',
    find: 'this.#failure = error;',
    replace: 'queueMicrotask(() => { this.#failure = undefined; this.#inFlight = undefined; }); this.#failure = error;',
    caughtBy: faults('first commit'),
  },
  {
    name: 'an entry can be read before it is durable',
    file: 'api/write-ahead-log.ts',
    find: 'if (offset >= segment.durableEnd) await this.#queue.whenDurable(segment, offset);',
    replace: 'segment.durableEnd = Math.max(segment.durableEnd, segment.end);',
    caughtBy: RANDOM,
  },
  {
    name: 'a short write is taken for a whole one',
    file: 'files/transfer.ts',
    find: 'const written = await file.write(rest, position); rest = dropBytes(rest, written);',
    replace: 'const written = await file.write(rest, position); rest = [];',
    caughtBy: faults('first commit'),
  },
  {
    name: 'a rollback keeps the length of what was rolled back',
    file: 'segment/segment-encoder.ts',
    find: 'this.#used = taken ? 0 : savepoint.used;',
    replace: 'if (taken) this.#used = 0;',
    caughtBy: RANDOM,
  },
  {
    name: 'a rollback keeps the chain of what was rolled back',
    file: 'segment/segment-encoder.ts',
    find: 'this.chain = savepoint.chain;',
    replace: 'this.chain = this.#entryChain;',
    caughtBy: crashes('a rollback in between'),
  },
  {
    name: 'a mark says that a flush is durable of which it is a part',
    file: 'segment/segment-encoder.ts',
    find: 'format.encodeMark(block, at, this.segment.seed, offset, this.segment.durableEnd);',
    replace: 'format.encodeMark(block, at, this.segment.seed, offset, offset);',
    caughtBy: RANDOM,
  },
];

/** What recovery and the format do wrong. */
const RECOVERY: readonly Mutation[] = [
  {
    name: 'the salt of a segment is always the same',
    file: 'engine/directory/spare-files.ts',
    find: 'this.#environment.randomFill(salt);',
    replace: '',
    caughtBy: named('unit/rare-faults', 'the mark of another log in a payload says nothing about this one'),
  },
  {
    name: 'the checksums of a segment are right in any other, and in any other life of its file',
    file: 'format/segment-format.ts',
    find: 'return (seed ^ offset ^ Math.imul(high, 0x9e3779b1)) >>> 0;',
    replace: 'return (offset ^ Math.imul(high, 0x9e3779b1)) >>> 0;',
    also: [{ file: 'engine/write/rotation.ts', find: 'environment.randomFill(bytes);', replace: '' }],
    caughtBy: crashes('recycling'),
  },
  {
    name: 'the nonce of a link is always the same',
    file: 'engine/write/rotation.ts',
    find: 'environment.randomFill(bytes);',
    replace: '',
    caughtBy: crashes('shutting down and reopening without a sync'),
  },
  {
    name: 'a checksum does not cover the place of its record',
    file: 'format/segment-format.ts',
    find: 'return (seed ^ offset ^ Math.imul(high, 0x9e3779b1)) >>> 0;',
    replace: 'return seed;',
    caughtBy: named('unit/segment-format', 'a mark says what was written into it, at its own place and in its own segment only'),
  },
  {
    name: "a chunk's checksum does not cover its length",
    file: 'format/segment-format.ts',
    find: 'return crc32(chunkHeader, startAt(seed, offset));',
    replace: 'return startAt(seed, offset);',
    caughtBy: named('unit/segment-format', "a chunk's checksum binds its length, its data, its segment and its offset"),
  },
  {
    name: "an entry's chain is not checked",
    file: 'segment/record-scanner.ts',
    find: "if (!this.#format.isEndOf(this.#window, at, this.#entryChain)) return 'end';",
    replace: '',
    caughtBy: crashes('shutting down and reopening without a sync'),
  },
  {
    name: "a chunk's checksum is not checked",
    file: 'segment/record-scanner.ts',
    find: "if (crc !== this.#chunkCrc) return 'end';",
    replace: '',
    caughtBy: crashes('concurrent writers'),
  },
  {
    name: "an entry's id need not be above those before it",
    file: 'segment/record-scanner.ts',
    find: "if (id <= this.#lastEntryId || id >= Number.MAX_SAFE_INTEGER) return 'end';",
    replace: '',
    caughtBy: named('unit/rare-faults', "stale entries behind a segment of the predecessor are not handed over"),
  },
  {
    name: "a chunk's length is trusted by a reader",
    file: 'segment/chunk-source.ts',
    find: 'if (offset + format.CHUNK_OVERHEAD + length > limit) throw noChunk(segment, offset);',
    replace: '',
    caughtBy: named('unit/chunk-reader', 'bytes of a payload that look like a chunk do not pass for a valid one'),
  },
  {
    name: 'a read error is taken for the end of the log',
    file: 'segment/segment.ts',
    find: 'throw toWalError(error, `segment ${segmentId} cannot be read`, details);',
    replace: 'return 0;',
    caughtBy: faults('reading across recycling'),
  },
  {
    name: 'a short read is taken for the end of the file',
    file: 'files/transfer.ts',
    find: 'if (read === 0) break; filled += read;',
    replace: 'filled += read; break;',
    caughtBy: named('unit/rare-faults', 'a disk that gives a few bytes at a time is read to its end'),
  },
  {
    name: 'the tail is not rewritten',
    file: 'engine/recover/recovery.ts',
    find: 'if (!isProven) await tail.rewrite(segment, durableUpTo, end);',
    replace: '',
    caughtBy: crashes('reopening after the process ended'),
  },
  {
    name: 'the tail is synced instead of being rewritten',
    file: 'engine/recover/recovery.ts',
    find: 'if (!isProven) await tail.rewrite(segment, durableUpTo, end);',
    replace: 'await segment.file.sync();',
    caughtBy: faults('reopening after the process ended'),
  },
  {
    name: 'the tail is rewritten without a copy that could be put back',
    file: 'engine/recover/tail-rewrite.ts',
    find: 'if (at === 0) parts.unshift(encodeTailHeader(tail));',
    replace: 'if (at === 0) parts.unshift(Buffer.alloc(TAIL_HEADER_LENGTH));',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: 'the copy of the tail is not synced',
    file: 'engine/recover/tail-rewrite.ts',
    find: 'await copy.sync();',
    replace: '',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: "the name of the tail's copy is not synced",
    file: 'engine/recover/tail-rewrite.ts',
    find: 'await copy.sync(); await this.#syncDirectory();',
    replace: 'await copy.sync();',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: 'the rewritten tail is not synced',
    file: 'engine/recover/tail-rewrite.ts',
    find: 'await file.sync();',
    replace: '',
    caughtBy: crashes('reopening after the process ended'),
  },
  {
    name: 'an interrupted rewrite of the tail is not done over',
    file: 'engine/recover/recovery.ts',
    find: 'if (files.hasTailCopy) await tail.redo(files.segments);',
    replace: 'if (files.hasTailCopy) await tail.discard();',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: 'the copy of a tail is used although only the cache may have it',
    file: 'engine/recover/tail-rewrite.ts',
    find: 'await this.#syncDirectory(); await this.#putBack(fresh, tail, segment);',
    replace: 'await this.#putBack(fresh, tail, segment);',
    caughtBy: named('crash/crash-twice', 'a tail is written over while only the cache knows its copy, which the process before could not sync'),
  },
  {
    name: 'the second copy of a tail is not synced',
    file: 'engine/recover/tail-rewrite.ts',
    find: 'await fresh.sync();',
    replace: '',
    caughtBy: named('crash/crash-twice', 'a tail is written over while only the cache knows its copy, which the process before could not sync'),
  },
  {
    name: 'the second copy of a tail may be written over the first',
    file: 'engine/recover/tail-rewrite.ts',
    find: 'await removeIfThere(this.#fileManager, this.#newPath);',
    replace: '',
    caughtBy: named('crash/crash-twice', 'a copy of a tail that has two names is written over, with nothing else left of the tail'),
  },
  {
    name: 'the copy of a tail is put back into any segment with its id',
    file: 'engine/recover/tail-rewrite.ts',
    find: 'segmentId === tail?.segmentId && seed === tail.seed',
    replace: 'segmentId === tail?.segmentId',
    caughtBy: named('unit/rare-faults', 'the copy of a tail is written into another segment that has the same id'),
  },
  {
    name: 'any copy of a tail is put back, whole or not',
    file: 'engine/recover/tail-rewrite.ts',
    find: 'return computed === stored.readUInt32LE(0) ? { ...tail, crc: computed } : undefined;',
    replace: 'return { ...tail, crc: computed };',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: "the last segment's entries are shown before they are made durable",
    file: 'engine/recover/recovery.ts',
    find: 'if (!isProven) await tail.rewrite(',
    replace: 'if (!this.shown) { this.shown = true; await this.#target.shouldRecover(segment); if (last > 0) await this.#deliver(await this.#scan(segment, lastId, end)); this.#target = { recover() {}, async shouldRecover() { return true; } }; } if (!isProven) await tail.rewrite(',
    caughtBy: named('unit/recovery', 'the tail is written again and synced before the manager sees any of it (memory)'),
  },
  {
    name: 'a link behind the last entry is torn although something vouches for it',
    file: 'engine/recover/recovery.ts',
    find: 'if (proven > end) ({ end, chain } = scanner);',
    replace: '',
    caughtBy: twice('abandoning segments'),
  },
  {
    name: 'the link of a new segment does not carry the highest id',
    file: 'engine/write/rotation.ts',
    find: 'lastId: this.nextId - 1,',
    replace: 'lastId: 0,',
    caughtBy: crashes('everything checkpointed, reopened again and again'),
  },
  {
    name: 'the link of an opening does not carry the highest id',
    file: 'engine/log/continue.ts',
    find: 'lastId: log.lastId,',
    replace: 'lastId: 0,',
    caughtBy: crashes('an entry larger than a segment'),
  },
  {
    name: 'the link of a shutdown does not carry the highest id',
    file: 'engine/write/write-queue.ts',
    find: 'lastId: this.#active.nextId - 1,',
    replace: 'lastId: 0,',
    caughtBy: named('unit/entry-writer', 'a rolled-back entry is never recovered, and its id is not given again (memory)'),
  },
  {
    name: 'recovery takes the last entry for the highest id, whatever the links say',
    file: 'engine/recover/recovery.ts',
    find: 'return { end, chain, lastId: scanner.lastId, tornBytes: scanner.tornBytes };',
    replace: 'return { end, chain, lastId: Math.max(last, lastId), tornBytes: scanner.tornBytes };',
    caughtBy: crashes('everything checkpointed, reopened again and again'),
  },
  {
    name: 'damage is taken for a torn tail',
    file: 'engine/recover/recovery.ts',
    find: 'if (proven > scanner.end) throw damaged(segment, scanner.end, scanner.lastId);',
    replace: '',
    caughtBy: named('unit/failures-elsewhere-recovery', 'a damaged byte cuts off no good data: opening refuses and changes no file (memory)'),
  },
  {
    name: 'a torn tail is taken for damage',
    file: 'engine/recover/recovery.ts',
    find: 'if (proven > scanner.end) throw',
    replace: 'if (proven > scanner.end || scanner.tornBytes > 0) throw',
    caughtBy: crashes('first commit'),
  },
  {
    name: 'the end of a closed segment is not compared with what its successor says',
    file: 'engine/recover/recovery.ts',
    find: 'if (!isWhole(scanner, next)) throw damaged(',
    replace: 'if (false) throw damaged(',
    caughtBy: named('unit/failures-elsewhere-recovery', 'a damaged byte cuts off no good data: opening refuses and changes no file (memory)'),
  },
  {
    name: 'a segment that is missing in the middle is not missed',
    file: 'engine/recover/recovery.ts',
    find: 'if (!isOlderLeft && !isEmptied) return;',
    replace: 'return;',
    caughtBy: named('unit/recovery', 'a segment missing in the middle, or emptied, is damage and not the end (memory)'),
  },
];

/** What the checkpointer does wrong. */
const CHECKPOINTS: readonly Mutation[] = [
  {
    name: "a segment is handed over before its successor's link is durable",
    file: 'engine/write/rotation.ts',
    find: 'committed: () => { closed.segment.isSealed = true; this.#parts.events.onSealed(closed.segment); sealing.resolve(); },',
    replace: 'committed: (closed.segment.isSealed = true, this.#parts.events.onSealed(closed.segment), sealing.resolve(), () => undefined),',
    caughtBy: crashes('concurrent writers'),
  },
  {
    name: 'the newest segment is checkpointed first',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'next: () => (this.#isHalted ? undefined : this.#segments[0]),',
    replace: 'next: () => (this.#isHalted ? undefined : this.#segments.at(-1)),',
    caughtBy: crashes('entries around the end of a segment'),
  },
  {
    name: 'a checkpoint that failed frees its segment',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'await this.#events.persist(segment, persisting.signal);',
    replace: 'await this.#events.persist(segment, persisting.signal).catch(() => undefined);',
    caughtBy: crashes('a failing checkpoint'),
  },
  {
    name: 'a segment is freed while its checkpoint goes on',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'await this.#events.persist(segment, persisting.signal);',
    replace: 'void this.#events.persist(segment, persisting.signal).catch(() => undefined);',
    caughtBy: crashes('a checkpoint that never ends'),
  },
  {
    name: 'a segment whose checkpoint failed is freed at the second attempt without being handed over',
    file: 'engine/checkpoint/checkpointer.ts',
    find: 'if (!isSafe && !(await this.#persist(segment))) return;',
    replace: 'this.#persisted = segment; if (!isSafe && !(await this.#persist(segment))) return;',
    caughtBy: crashes('a failing checkpoint'),
  },
  {
    name: 'an abandoned segment that goes on is not checkpointed',
    file: 'engine/log/continue.ts',
    find: 'if (goesOn) last.isAbandoned = false;',
    replace: '',
    caughtBy: named('unit/rare-faults', 'what is written to a segment that was abandoned while it was empty is let go without a checkpoint'),
  },
];

/** Every bug that the suite must catch. */
export const MUTATIONS: readonly Mutation[] = [...FILES, ...DISK, ...COMMITS, ...RECOVERY, ...CHECKPOINTS];
