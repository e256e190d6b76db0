import type { Case } from './mutant.js';

/** A test of the suite, by the name of its file without the ending, and its own. */
export interface NamedTest {
  readonly kind: 'test';
  readonly file: string;
  readonly test: string;
}

/** One bug for the suite to catch: a change of the log's compiled text. */
export interface Mutation {
  /** What the log does wrong, as a sentence. */
  readonly name: string;
  /** The file under src. */
  readonly file: string;
  /** Must occur exactly once in the compiled file. White space of any kind and length matches any other. */
  readonly find: string;
  readonly replace: string;
  /** The part of the suite that is expected to see it: not the only one, but one that does so soon. */
  readonly caughtBy: Case | NamedTest;
}

function crashes(workload: string): Case {
  return { kind: 'crashes', workload };
}

function faults(workload: string): Case {
  return { kind: 'faults', workload };
}

function named(file: string, test: string): NamedTest {
  return { kind: 'test', file, test };
}

/** What a segment-pool does wrong. */
const FILES: readonly Mutation[] = [
  {
    name: 'the zeros of a new spare file are not synced',
    file: 'flow/segment-pool.ts',
    find: 'if (size !== preallocateBytes) await file.sync();',
    replace: '',
    caughtBy: crashes('rotation'),
  },
  {
    name: 'the header of a new segment is not synced',
    file: 'flow/segment-pool.ts',
    find: 'await writeFully(file, [bytes], 0); await file.sync();',
    replace: 'await writeFully(file, [bytes], 0);',
    caughtBy: crashes('rotation'),
  },
  {
    name: 'the name of a new segment is not synced before it is written to',
    file: 'flow/segment-pool.ts',
    find: 'await this.#rename(spare, name); await this.#directorySync.sync();',
    replace: 'await this.#rename(spare, name);',
    caughtBy: crashes('rotation'),
  },
  {
    name: 'the name of a checkpointed segment is not synced before its file is used again',
    file: 'flow/segment-pool.ts',
    find: 'segment.name = name; await this.#directorySync.sync();',
    replace: 'segment.name = name;',
    caughtBy: crashes('recycling'),
  },
  {
    name: "the spare's name of a segment that was never linked is not synced before it gets a new header",
    file: 'flow/segment-pool.ts',
    find: 'await this.#rename(name, checkpointedName(parsed.id)); await this.#directorySync.sync();',
    replace: 'await this.#rename(name, checkpointedName(parsed.id));',
    caughtBy: { kind: 'random' },
  },
  {
    name: 'a segment that was never linked gets its new header under its old name',
    file: 'flow/segment-pool.ts',
    find: 'if (parsed === undefined || parsed.checkpointed) return name;',
    replace: 'return name;',
    caughtBy: { kind: 'random' },
  },
  {
    name: 'the names found at opening are not synced',
    file: 'flow/opening.ts',
    find: 'await parts.directorySync.sync();',
    replace: '',
    caughtBy: crashes('reopening after the process ended'),
  },
  {
    name: 'the second name of a file is left in the directory',
    file: 'flow/opening.ts',
    find: 'for (const name of log.aliases)',
    replace: 'for (const name of [])',
    caughtBy: { kind: 'random' },
  },
  {
    name: 'two names of one file are taken for two files',
    file: 'flow/segment-files.ts',
    find: 'if (identities.has(identity))',
    replace: 'if (false)',
    caughtBy: { kind: 'random' },
  },
  {
    name: 'the next segment is given the name of the live one',
    file: 'flow/active-segment.ts',
    find: 'Math.max(this.nextId, this.segment.segmentId + 1)',
    replace: 'this.segment.segmentId',
    caughtBy: crashes('rotation'),
  },
  {
    name: 'the file of a checkpointed segment is used again while a reader holds it',
    file: 'flow/segment-pool.ts',
    find: 'await segment.whenUnpinned();',
    replace: '',
    caughtBy: crashes('reading a large chunk across recycling'),
  },
  {
    name: 'a reader does not keep its segment from being recycled',
    file: 'api/write-ahead-log.ts',
    find: 'segment.pin(); try {',
    replace: 'await new Promise(setImmediate); segment.pin(); try {',
    caughtBy: crashes('reading across recycling'),
  },
  {
    name: 'files are renamed after the log has failed',
    file: 'flow/segment-pool.ts',
    find: 'stop() { this.#isStopped = true; }',
    replace: 'stop() { }',
    caughtBy: faults('rotation'),
  },
  {
    name: 'a file is closed at shutdown while it is being written',
    file: 'api/write-ahead-log.ts',
    find: 'await this.#checkpointer.stop(); await this.#queue.landed();',
    replace: 'await this.#checkpointer.stop();',
    caughtBy: faults('first commit'),
  },
];

/** What a commit-queue does wrong. */
const COMMITS: readonly Mutation[] = [
  {
    name: 'a flush is written and not synced',
    file: 'flow/commit-queue.ts',
    find: 'if (!file.durableWrites) await file.sync();',
    replace: '',
    caughtBy: crashes('entries of several chunks'),
  },
  {
    name: 'a commit is acknowledged before its flush is durable',
    file: 'flow/commit-queue.ts',
    find: 'this.#inFlight = flush;',
    replace: 'this.#inFlight = flush; for (const waiter of flush.waiters) waiter.durable();',
    caughtBy: crashes('first commit'),
  },
  {
    name: 'a commit is acknowledged although its flush failed',
    file: 'flow/commit-queue.ts',
    find: 'for (const waiter of this.#inFlight?.waiters ?? []) waiter.failed(error);',
    replace: 'for (const waiter of this.#inFlight?.waiters ?? []) waiter.durable();',
    caughtBy: faults('first commit'),
  },
  {
    name: 'a failed sync is tried again',
    file: 'flow/commit-queue.ts',
    find: 'await file.sync();',
    replace: 'await file.sync().catch(() => file.sync());',
    caughtBy: faults('empty entries'),
  },
  {
    name: 'a flush that ends after the log has failed is acknowledged',
    file: 'flow/commit-queue.ts',
    find: 'if (this.#failure !== undefined) return; const { buffer, length, committedEnd, waiters } = flush;',
    replace: 'const { buffer, length, committedEnd, waiters } = flush;',
    caughtBy: faults('rotation'),
  },
  {
    name: 'two flushes are in flight at once',
    file: 'flow/commit-queue.ts',
    find: 'this.#inFlight = flush;',
    replace: '',
    caughtBy: crashes('concurrent writers'),
  },
  {
    name: 'the newest segment is flushed before the one it follows',
    file: 'flow/commit-queue.ts',
    find: 'const buffer = this.#buffers[0];',
    replace: 'const buffer = this.#buffers.at(-1);',
    caughtBy: crashes('concurrent writers'),
  },
  {
    name: 'those who wait for the next flush are forgotten when the log fails',
    file: 'flow/commit-queue.ts',
    find: 'this.#failure = error; for (const waiter of this.#inFlight?.waiters ?? []) waiter.failed(error); this.#rejectCommits(error);',
    replace: 'this.#failure = error; for (const waiter of this.#inFlight?.waiters ?? []) waiter.failed(error);',
    caughtBy: faults('concurrent writers'),
  },
  {
    name: 'those in line to write are forgotten when the log fails',
    file: 'flow/log-writer.ts',
    find: 'if (!request.isCancelled) request.refuse(error); this.#idle?.resolve();',
    replace: 'void error; this.#idle?.resolve();',
    caughtBy: faults('rotation'),
  },
  {
    name: 'those who wait to read are forgotten when the log fails',
    file: 'flow/commit-queue.ts',
    find: 'for (const waiter of this.#durabilityWaiters.splice(0)) waiter.reject(error);',
    replace: '',
    caughtBy: named('failures-elsewhere-writing', 'a sync that fails once fails every commit that waits and every later one, and is never tried again (memory)'),
  },
  {
    name: 'those who wait to read an entry are forgotten when it is rolled back',
    file: 'flow/commit-queue.ts',
    find: 'for (const waiter of gone) waiter.reject(error);',
    replace: '',
    caughtBy: { kind: 'random' },
  },
  {
    name: 'commits are accepted and written after the log has failed',
    file: 'flow/commit-queue.ts',
    find: 'this.#failure = error;',
    replace: 'queueMicrotask(() => { this.#failure = undefined; this.#inFlight = undefined; }); this.#failure = error;',
    caughtBy: faults('first commit'),
  },
  {
    name: 'an entry can be read before it is durable',
    file: 'api/write-ahead-log.ts',
    find: 'if (offset >= segment.durableEnd) await this.#queue.whenDurable(segment, offset);',
    replace: 'segment.durableEnd = Math.max(segment.durableEnd, segment.end);',
    caughtBy: { kind: 'random' },
  },
  {
    name: 'a short write is taken for a whole one',
    file: 'files/transfer.ts',
    find: 'const written = await file.write(rest, position); rest = dropBytes(rest, written);',
    replace: 'const written = await file.write(rest, position); rest = [];',
    caughtBy: faults('first commit'),
  },
  {
    name: 'a rollback does not wait for the flush in flight',
    file: 'flow/log-writer.ts',
    find: 'await this.#queue.flightSettled();',
    replace: '',
    caughtBy: crashes('a rollback, then a smaller entry'),
  },
  {
    name: 'a rollback keeps the length of what was rolled back',
    file: 'segment/segment-buffer.ts',
    find: 'this.#used = taken ? 0 : savepoint.used;',
    replace: 'if (taken) this.#used = 0;',
    caughtBy: crashes('a rollback in between'),
  },
  {
    name: 'a rollback keeps the chain of what was rolled back',
    file: 'segment/segment-buffer.ts',
    find: 'this.chain = savepoint.chain;',
    replace: 'this.chain = this.#entryChain;',
    caughtBy: crashes('a rollback in between'),
  },
  {
    name: 'a mark says that a flush is durable of which it is a part',
    file: 'segment/segment-buffer.ts',
    find: 'format.encodeMark(block, at, this.segment.seed, offset, this.segment.durableEnd);',
    replace: 'format.encodeMark(block, at, this.segment.seed, offset, offset);',
    caughtBy: crashes('a streamed chunk larger than the buffers'),
  },
];

/** What recovery and the format do wrong. */
const RECOVERY: readonly Mutation[] = [
  {
    name: 'the salt of a segment is always the same',
    file: 'flow/segment-pool.ts',
    find: 'this.#environment.randomFill(salt);',
    replace: '',
    caughtBy: named('failures-elsewhere-writing', 'payload of a rolled-back entry is never recovered as an entry, genuine frames included'),
  },
  {
    name: 'the nonce of a link is always the same',
    file: 'flow/active-segment.ts',
    find: 'environment.randomFill(bytes);',
    replace: '',
    caughtBy: crashes('the same entries again after power losses'),
  },
  {
    name: 'a checksum does not cover the place of its record',
    file: 'contracts/segment-format.ts',
    find: 'return (seed ^ offset ^ Math.imul(high, 0x9e3779b1)) >>> 0;',
    replace: 'return seed;',
    caughtBy: crashes('payloads that look like the log'),
  },
  {
    name: "a chunk's checksum does not cover its length",
    file: 'contracts/segment-format.ts',
    find: 'return crc32(chunkHeader, startAt(seed, offset));',
    replace: 'return startAt(seed, offset);',
    caughtBy: named('segment-format', "a chunk's checksum binds its length, its data, its segment and its offset"),
  },
  {
    name: "an entry's chain is not checked",
    file: 'segment/segment-scanner.ts',
    find: "if (format.decodeEndChain(this.#window, at) !== this.#entryChain) return 'end';",
    replace: '',
    caughtBy: crashes('first commit'),
  },
  {
    name: "a chunk's checksum is not checked",
    file: 'segment/segment-scanner.ts',
    find: "if (crc !== this.#chunkCrc) return 'end';",
    replace: '',
    caughtBy: crashes('first commit'),
  },
  {
    name: "an entry's id need not be above those before it",
    file: 'segment/segment-scanner.ts',
    find: "if (id <= this.lastId || !Number.isSafeInteger(id)) return 'end';",
    replace: '',
    caughtBy: named('format-0', 'x'),
  },
  {
    name: "a chunk's length is trusted by the scanner",
    file: 'segment/segment-scanner.ts',
    find: "if (this.#at + format.CHUNK_OVERHEAD + length > this.#fileEnd) return 'end';",
    replace: '',
    caughtBy: crashes('first commit'),
  },
  {
    name: "a chunk's length is trusted by a reader",
    file: 'segment/chunk-source.ts',
    find: 'if (offset + format.CHUNK_OVERHEAD + length > limit) throw noChunk(segment, offset);',
    replace: '',
    caughtBy: named('chunk-reader', 'x'),
  },
  {
    name: 'a read error is taken for the end of the log',
    file: 'segment/segment.ts',
    find: 'throw toWalError(error, `segment ${segmentId} cannot be read`, { segmentId, offset });',
    replace: 'return 0;',
    caughtBy: faults('reopening'),
  },
  {
    name: 'a short read is taken for the end of the file',
    file: 'files/transfer.ts',
    find: 'if (read === 0) break; filled += read;',
    replace: 'filled += read; break;',
    caughtBy: named('teeth-extra', 'x'),
  },
  {
    name: 'the tail is not rewritten',
    file: 'flow/recovery.ts',
    find: 'if (scanner.durableUpTo < end) await tail.rewrite(segment, scanner.durableUpTo, end);',
    replace: '',
    caughtBy: crashes('reopening after the process ended'),
  },
  {
    name: 'the tail is synced instead of being rewritten',
    file: 'flow/recovery.ts',
    find: 'if (scanner.durableUpTo < end) await tail.rewrite(segment, scanner.durableUpTo, end);',
    replace: 'await segment.file.sync();',
    caughtBy: faults('reopening after the process ended'),
  },
  {
    name: 'the tail is rewritten without a copy of it',
    file: 'flow/tail-copy.ts',
    find: 'await copy.sync(); await this.#fileManager.syncDirectory(this.#directory);',
    replace: 'await this.#fileManager.remove(this.#path);',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: 'the copy of the tail is not synced',
    file: 'flow/tail-copy.ts',
    find: 'await copy.sync();',
    replace: '',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: "the name of the tail's copy is not synced",
    file: 'flow/tail-copy.ts',
    find: 'await copy.sync(); await this.#fileManager.syncDirectory(this.#directory);',
    replace: 'await copy.sync();',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: 'the rewritten tail is not synced',
    file: 'flow/tail-copy.ts',
    find: 'await segment.file.sync(); await this.discard();',
    replace: 'await this.discard();',
    caughtBy: crashes('reopening after the process ended'),
  },
  {
    name: 'an interrupted rewrite of the tail is not done over',
    file: 'flow/recovery.ts',
    find: 'if (files.hasTailCopy) await tail.redo(files.segments);',
    replace: 'if (files.hasTailCopy) await tail.discard();',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: 'the second rewrite of a tail is not synced',
    file: 'flow/tail-copy.ts',
    find: 'tail.offset, tail.length); await segment.file.sync();',
    replace: 'tail.offset, tail.length);',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: "the removal of the tail's copy is not synced",
    file: 'flow/tail-copy.ts',
    find: 'await this.#fileManager.remove(this.#path); await this.#fileManager.syncDirectory(this.#directory);',
    replace: 'await this.#fileManager.remove(this.#path);',
    caughtBy: { kind: 'random' },
  },
  {
    name: 'any copy of a tail is put back, whole or not',
    file: 'flow/tail-copy.ts',
    find: 'return crc === stored.readUInt32LE(0) ? tail : undefined;',
    replace: 'void crc; return tail;',
    caughtBy: crashes('reopening after power losses'),
  },
  {
    name: "the last segment's entries are shown before they are made durable",
    file: 'flow/recovery.ts',
    find: 'if (scanner.durableUpTo < end) await tail.rewrite(',
    replace: 'if (!this.shown) { this.shown = true; await this.#target.shouldRecover(segment); if (last > 0) await this.#deliver(await this.#scan(segment, lastId, end)); this.#target = { recover() {}, async shouldRecover() { return true; } }; } if (scanner.durableUpTo < end) await tail.rewrite(',
    caughtBy: { kind: 'random' },
  },
  {
    name: 'a link behind the last entry is torn although something vouches for it',
    file: 'flow/recovery.ts',
    find: 'if (proven > end) ({ end, chain } = scanner);',
    replace: '',
    caughtBy: { kind: 'random' },
  },
  {
    name: 'the link of a new segment does not carry the highest id',
    file: 'flow/active-segment.ts',
    find: 'lastId: this.nextId - 1,',
    replace: 'lastId: 0,',
    caughtBy: crashes('everything checkpointed, reopened again and again'),
  },
  {
    name: 'the link of an opening does not carry the highest id',
    file: 'flow/opening.ts',
    find: 'lastId: log.lastId,',
    replace: 'lastId: 0,',
    caughtBy: crashes('everything checkpointed, reopened again and again'),
  },
  {
    name: 'the link of a shutdown does not carry the highest id',
    file: 'flow/log-writer.ts',
    find: 'lastId: this.#active.nextId - 1,',
    replace: 'lastId: 0,',
    caughtBy: crashes('everything checkpointed, reopened again and again'),
  },
  {
    name: 'recovery takes the last entry for the highest id, whatever the links say',
    file: 'flow/recovery.ts',
    find: 'return { end, chain, lastId: scanner.lastId, tornBytes: scanner.tornBytes };',
    replace: 'return { end, chain, lastId: Math.max(last, lastId), tornBytes: scanner.tornBytes };',
    caughtBy: crashes('everything checkpointed, reopened again and again'),
  },
  {
    name: 'damage is taken for a torn tail',
    file: 'flow/recovery.ts',
    find: 'if (proven > scanner.end) throw damaged(segment, scanner.end, scanner.lastId);',
    replace: '',
    caughtBy: named('failures-elsewhere-recovery', 'x'),
  },
  {
    name: 'a torn tail is taken for damage',
    file: 'flow/recovery.ts',
    find: 'if (proven > scanner.end) throw',
    replace: 'if (proven > scanner.end || scanner.tornBytes > 0) throw',
    caughtBy: crashes('first commit'),
  },
  {
    name: 'the end of a closed segment is not compared with what its successor says',
    file: 'flow/recovery.ts',
    find: 'if (!isWhole) throw damaged(segment, scanner.end, scanner.lastId);',
    replace: '',
    caughtBy: named('failures-elsewhere-recovery', 'x'),
  },
  {
    name: 'a segment that is missing in the middle is not missed',
    file: 'flow/recovery.ts',
    find: 'if (!isOlderLeft && !isEmptied) return;',
    replace: 'return;',
    caughtBy: named('failures-elsewhere-recovery', 'x'),
  },
];

/** What the checkpointer does wrong. */
const CHECKPOINTS: readonly Mutation[] = [
  {
    name: "a segment is handed over before its successor's link is durable",
    file: 'flow/active-segment.ts',
    find: 'durable: () => { events.onSealed(closed.segment); sealing.resolve(); },',
    replace: 'durable: (events.onSealed(closed.segment), sealing.resolve(), () => undefined),',
    caughtBy: crashes('rotation'),
  },
  {
    name: 'the newest segment is checkpointed first',
    file: 'flow/checkpointer.ts',
    find: 'const segment = this.#segments[0];',
    replace: 'const segment = this.#segments.at(-1);',
    caughtBy: crashes('a failing checkpoint'),
  },
  {
    name: 'a checkpoint that failed frees its segment',
    file: 'flow/checkpointer.ts',
    find: 'await this.#events.persist(segment);',
    replace: 'await this.#events.persist(segment).catch(() => undefined);',
    caughtBy: crashes('a failing checkpoint'),
  },
  {
    name: 'a segment is freed while its checkpoint goes on',
    file: 'flow/checkpointer.ts',
    find: 'await this.#events.persist(segment);',
    replace: 'void this.#events.persist(segment).catch(() => undefined);',
    caughtBy: crashes('a checkpoint that never ends'),
  },
  {
    name: 'a checkpoint that failed is not tried again',
    file: 'flow/checkpointer.ts',
    find: 'if (this.#isStopped) return; const pause = deferred();',
    replace: 'if (this.#isStopped) return; this.#segments.shift(); const pause = deferred();',
    caughtBy: crashes('a failing checkpoint'),
  },
  {
    name: 'an abandoned segment that goes on is not checkpointed',
    file: 'api/write-ahead-log.ts',
    find: 'this.#abandoned = new Set(closed.filter((segment) => recovered.abandoned.has(segment)));',
    replace: 'this.#abandoned = recovered.abandoned;',
    caughtBy: { kind: 'random' },
  },
];

/** Every bug that the suite must catch. */
export const MUTATIONS: readonly Mutation[] = [...FILES, ...COMMITS, ...RECOVERY, ...CHECKPOINTS];
