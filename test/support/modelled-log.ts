import type { Environment } from '../../src/base/environment.js';
import { WalError } from '../../src/base/errors.js';
import { WriteAheadLog, type LogManager } from '../../src/api/write-ahead-log.js';
import type { ChunkReader } from '../../src/api/chunk-reader.js';
import type { EntryWriter } from '../../src/api/entry-writer.js';
import type { ChunkRecord, CommitOptions } from '../../src/model/entry.js';
import type { Recovery } from '../../src/engine/checkpoint/log-manager.js';
import type { Entry, SegmentReader } from '../../src/segment/segment-reader.js';
import type { LogPosition } from '../../src/model/log-position.js';
import type { Random } from './random.js';
import { Violation, type KnownChunk, type ReferenceModel, type ShownEntry } from './reference-model.js';
import { HangError, Scheduler } from './scheduler.js';
import type { Settings } from './settings.js';
import { SituationWatch, type Situation } from './situations.js';
import type { SimulatedDisk } from './simulated-disk.js';
import { SimulatedFileManager, type Call, type SimulatedFileManagerOptions } from './simulated-file-manager.js';

export const DIRECTORY = '/log';

/** How `checkpointTo` behaves. */
export type CheckpointBehaviour = 'succeed' | 'throw' | 'reject' | 'hang';

export interface ModelledLogOptions extends Pick<SimulatedFileManagerOptions, 'faultAt' | 'survives' | 'onStep'> {
  readonly expectsErrors?: boolean;
  /** Whether the disk has been damaged: WAL_CORRUPT is what the log then is to say. */
  readonly expectsDamage?: boolean;
  readonly onSituation?: ((situation: Situation) => void) | undefined;
}

/** Whether a chunk is written in pieces, and whether its length is known from the beginning. */
export type Streamed = boolean | 'to an open end';

/** `ok`, or the code of the error an operation was rejected with. */
export type Outcome = 'ok' | WalError['code'];

/**
 * One process with a log on a simulated disk, together with the model of what that log owes. Every
 * operation is noted in the model as it happens, and every answer of the log is checked against it:
 * what it must not do is thrown as a Violation.
 */
export class ModelledLog {
  readonly disk: SimulatedDisk;
  readonly model: ReferenceModel;
  readonly files: SimulatedFileManager;
  readonly scheduler: Scheduler;
  log: WriteAheadLog | undefined;
  checkpoints: CheckpointBehaviour = 'succeed';
  /** A checkpoint that was told to hang does: the log cannot be shut down any more. */
  hasHungCheckpoint = false;
  /** How many of the oldest segments the next opening abandons. */
  segmentsToAbandon = 0;
  readonly #settings: Settings;
  /** Whether the log may reject what it has no reason of its own to reject: while its storage fails. */
  expectsErrors: boolean;
  readonly #expectsDamage: boolean;
  readonly #random: Random;
  readonly #watch: SituationWatch;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #followers: Promise<void>[] = [];
  readonly #readers: { readonly reader: ChunkReader; readonly chunk: KnownChunk }[] = [];
  #reads = 0;
  /** Set once an operation was rejected with WAL_FAILED. */
  #hasFailed = false;
  #isDead = false;
  #violation: Violation | undefined;
  #shown: ShownEntry[] = [];
  #lastRecovered = -1;
  #abandoned: number[] = [];

  constructor(
    disk: SimulatedDisk, model: ReferenceModel, settings: Settings, random: Random, options: ModelledLogOptions = {},
  ) {
    this.disk = disk;
    this.model = model;
    this.scheduler = new Scheduler(random.fork());
    const { durableWrites } = settings;
    this.#watch = new SituationWatch(options.onSituation ?? (() => {}));
    const onStep = (call: Call): void => {
      if (options.onSituation !== undefined) this.#watch.step(call, this.log);
      options.onStep?.(call);
    };
    this.files = new SimulatedFileManager(disk, { scheduler: this.scheduler, durableWrites, ...options, onStep });
    this.#expectsDamage = options.expectsDamage ?? false;
    this.#settings = settings;
    this.expectsErrors = options.expectsErrors ?? false;
    this.#random = random;
    if (disk.hasLostPower) model.powerLost();
  }

  /** Opens the log and checks what it shows. */
  async open(): Promise<Outcome> {
    this.#shown = [];
    this.#lastRecovered = -1;
    this.#abandoned = [];
    const manager: LogManager = {
      shouldRecoverSegment: (segment) => this.#shouldRecover(segment.segmentId),
      recover: (entry) => this.#recover(entry),
      checkpointTo: (lastId, entries) => this.#checkpointTo(lastId, entries),
    };
    const options = { ...this.#settings.options, fileManager: this.files };
    const environment = this.#environment();
    const { beginning } = this.model;
    if (beginning !== undefined) {
      const { nextId, identity } = beginning;
      const creating = WriteAheadLog.createWith(environment, DIRECTORY, manager, { ...options, nextId, identity });
      const outcome = await this.#outcome('create()', creating.then((log) => this.#opened(log)));
      if (outcome !== 'WAL_EXISTS') return outcome;
    }
    const opening = WriteAheadLog.recoverWith(environment, DIRECTORY, manager, options);
    return this.#outcome('recover()', opening.then((log) => this.#opened(log)));
  }

  /** Passes over so many ids. With `entry`, one is appended in the same moment. */
  async skipIds(count: number, entry?: Uint8Array): Promise<Outcome> {
    const before = this.model.attempts.length;
    const id = this.#open().stats().nextId + count;
    const skipping = this.#open().skipTo(id).then(() => this.model.skipped(id, before));
    if (entry !== undefined) this.appendLater([entry]);
    return this.#outcome('skipTo()', skipping);
  }

  async askForIdentity(): Promise<Outcome> {
    return this.#outcome('identity()', this.#open().identity().then((identity) => this.model.identified(identity)));
  }

  /** Appends an entry and waits for it. */
  append(chunks: readonly Uint8Array[], durable?: boolean): Promise<Outcome> {
    return this.#outcome('append()', this.#append(chunks, durable));
  }

  /** Appends an entry without waiting. */
  appendLater(chunks: readonly Uint8Array[], durable?: boolean): void {
    this.#later('append()', this.#append(chunks, durable));
  }

  /** Appends entries of one chunk each as one unit, without waiting. */
  appendBatchLater(entries: readonly Uint8Array[], durable?: boolean): void {
    this.#later('appendBatch()', this.#appendBatch(entries, durable));
  }

  /** Makes everything durable that the operating system has. */
  sync(): Promise<Outcome> {
    const before = this.#committedBefore();
    this.#watch.syncing(this.#open());
    return this.#outcome('sync()', this.#open().sync().then(() => {
      this.model.synced(before);
      this.#watch.hasSynced = true;
    }));
  }

  /** Waits until what was committed is durable without being asked to be: only where the log syncs by itself. */
  async waitUntilDurable(): Promise<Outcome> {
    const last = this.model.attempts.findLast(({ state }) => state === 'ordered');
    if (this.#settings.options.sync !== 'interval' || last?.id === undefined) return 'ok';
    this.#watch.awaitingInterval();
    const waiting = this.#open().waitForDurable(last.id);
    return this.#outcome('waitForDurable()', waiting.then(() => this.model.durableUpTo(this.#open().durableId)));
  }

  /** Drops the last `count` entries of those there are, or all of them. */
  async truncateAfter(count: number): Promise<Outcome> {
    const ids = this.model.liveIds();
    const id = ids.at(-1 - count) ?? Math.max(0, (ids[0] ?? 1) - 1);
    // A log that failed in the middle of a cut takes no other.
    const isOnly = !this.model.isCutting;
    this.#watch.truncating(this.model.attempts.some(({ state }) => state === 'ordered'));
    if (isOnly) this.model.cutting(id);
    const truncating = this.#open().truncateAfter(id).then(() => {
      this.model.cut();
      this.#watch.truncated();
    });
    const outcome = await this.#outcome('truncateAfter()', truncating);
    // Where nobody knows from where the hold is, it may be behind.
    const isHeld = (this.model.heldFrom ?? Infinity) > id + 1;
    if (outcome === 'WAL_HELD' && !isHeld) throw new Violation('truncateAfter() was refused for a hold that wants nothing of it');
    // Only what has failed with the log may turn out to be done.
    if (isOnly && outcome !== 'ok' && outcome !== 'WAL_FAILED') this.model.notCut();
    return outcome;
  }

  /** Gives up all but the last `count` entries of those there are. */
  async truncateBefore(count: number): Promise<Outcome> {
    const id = this.model.liveIds().at(-count) ?? 0;
    if (this.model.heldFrom === undefined || this.model.heldFrom >= id) this.model.released(0, id - 1);
    this.#watch.releasing++;
    const releasing = this.#open().truncateBefore(id).finally(() => this.#watch.releasing--);
    return this.#outcome('truncateBefore()', releasing);
  }

  /** Gives up the first entries while the last are being dropped. */
  async truncateAtBothEnds(entries: readonly Uint8Array[], kept: number, dropped: number): Promise<void> {
    await this.#whileTruncating(entries, dropped, () => this.truncateBefore(kept));
  }

  /** Goes through the entries, of which there are more than one block, while the last are being dropped. */
  async truncateWhileReading(entries: readonly Uint8Array[], dropped: number): Promise<void> {
    await this.#whileTruncating(entries, dropped, async (truncated) => {
      let isOver = false;
      void truncated.finally(() => (isOver = true)).catch(() => undefined);
      let outcome = await this.iterate();
      for (let more = 20; more > 0 && outcome === 'ok' && !isOver; more--) outcome = await this.iterate();
      return outcome;
    });
  }

  /** Does something in the middle of a truncation. Appends the entries before, and lets nothing be checkpointed. */
  async #whileTruncating(
    entries: readonly Uint8Array[], dropped: number, act: (truncated: Promise<Outcome>) => Promise<Outcome>,
  ): Promise<void> {
    const { checkpoints } = this;
    this.checkpoints = 'reject';
    for (const entry of entries) await this.append([entry], true);
    const truncated = this.truncateAfter(dropped);
    await this.scheduler.advance(this.#random.below(20));
    await Promise.all([truncated, act(truncated)]);
    this.checkpoints = checkpoints;
  }

  /** Takes the hold, or takes it up again, and with `forward` moves it on to the middle of what it keeps. */
  async hold(forward: boolean): Promise<Outcome> {
    const known = this.model.heldFrom;
    return this.#outcome('hold()', this.#open().hold('hold').then(async (hold) => {
      // Ids that were skipped or cut off it may pass over.
      const isPassed = (id: number): boolean => id >= (known ?? Infinity) && id < hold.from;
      if (this.model.liveIds().some(isPassed)) throw new Violation(`a hold from ${known} on is from ${hold.from} on`);
      this.model.held(hold.from);
      const ids = this.model.attempts.filter(({ state }) => state === 'kept').map(({ id }) => id ?? 0);
      const next = ids.filter((id) => id > hold.from).sort((a, b) => a - b);
      if (!forward || next.length === 0) return;
      const from = next[next.length >> 1];
      this.model.held(undefined);
      await hold.advance(from);
      this.model.held(from);
    }));
  }

  async releaseHold(): Promise<Outcome> {
    this.model.held(undefined);
    return this.#outcome('release()', this.#open().hold('hold').then((hold) => hold.release()));
  }

  /** Goes through the entries from the hold on, or from the oldest, to the last that is durable. */
  async iterate(): Promise<Outcome> {
    const log = this.#open();
    const from = this.model.heldFrom ?? 0;
    const before = this.model.attempts.length;
    return this.#outcome('entries()', this.#show(this.#watched(log.entries(from === 0 ? {} : { from })), from).then((last) => {
      this.model.iteratedAll(from, last, before);
    }));
  }

  /** The same from the position of an entry in the middle of those that are there. */
  async iterateFromMiddle(): Promise<Outcome> {
    const log = this.#open();
    const known = this.model.knownChunks().filter((chunk) => !this.model.mayBeGone(chunk));
    const middle = known[known.length >> 1];
    const first = known.find(({ ordinal }) => ordinal === middle?.ordinal);
    if (first?.entryId === undefined) return 'ok';
    const { entryId, position } = first;
    const before = this.model.attempts.length;
    return this.#outcome('entries()', this.#show(log.entries({ from: position }), entryId).then((last) => {
      this.model.iteratedAll(entryId, last, before);
    }));
  }

  /** The same from the last that is durable to the hold, or to the oldest. */
  async iterateBackwards(): Promise<Outcome> {
    const log = this.#open();
    const from = this.model.heldFrom ?? 0;
    // It begins with what is durable now. What is acknowledged before it ends may come after that.
    const before = 1 + this.model.attempts.findLastIndex(({ state }) => state === 'kept');
    const shown: { readonly entry: ShownEntry; readonly cuts: number }[] = [];
    const showAll = async (): Promise<void> => {
      for await (const entry of log.entries({ reverse: true })) {
        const { cuts } = this.model;
        if (entry.id < from) break;
        shown.unshift({ entry: await shownEntry(entry), cuts });
      }
      let last = -1;
      for (const { entry, cuts } of shown) last = this.model.iterated(entry, from, last, cuts);
      this.model.iteratedAll(from, last, before);
    };
    return this.#outcome('entries()', showAll());
  }

  /** Follows the log from here on, as long as it is open. */
  follow(): void {
    const entries = this.#open().entries({ from: this.#open().durableId + 1, follow: true });
    const from = this.#open().durableId + 1;
    this.#watch.followers++;
    this.#followers.push(this.#show(entries, from).then(() => {}, (error: unknown) => {
      if (error instanceof Violation) this.#violation ??= error;
    }).finally(() => this.#watch.followers--));
  }

  /** Writes an entry through an EntryWriter. Without `waits`, its commit is left in flight. */
  async entry(
    chunks: readonly Uint8Array[], end: 'commit' | 'rollback', isStreamed: Streamed, waits: boolean, durable?: boolean,
  ): Promise<Outcome> {
    const ordinal = this.model.begin();
    const { flushes } = this.#open().stats();
    let committing: Promise<void> | undefined;
    const outcome = await this.#outcome('an entry', this.#write(ordinal, chunks, isStreamed, async (writer) => {
      if (end === 'commit') {
        committing = this.#commit(ordinal, writer, durable);
      } else {
        this.model.rolledBack(ordinal, this.#open().stats().flushes > flushes);
        await writer.rollback();
      }
    }));
    if (committing === undefined) return outcome;
    if (waits) return this.#outcome('commit()', committing);
    this.#later('commit()', committing);
    return outcome;
  }

  /** Finishes a chunk before all its bytes are there: that must fail, and so must committing its entry. */
  async shortChunk(length: number): Promise<Outcome> {
    const ordinal = this.model.begin();
    return this.#outcome('a short chunk', this.#write(ordinal, [], false, async (writer) => {
      const chunk = await writer.beginChunk(length + 1);
      await chunk.write(new Uint8Array(length));
      await expectRangeError(chunk.finish(), 'finish() of a short chunk');
      this.model.rolledBack(ordinal);
      await writer.rollback();
    }));
  }

  async checkpointActive(): Promise<Outcome> {
    return this.#outcome('checkpointActive()', this.#open().checkpointActive());
  }

  /**
   * Reads back every chunk whose position is known, in all the ways there are by turns, or, with `limit`, so many of
   * them by chance. And, at once, those that may not be durable yet: what is shown must stay.
   */
  async readBack(limit = Infinity): Promise<void> {
    for (const chunk of this.model.pendingChunks()) this.#readPending(chunk);
    let chunks = this.model.knownChunks();
    if (chunks.length > limit) chunks = Array.from({ length: limit }, () => this.#random.pick(chunks));
    for (const chunk of chunks) {
      const [what, read] = WAYS_TO_READ[this.#reads++ % WAYS_TO_READ.length];
      const outcome = await this.#outcome(what, this.#read(chunk, read));
      this.#expectReadable(chunk, outcome);
    }
    if (chunks.length > 1) await this.#readTogether(chunks);
  }

  /** Opens a reader of the oldest chunk and keeps it open. */
  async holdReader(): Promise<void> {
    const [chunk] = this.model.knownChunks().filter((known) => !this.model.mayBeGone(known));
    if (chunk === undefined) return;
    const opening = this.#open().readAt(chunk.position);
    await this.#outcome('readAt()', opening.then((reader) => this.#readers.push({ reader, chunk })));
  }

  /** Reads what the readers held were opened for, which must have stayed as it was, and closes them. */
  async releaseReaders(): Promise<void> {
    for (const { reader, chunk } of this.#readers.splice(0)) {
      const outcome = await this.#outcome('readAll()', reader.readAll().then((bytes) => expectBytes(bytes, chunk)));
      const mayFail = this.log === undefined || this.expectsErrors;
      if (outcome !== 'ok' && !mayFail) throw new Violation(`a reader held at ${at(chunk)} was cut off: ${outcome}`);
      await this.#outcome('close()', reader.close());
    }
  }

  /** Waits for every commit in flight, and until the log has nothing more to do by itself. */
  async settle(): Promise<void> {
    await Promise.all(this.#inFlight);
    await this.scheduler.idle();
    if (this.log !== undefined) this.model.durableUpTo(this.log.durableId);
    this.check();
  }

  /** Shuts the log down. What is in flight settles too. */
  async shutdown(): Promise<Outcome> {
    const { log } = this;
    if (log === undefined) return 'ok';
    const before = this.model.attempts.length;
    const outcome = await this.#outcome('shutdown()', log.shutdown());
    if (outcome === 'ok' && !this.#hasFailed) this.model.synced(before);
    this.log = undefined;
    await this.#outcome('following', Promise.all(this.#followers.splice(0)));
    await this.settle();
    if (this.files.openFiles.size > 0 && this.#readers.length === 0) {
      throw new Violation(`after shutdown() these files are still open: ${[...this.files.openFiles].join(', ')}`);
    }
    return outcome;
  }

  /** The process ends here and now. Nothing settles any more. */
  kill(): void {
    this.#isDead = true;
    this.files.kill();
    this.scheduler.end();
    this.log = undefined;
    this.#inFlight.clear();
    this.model.processEnded();
  }

  /** Throws what was found wrong where nobody was waiting. */
  check(): void {
    if (this.#violation !== undefined) throw this.#violation;
    const [breach] = this.files.breaches;
    if (breach !== undefined) throw new Violation(`the contract of FileManager was broken: ${breach}`);
  }

  /**
   * The attempts below this ordinal are committed, or in line as a whole. One that may not be pending at once is written
   * like an entry that is open: nothing can be waited for that comes after it.
   */
  #committedBefore(): number {
    const { attempts } = this.model;
    const sizes = new Map<number, number>();
    for (const { batch, state, chunks } of attempts) {
      if (state !== 'committing') continue;
      const size = chunks.reduce((sum, { length }) => sum + length + 64, 64);
      sizes.set(batch, (sizes.get(batch) ?? 0) + size);
    }
    const limit = this.#settings.options.maxPendingBytes ?? Infinity;
    return [...sizes].find(([, size]) => size > limit)?.[0] ?? attempts.length;
  }

  #open(): WriteAheadLog {
    if (this.log === undefined) throw new Error('the log is not open');
    return this.log;
  }

  #environment(): Environment {
    const random = this.#random.fork();
    return {
      randomFill: (target) => target.set(random.bytes(target.length)),
      callAfter: (milliseconds, callback) => this.scheduler.setTimer(callback, milliseconds),
      now: () => this.scheduler.now,
    };
  }

  async #append(chunks: readonly Uint8Array[], durable?: boolean): Promise<void> {
    const ordinal = this.model.begin();
    for (const chunk of chunks) this.model.wrote(ordinal, chunk);
    this.model.committing(ordinal);
    const isDoomed = this.#hasFailed;
    await this.#committed([ordinal], isDoomed, durable, async () => {
      const data = chunks.length === 1 ? (chunks[0]) : chunks;
      const { id, chunks: records } = await this.#open().append(data, optionsOf(durable));
      return [{ id, positions: records.map(({ position }) => position) }];
    });
  }

  async #appendBatch(entries: readonly Uint8Array[], durable?: boolean): Promise<void> {
    const first = this.model.attempts.length;
    const ordinals = entries.map(() => this.model.begin(first));
    for (const [i, ordinal] of ordinals.entries()) this.model.wrote(ordinal, entries[i]);
    for (const ordinal of ordinals) this.model.committing(ordinal);
    await this.#committed(ordinals, this.#hasFailed, durable, async () => {
      const committed = await this.#open().appendBatch(entries, optionsOf(durable));
      return committed.map(({ id, chunks }) => ({ id, positions: chunks.map(({ position }) => position) }));
    });
  }

  async #write(
    ordinal: number, chunks: readonly Uint8Array[], isStreamed: Streamed, end: (writer: EntryWriter) => Promise<void>,
  ): Promise<void> {
    let writer: EntryWriter | undefined;
    try {
      writer = await this.#open().beginEntry();
      this.model.started(ordinal, writer.id);
      for (const chunk of chunks) {
        const record = isStreamed ? await this.#stream(writer, chunk, isStreamed === true) : await writer.writeChunk(chunk);
        this.model.wrote(ordinal, chunk, record.position);
      }
      await end(writer);
    } catch (error) {
      // Its writer has told the log nothing about the end of the entry, so the log may not make one up.
      if (this.model.attempts[ordinal]?.state === 'begun') this.model.rolledBack(ordinal);
      if (this.model.attempts[ordinal]?.state === 'gone') await writer?.rollback();
      throw error;
    }
  }

  async #stream(writer: EntryWriter, bytes: Uint8Array, isLengthKnown: boolean): Promise<ChunkRecord> {
    const chunk = await writer.beginChunk(isLengthKnown ? bytes.length : undefined);
    const pieceBytes = 1 + this.#random.below(Math.max(1, bytes.length));
    for (let from = 0; from < bytes.length; from += pieceBytes) {
      await chunk.write(bytes.subarray(from, from + pieceBytes));
    }
    return chunk.finish();
  }

  #commit(ordinal: number, writer: EntryWriter, durable?: boolean): Promise<void> {
    this.model.committing(ordinal);
    return this.#committed([ordinal], this.#hasFailed, durable, async () => [{ id: await writer.commit(optionsOf(durable)) }]);
  }

  /** Notes how a commit ends. `isDoomed` if the log had failed before, so that it may acknowledge nothing. */
  async #committed(
    ordinals: readonly number[], isDoomed: boolean, durable: boolean | undefined, commit: () => Promise<readonly Committed[]>,
  ): Promise<void> {
    let committed;
    try {
      committed = await commit();
    } catch (error) {
      const code = error instanceof WalError ? error.code : String(error);
      for (const ordinal of ordinals) this.model.rejected(ordinal, code, code !== 'WAL_FAILED');
      throw error;
    }
    if (isDoomed) throw new Violation(`entry ${committed[0].id} was acknowledged by a log that had failed`);
    const isDurable = durable ?? (this.#settings.options.sync ?? 'commit') === 'commit';
    // An answer that comes when the process has ended says nothing of what a loss of power has left.
    if (this.#isDead && !isDurable) return;
    if (isDurable) this.#watch.hasSynced = true;
    for (const [i, { id, positions }] of committed.entries()) this.model.acknowledged(ordinals[i], id, positions, isDurable);
  }

  /** The same entries; the watch knows of each for which the iteration waits. */
  async *#watched(entries: AsyncIterableIterator<Entry>): AsyncGenerator<Entry, void, void> {
    try {
      for (;;) {
        this.#watch.reading++;
        const result = await entries.next().finally(() => this.#watch.reading--);
        if (result.done === true) return;
        yield result.value;
      }
    } finally {
      await entries.return?.();
    }
  }

  /** Notes what an iterator shows, until it ends. Resolves with the last attempt shown, -1 if there was none. */
  async #show(entries: AsyncIterable<Entry>, from: number): Promise<number> {
    let last = -1;
    for await (const entry of entries) {
      const { cuts } = this.model;
      last = this.model.iterated(await shownEntry(entry), from, last, cuts);
    }
    return last;
  }

  async #read(chunk: KnownChunk, read: ReadWhole): Promise<void> {
    expectBytes(await read(this.#open(), chunk.position), chunk);
  }

  /** Reads them at once, the last first. */
  async #readTogether(chunks: readonly KnownChunk[]): Promise<void> {
    const wanted = [...chunks].reverse();
    const reading = this.#open().readMany(wanted.map(({ position }) => position));
    const outcome = await this.#outcome('readMany()', reading.then((found) => {
      for (const [i, chunk] of wanted.entries()) expectBytes(found[i], chunk);
    }));
    this.#expectReadable(wanted.find((chunk) => this.model.mayBeGone(chunk)) ?? wanted[0], outcome);
  }

  #readPending(chunk: KnownChunk): void {
    try {
      expectBytes(this.#open().readSync(chunk.position), chunk);
    } catch (error) {
      const isExpected = error instanceof WalError && (this.expectsErrors || NOT_SHOWN.has(error.code));
      if (!isExpected || error.code === 'WAL_CORRUPT') throw error;
      return;
    }
    this.model.shown(chunk, 'a read had shown it');
  }

  #expectReadable(chunk: KnownChunk, outcome: Outcome): void {
    if (outcome === 'ok') return;
    // The checkpoint may have come while the read was on its way.
    if (outcome === 'WAL_POSITION_GONE' && this.model.mayBeGone(chunk)) return;
    if (outcome !== 'WAL_POSITION_GONE' && this.expectsErrors) return;
    throw new Violation(`a chunk of entry ${chunk.entryId} at ${at(chunk)} cannot be read: ${outcome}`);
  }

  /** Waits for `promise`, and turns what the log must not do into a Violation. */
  async #outcome(what: string, promise: Promise<unknown>): Promise<Outcome> {
    try {
      await this.scheduler.settled(promise, what);
      this.check();
      return 'ok';
    } catch (error) {
      if (error instanceof Violation) throw error;
      if (error instanceof HangError) throw new Violation(error.message);
      if (!(error instanceof WalError)) throw new Violation(`${what} failed with ${showError(error)}`);
      if (error.code === 'WAL_FAILED') this.#hasFailed = true;
      this.check();
      const isExpected = this.expectsErrors || EXPECTED.has(error.code);
      if (this.#expectsDamage && error.code === 'WAL_CORRUPT') return error.code;
      if (!isExpected || error.code === 'WAL_CORRUPT') throw new Violation(`${what} was rejected: ${showError(error)}`);
      return error.code;
    }
  }

  /** Lets `promise` settle on its own; `settle` waits for it. */
  #later(what: string, promise: Promise<void>): void {
    const noted = this.#outcome(what, promise).then(
      () => {},
      (error: unknown) => void (this.#violation ??= error as Violation),
    );
    this.#inFlight.add(noted);
    void noted.then(() => this.#inFlight.delete(noted));
  }

  #opened(log: WriteAheadLog): void {
    this.log = log;
    this.#hasFailed = false;
    log.on('checkpointFailed', () => {});
    log.on('failed', () => (this.#hasFailed = true));
    this.model.opened(this.#shown, this.#abandoned.length > 0);
  }

  #shouldRecover(segmentId: number): Recovery {
    const isWanted = this.#abandoned.length >= this.segmentsToAbandon;
    if (isWanted) return 'recover';
    this.#abandoned.push(segmentId);
    this.model.abandoning();
    return 'abandon';
  }

  async #recover(entry: Entry): Promise<void> {
    if (this.#abandoned.length > 0 && this.#shown.length === 0) this.model.demanded(entry.id);
    const shown = await shownEntry(entry);
    this.#shown.push(shown);
    try {
      this.#lastRecovered = this.model.recovered(shown, this.#lastRecovered);
    } catch (error) {
      // Thrown from here, the log would take it for a failure of its LogManager.
      this.#violation ??= error as Violation;
    }
  }

  async #checkpointTo(lastId: number, entries: SegmentReader): Promise<void> {
    const shown: ShownEntry[] = [];
    for await (const entry of entries) shown.push(await shownEntry(entry));
    try {
      this.model.checkpointing(lastId, shown);
    } catch (error) {
      this.#violation ??= error as Violation;
    }
    if (this.checkpoints === 'hang') {
      this.hasHungCheckpoint = true;
      await new Promise(() => {});
    }
    if (this.checkpoints !== 'succeed') throw new Error('this checkpoint was told to fail');
    this.model.released(shown[0]?.id ?? lastId, lastId);
  }
}

type ReadWhole = (log: WriteAheadLog, position: LogPosition) => Promise<Uint8Array>;

const WAYS_TO_READ: readonly (readonly [string, ReadWhole])[] = [
  ['readAt()', async (log, position) => {
    const reader = await log.readAt(position);
    try {
      return await reader.readAll();
    } finally {
      await reader.close();
    }
  }],
  ['readSync()', async (log, position) => log.readSync(position)],
  ['read()', (log, position) => log.read(position)],
];

/** Why a chunk is not shown that may not be durable. */
const NOT_SHOWN: ReadonlySet<string> = new Set(['WAL_NOT_DURABLE', 'WAL_POSITION_GONE', 'WAL_CLOSED', 'WAL_FAILED']);

interface Committed {
  readonly id: number;
  readonly positions?: readonly LogPosition[];
}

/** What a log may answer although nothing is wrong with it. */
const EXPECTED: ReadonlySet<string> = new Set([
  'WAL_CLOSED', 'WAL_POSITION_GONE', 'WAL_HELD', 'WAL_OUT_OF_RANGE', 'WAL_EXISTS',
]);

function optionsOf(durable: boolean | undefined): CommitOptions | undefined {
  return durable === undefined ? undefined : { durable };
}

async function shownEntry(entry: Entry): Promise<ShownEntry> {
  const chunks: Uint8Array[] = [];
  const positions: LogPosition[] = [];
  for await (const chunk of entry) {
    chunks.push(await chunk.readAll());
    positions.push(chunk.position);
  }
  return { id: entry.id, chunks, positions, endsBatch: entry.endsBatch };
}

function expectBytes(bytes: Uint8Array, chunk: KnownChunk): void {
  if (Buffer.compare(bytes, chunk.bytes) === 0) return;
  throw new Violation(`a chunk of entry ${chunk.entryId} at ${at(chunk)} was not read back as it was written`);
}

function at({ position }: KnownChunk): string {
  return `offset ${position.offset} of segment ${position.segmentId}`;
}

async function expectRangeError(promise: Promise<unknown>, what: string): Promise<void> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof RangeError || error instanceof WalError) return;
    throw error;
  }
  throw new Violation(`${what} succeeded`);
}

function showError(error: unknown): string {
  if (error instanceof WalError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
