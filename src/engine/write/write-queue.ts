import { offAbort, onAbort } from '../../base/abort.js';
import { assert } from '../../base/assert.js';
import { deferred, type Deferred } from '../../base/async.js';
import type { Environment } from '../../base/environment.js';
import { WalError } from '../../base/errors.js';
import { closedError, type Lifecycle } from '../directory/lifecycle.js';
import type { LogDirectory } from '../directory/log-directory.js';
import type { CommittedEntry, EntryData, EntryId } from '../../model/entry.js';
import type { ResolvedOptions, SyncMode } from '../../model/options.js';
import { entryLength } from '../../format/segment-format.js';
import type { CommitWaiter, Savepoint, SegmentEncoder } from '../../segment/segment-encoder.js';
import { drawNonce, type Rotation } from './rotation.js';
import { BatchAppend, EntryAppend, type AppendTarget, type Request } from './append.js';
import { Line } from './line.js';
import type { Flusher } from '../flush/flusher.js';

/** The entry that has the writer's place. */
export interface OpenEntry {
  /** Of the entry that is being written; in a batch the one before it is complete. */
  id: EntryId;
  readonly savepoint: Savepoint;
  /** Whether it is written to its end although the log is being shut down: it needs nothing more from its caller. */
  readonly isComplete: boolean;
  /** Settles when the entry has been rolled back, once that has begun. */
  rollback?: Promise<void>;
  /** Called when the entry is rolled back or the log has failed, for a writer that waits for something else. */
  onEnded?: () => void;
}

export interface WriteQueueParts {
  readonly lifecycle: Lifecycle;
  readonly directory: LogDirectory;
  readonly environment: Environment;
  readonly options: ResolvedOptions;
}

const EMPTY_ENTRY_LENGTH = entryLength(0, 0);

/**
 * The one place from which entries are written. Whoever wants to write queues here; an entry keeps the
 * place until it is committed or rolled back, and then the next in line has it.
 */
export class WriteQueue implements AppendTarget {
  readonly #lifecycle: Lifecycle;
  readonly #active: Rotation;
  readonly #queue: Flusher;
  readonly #maxPendingBytes: number;
  readonly #pieceBytes: number;
  readonly syncMode: SyncMode;
  readonly directory: string;
  readonly #environment: Environment;
  readonly #line = new Line<Request>();
  #open: OpenEntry | undefined;
  /** What has the place instead of an entry. */
  #task: Promise<void> | undefined;
  /** Everything is written: a segment that is ready only now is not changed to. */
  #isFinished = false;
  #idle: Deferred<void> | undefined;

  constructor({ lifecycle, directory, environment, options }: WriteQueueParts, active: Rotation, queue: Flusher) {
    this.#lifecycle = lifecycle;
    lifecycle.onFailed((error) => this.#stop(error));
    const { maxPendingBytes, bufferBytes, sync } = options;
    this.directory = directory.path;
    this.#environment = environment;
    this.syncMode = sync;
    this.#active = active;
    this.#queue = queue;
    this.#maxPendingBytes = maxPendingBytes;
    this.#pieceBytes = bufferBytes;
  }

  get buffer(): SegmentEncoder {
    return this.#active.buffer;
  }

  get queue(): Flusher {
    return this.#queue;
  }

  get maxPendingBytes(): number {
    return this.#maxPendingBytes;
  }

  /** How much of a chunk is written at once, and from how much on memory is freed by writing an open entry out. */
  get pieceBytes(): number {
    return this.#pieceBytes;
  }

  get waiting(): number {
    return this.#line.size;
  }

  /** Why nothing more can be written, once the log has failed. */
  get failure(): WalError | undefined {
    return this.#lifecycle.failure;
  }

  /** Why nothing new can be written, if so. */
  get refusal(): WalError | undefined {
    return this.#lifecycle.refusal;
  }

  /** Writes an entry in its turn. Calls one of the two when it is as safe as was asked for, or cannot be. */
  append(
    data: EntryData, length: number, isDurable: boolean,
    resolve: (entry: CommittedEntry) => void, reject: (error: WalError) => void,
  ): void {
    this.#submit(new EntryAppend(this, data, length, isDurable, resolve, reject));
  }

  /** Writes entries, of which all or none will be found after a crash. */
  appendBatch(
    data: readonly EntryData[], length: number, isDurable: boolean,
    resolve: (entries: readonly CommittedEntry[]) => void, reject: (error: WalError) => void,
  ): void {
    this.#submit(new BatchAppend(this, data, length, isDurable, resolve, reject));
  }

  /** Waits for the writer's place and takes it. See `OpenEntry.isComplete`. */
  begin(signal: AbortSignal | undefined, isComplete: boolean): Promise<OpenEntry> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const abort = () => {
        this.#line.remove(request);
        reject(signal?.reason as Error);
      };
      const request: Request = {
        length: EMPTY_ENTRY_LENGTH,
        isComplete,
        start: () => {
          offAbort(signal, abort);
          const id = this.#active.nextId++;
          this.#open = { id, savepoint: this.buffer.savepoint(), isComplete };
          this.buffer.beginEntry(id);
          resolve(this.#open);
        },
        refuse: (error) => {
          offAbort(signal, abort);
          reject(error);
        },
      };
      onAbort(signal, abort);
      this.#submit(request);
    });
  }

  /** Closes the active segment if it holds entries. Resolves when it has been handed over. */
  rotate(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#submit({
        length: Infinity,
        isComplete: false,
        start: () => {
          this.#active.whenSealed().then(resolve, reject);
        },
        refuse: reject,
      });
    });
  }

  isOpen(entry: OpenEntry): boolean {
    return this.#open === entry;
  }

  /** Completes the open entry and passes the place on. `waiter` hears when it is durable. */
  commit(entry: OpenEntry, waiter: CommitWaiter, isDurable: boolean): void {
    assert(this.#open === entry, 'only the open entry is committed');
    this.buffer.endEntry(entry.id, waiter, isDurable);
    this.#queue.request();
    this.#release();
  }

  /** Completes the open entry as one of a batch, and begins the next in the same place. */
  join(entry: OpenEntry): void {
    assert(this.#open === entry, 'only the open entry is continued');
    entry.id = this.#active.nextId++;
    this.buffer.joinEntry(entry.id);
  }

  /** Runs `task` in its turn, while nobody writes. */
  exclusively(task: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#submit({
        length: 0,
        isComplete: false,
        start: () => {
          this.#task = task().then(resolve, reject).finally(() => {
            this.#task = undefined;
            this.pump();
          });
        },
        refuse: reject,
      });
    });
  }

  /** Makes everything that was committed before the call durable. */
  sync(): Promise<void> {
    // Whole entries still in line were appended before. Behind an entry that is open nothing can be waited for.
    if (!this.#isFree || this.waiting === 0) return this.#queue.sync();
    return new Promise((resolve, reject) => {
      const sync = (): void => void this.#queue.sync().then(resolve, reject);
      // That there is no next segment keeps nobody from syncing this one.
      this.#submit({ length: 0, isComplete: true, start: sync, refuse: sync });
    });
  }

  /** Forgets the open entry. Resolves when the place is free again; a failed log has nothing to forget. */
  rollback(entry: OpenEntry): Promise<void> {
    assert(this.#open === entry, 'only the open entry is rolled back');
    entry.rollback ??= this.#rollback(entry);
    entry.onEnded?.();
    return entry.rollback;
  }

  async #rollback(entry: OpenEntry): Promise<void> {
    const { buffer } = this;
    const { savepoint } = entry;
    if (buffer.hasTakenSince(savepoint)) {
      try {
        // What is in flight may be part of the entry. Were the place given away now, the next entry's
        // bytes could reach the disk first and be overwritten by these.
        await this.#queue.flightSettled();
      } catch {
        this.#open = undefined;
        return;
      }
    }
    // A failure or another caller's flush may have come meanwhile, but nobody else could write: the place is still
    // taken.
    buffer.rewind(savepoint);
    const gone = new WalError('WAL_POSITION_GONE', `entry ${entry.id} was rolled back`, {
      segmentId: buffer.segment.segmentId,
      offset: savepoint.offset,
    });
    this.#queue.forget(buffer.segment, savepoint.offset, gone);
    this.#release();
  }

  /** Encodes whole entries. Only for a request whose turn it is. */
  write(append: EntryAppend | BatchAppend): void {
    append.encode(this.buffer, this.#active);
    this.#queue.request();
    this.#active.changeIfFull();
  }

  /** Gives the place to those in line as far as there is room. To be called whenever room may have come. */
  readonly pump = (): void => {
    if (!this.#isFree || this.#lifecycle.failure !== undefined || this.#isFinished) return;
    this.#active.changeIfFull();
    for (let request = this.#line.first; request !== undefined && this.#isFree; request = this.#line.first) {
      if (!this.#hasRoom(request.length)) break;
      this.#line.shift();
      request.start();
    }
    this.#finishIfIdle();
  };

  /** Turns away those in line who cannot go on without the next segment, which could not be had. */
  successorFailed(error: WalError): void {
    for (let request = this.#line.first; request !== undefined && this.#isFree; request = this.#line.first) {
      if (this.#active.fits(request.length)) break;
      this.#line.shift();
      request.refuse(error);
    }
    if (this.waiting > 0) this.pump();
    else this.#finishIfIdle();
  }

  /** The log has failed: refuses every request in the queue. */
  #stop(error: WalError): void {
    for (const request of this.#line.clear()) request.refuse(error);
    this.#open?.onEnded?.();
    this.#idle?.resolve();
  }

  /**
   * Takes no more requests, rolls back the open entry, writes the whole entries still in line, and ends
   * with a link, so that the next opening finds everything proven durable. Resolves when that is done
   * or the log has failed.
   */
  async close(): Promise<void> {
    assert(this.#lifecycle.refusal !== undefined, 'no request is added while the queue is emptied');
    const closed = closedError();
    for (const request of this.#line.clear()) {
      if (request.isComplete) this.#line.push(request);
      else request.refuse(closed);
    }
    if (this.#open?.isComplete === false) await this.rollback(this.#open);
    await this.#task;
    this.#idle = deferred();
    this.pump();
    if (this.#lifecycle.failure === undefined) await this.#idle.promise;
    // A log that fails on its last link has told everyone who waited, and there is nobody else to tell.
    await this.#writeClosingLink().catch(() => undefined);
  }

  async #writeClosingLink(): Promise<void> {
    const { buffer } = this;
    if (this.#lifecycle.failure !== undefined || buffer.endsWithLink) return;
    // The link says that all before it is durable.
    await this.#queue.sync();
    const link = {
      previousSegmentId: buffer.segment.segmentId,
      previousEnd: buffer.offset,
      previousChain: buffer.chain,
      lastId: this.#active.nextId - 1,
    };
    await new Promise<void>((resolve, reject) => {
      buffer.writeLink(link, drawNonce(this.#environment), { committed: resolve, failed: reject });
      this.#queue.request();
    });
  }

  #submit(request: Request): void {
    const { refusal } = this;
    if (refusal !== undefined) request.refuse(refusal);
    else if (this.#isFree && this.waiting === 0 && this.#hasRoom(request.length)) request.start();
    else this.#line.push(request);
  }

  #hasRoom(length: number): boolean {
    const pending = this.#queue.pendingBytes;
    if (pending > 0 && pending + Math.min(length, this.#maxPendingBytes) > this.#maxPendingBytes) return false;
    return this.#active.makeRoom(length);
  }

  #finishIfIdle(): void {
    if (this.#idle === undefined || !this.#isFree || this.waiting > 0 || !this.#queue.isIdle) return;
    this.#isFinished = true;
    this.#idle.resolve();
  }

  get #isFree(): boolean {
    return this.#open === undefined && this.#task === undefined;
  }

  #release(): void {
    this.#open = undefined;
    this.pump();
  }
}
