import { assert } from '../../base/assert.js';
import { deferred, type Deferred } from '../../base/async.js';
import type { Environment } from '../../base/environment.js';
import type { WalError } from '../../base/errors.js';
import { TurnBudget } from '../../base/turns.js';
import { LINK_LENGTH } from '../../format/segment-format.js';
import type { ChunkData, CommittedEntry, EntryData, EntryId, OnCommitted } from '../../model/entry.js';
import type { ResolvedOptions } from '../../model/options.js';
import { closedError, type Lifecycle } from '../directory/lifecycle.js';
import type { LogDirectory } from '../directory/log-directory.js';
import type { Flusher } from '../flush/flusher.js';
import { batchLength, BatchAppend, CallingEntryAppend, EntryAppend, type Request } from './append.js';
import { EntryBegin, type WriteSlot } from './entry-begin.js';
import { appendLarge, type LargeItem } from './large-append.js';
import { Line } from './line.js';
import { endOf, writeLink } from './link.js';
import { AT_ONCE_BYTES, OpenEntry, type OpenEntryParts } from './open-entry.js';
import type { Rotation } from './rotation.js';

export interface WriteQueueParts {
  readonly lifecycle: Lifecycle;
  readonly directory: LogDirectory;
  readonly environment: Environment;
  readonly options: ResolvedOptions;
}

/**
 * The one place from which entries are written. How an entry gets to the disk:
 *
 * 1. Everything that wants to write is a request: a whole entry, a batch, the beginning of an entry in pieces, a task
 *    that needs the log to stand still. There is one write slot. A request that finds it free, the line empty and room
 *    left is carried out in the call that brings it; otherwise it waits in line. First come, first served.
 * 2. Room means two things: less than `maxPendingBytes` is on its way to the disk, and the active segment can take the
 *    entry, or its successor is ready. `pump` is called whenever either may have come about.
 * 3. The request encodes itself into the active segment's memory. Its id and its place are final from then on, but
 *    for one thing: whatever is thrown while it is encoded, the encoder is rewound to where the request began, the id
 *    is taken back, and that request alone is refused.
 * 4. An entry in pieces keeps the slot until it is committed or rolled back; parts of it may be flushed before that.
 *    A flush that has part of an entry which is rolled back must land before the slot is free again.
 * 5. The flusher takes everything encoded at the end of the tick, one flush at a time, and calls the waiters of the
 *    entries that are complete in it. The memory is free then, and `pump` lets the next in line write.
 * 6. If the log fails, every request in line is refused, and nothing is written any more.
 */
export class WriteQueue implements WriteSlot {
  readonly #parts: WriteQueueParts & OpenEntryParts;
  readonly #lifecycle: Lifecycle;
  readonly #maxPendingBytes: number;
  readonly #rotation: Rotation;
  readonly #flusher: Flusher;
  readonly #line = new Line<Request>();
  #open: OpenEntry | undefined;
  /** What has the slot instead of an entry. */
  #task: Promise<void> | undefined;
  /** A request is being carried out, which may call back into this. */
  #isWriting = false;
  /** Those in line have had their share of this turn of the event loop. */
  #isResting = false;
  /** Everything is written: a segment that is ready only now is not changed to. */
  #isFinished = false;
  #idle: Deferred<void> | undefined;

  constructor(parts: WriteQueueParts, rotation: Rotation, flusher: Flusher) {
    const freeSlot = (): void => {
      this.#open = undefined;
      this.pump();
    };
    this.#parts = { ...parts, rotation, flusher, freeSlot };
    this.#lifecycle = parts.lifecycle;
    this.#maxPendingBytes = parts.options.maxPendingBytes;
    this.#rotation = rotation;
    this.#flusher = flusher;
    parts.lifecycle.onFailed((error) => this.#stop(error));
  }

  /** How many requests are in line. */
  get waiting(): number {
    return this.#line.size;
  }

  /** Writes an entry in its turn. Calls one of the two when it is as safe as was asked for, or cannot be. */
  append(
    data: EntryData, length: number, isDurable: boolean, onCommitted: OnCommitted<CommittedEntry> | undefined,
    resolve: (entry: CommittedEntry | Promise<CommittedEntry>) => void, reject: (error: unknown) => void,
  ): void {
    if (length <= AT_ONCE_BYTES && length <= this.#maxPendingBytes) {
      this.#submit(onCommitted === undefined
        ? new EntryAppend(data, length, isDurable, resolve, reject)
        : new CallingEntryAppend(data, length, isDurable, onCommitted, resolve, reject));
    } else resolve(this.appendLargeEntry(data, isDurable, onCommitted));
  }

  /** Writes entries, of which all or none will be found after a crash. */
  appendBatch(
    batch: EntryData[], isDurable: boolean, onCommitted: OnCommitted<readonly CommittedEntry[]> | undefined,
  ): Promise<readonly CommittedEntry[]> {
    return new Promise((resolve, reject) => {
      const length = batchLength(batch);
      if (length <= AT_ONCE_BYTES && length <= this.#maxPendingBytes) {
        this.#submit(new BatchAppend(batch, length, isDurable, onCommitted, resolve, reject));
      } else resolve(this.appendLarge(batch, isDurable, onCommitted));
    });
  }

  /** As `appendBatch`, for more than may be pending, or is encoded, at once. `batch` becomes the result. */
  async appendLarge(
    batch: LargeItem[], isDurable: boolean,
    onCommitted: OnCommitted<readonly CommittedEntry[]> | undefined,
  ): Promise<CommittedEntry[]> {
    const entry = await new Promise<OpenEntry>((resolve, reject) => {
      this.begin(true, undefined, (begun) => begun, resolve, reject);
    });
    return appendLarge(entry, batch, isDurable, onCommitted);
  }

  /** As `append`, for more than may be pending, or is encoded, at once. */
  async appendLargeEntry(
    data: ChunkData | readonly ChunkData[], isDurable: boolean, onCommitted: OnCommitted<CommittedEntry> | undefined,
  ): Promise<CommittedEntry> {
    const call = onCommitted && (([entry]: readonly CommittedEntry[]) => onCommitted(entry));
    const [entry] = await this.appendLarge([data], isDurable, call);
    return entry;
  }

  /**
   * Waits for the write slot and takes it. Calls `resolve` with what `make` makes of the entry, or `reject`. See
   * `OpenEntry.isComplete`.
   */
  begin<Made>(
    isComplete: boolean, signal: AbortSignal | undefined, make: (entry: OpenEntry) => Made,
    resolve: (made: Made) => void, reject: (error: unknown) => void,
  ): void {
    const request = new EntryBegin(this, isComplete, make, resolve, reject);
    if (signal !== undefined) request.leaveOn(signal, () => this.#line.remove(request));
    this.#submit(request);
  }

  /** Gives the write slot to an entry, whose turn it is. */
  takeSlot(isComplete: boolean): OpenEntry {
    this.#open = new OpenEntry(this.#parts, isComplete);
    return this.#open;
  }

  /** Closes the active segment if it holds entries. Resolves when it has been handed over. */
  rotate(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#submit({
        length: Infinity,
        isComplete: false,
        writeTo: (rotation) => void rotation.whenSealed().then(resolve, reject),
        refuse: reject,
      });
    });
  }

  /**
   * Passes over the ids below `id`: from its turn on, no entry gets one. Resolves when that is durable. An entry with a
   * higher id says so itself once it is durable, and so one that was appended right after this costs nothing more.
   * Otherwise a link says it, which names the highest id that was given out.
   */
  async skipTo(id: EntryId): Promise<void> {
    const rotation = this.#rotation;
    const { durableId } = this.#flusher;
    const isDurable = (): boolean => durableId.value >= id - 1;
    await new Promise<void>((resolve, refuse) => {
      const writeTo = (): void => {
        rotation.nextId = Math.max(rotation.nextId, id);
        resolve();
      };
      this.#submit({ length: 0, isComplete: false, writeTo, refuse });
    });
    await this.#flusher.sync();
    if (isDurable()) return;
    await this.exclusively(async () => {
      await this.#flusher.sync();
      if (isDurable()) return;
      // It may have been truncated meanwhile.
      rotation.nextId = Math.max(rotation.nextId, id);
      await this.#writeLink();
      durableId.set(rotation.nextId - 1);
    }, LINK_LENGTH);
  }

  /** Runs `task` in its turn, while nothing is written. The active segment has room for `length` bytes then. */
  exclusively(task: () => Promise<void>, length = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#submit({
        length,
        isComplete: false,
        writeTo: () => {
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
    // Whole entries still in line were appended before. After an entry that is open nothing can be waited for.
    if (!this.#isFree || this.waiting === 0) return this.#flusher.sync();
    return new Promise((resolve, reject) => {
      const sync = (): void => void this.#flusher.sync().then(resolve, reject);
      // A missing next segment does not keep this one from being synced.
      this.#submit({ length: 0, isComplete: true, writeTo: sync, refuse: sync });
    });
  }

  /** Starts requests in line while there is room. Call this whenever room may have been freed. */
  readonly pump = (): void => this.#lifecycle.guard(this.#writeNext);

  readonly #writeNext = (): void => {
    if (!this.#isFree || this.#isResting || this.#isFinished || this.#lifecycle.failure !== undefined) return;
    this.#rotation.changeIfFull();
    let turn: TurnBudget | undefined;
    for (let request = this.#line.first; request !== undefined && this.#isFree; request = this.#line.first) {
      if (!this.#hasRoom(request.length)) break;
      this.#write(request, true);
      turn ??= new TurnBudget();
      if (turn.spend(request.length) && this.waiting > 0) return this.#rest(turn);
    }
    this.#finishIfIdle();
  };

  /** Refuses requests in line that need the next segment, which could not be had. */
  successorFailed(error: WalError): void {
    this.#lifecycle.guard(() => this.#refuseThatDoNotFit(error));
  }

  #refuseThatDoNotFit(error: WalError): void {
    for (let request = this.#line.first; request !== undefined && this.#isFree; request = this.#line.first) {
      if (this.#rotation.fits(request.length)) break;
      this.#line.shift();
      request.refuse(error);
    }
    if (this.waiting > 0) this.pump();
    else this.#finishIfIdle();
  }

  /** The log has failed: refuses every request in line. */
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
    if (this.#open?.isComplete === false) await this.#open.discard();
    await this.#task;
    this.#idle = deferred();
    this.pump();
    if (this.#lifecycle.failure === undefined) await this.#idle.promise;
    // A log that fails on its last link has told everyone who waited for it.
    await this.#writeClosingLink().catch(() => undefined);
  }

  async #writeClosingLink(): Promise<void> {
    const { encoder, takesLink } = this.#rotation;
    if (this.#lifecycle.failure !== undefined || encoder.endsWithLink || !takesLink) return;
    // The link says that all before it is durable.
    await this.#flusher.sync();
    await this.#writeLink();
  }

  /** Writes a link after all that has been written, which must be durable. */
  #writeLink(): Promise<void> {
    const { encoder, nextId } = this.#rotation;
    return writeLink(encoder, { ...endOf(encoder), lastId: nextId - 1 }, this.#parts.environment, this.#flusher);
  }

  #submit(request: Request): void {
    const { refusal } = this.#lifecycle;
    if (refusal !== undefined) {
      request.refuse(refusal);
      return;
    }
    try {
      if (!this.#isFree || this.waiting > 0 || !this.#hasRoom(request.length)) {
        this.#line.push(request);
        return;
      }
    } catch (error) {
      this.#failOn(request, error);
      return;
    }
    this.#write(request, false);
    if (this.waiting > 0) this.pump();
  }

  /** Carries out a request, the first in line if it has waited. Whatever is thrown, its caller hears. */
  #write(request: Request, hasWaited: boolean): void {
    try {
      if (hasWaited) this.#line.shift();
      this.#encode(request, hasWaited);
      if (!this.#isFree) return;
      this.#flusher.request();
      this.#rotation.changeIfFull();
    } catch (error) {
      this.#failOn(request, error);
    }
  }

  /** This is the only place where a request is encoded: what it throws affects no other. */
  #encode(request: Request, hasWaited: boolean): void {
    assert(this.#isFree, 'the write slot is free');
    const rotation = this.#rotation;
    const { encoder, nextId } = rotation;
    encoder.save();
    this.#isWriting = true;
    try {
      request.writeTo(rotation, hasWaited);
    } catch (error) {
      this.#open?.revoke();
      this.#open = undefined;
      encoder.rewind();
      rotation.nextId = nextId;
      request.refuse(error);
    } finally {
      this.#isWriting = false;
    }
  }

  /** Something else than `request` itself threw while it was carried out. It is not in line any more. */
  #failOn(request: Request, error: unknown): void {
    this.#lifecycle.fail(error);
    request.refuse(this.#lifecycle.failure ?? error);
  }

  #hasRoom(length: number): boolean {
    const maxPendingBytes = this.#maxPendingBytes;
    const pending = this.#flusher.pendingBytes;
    if (pending > 0 && pending + Math.min(length, maxPendingBytes) > maxPendingBytes) return false;
    return this.#rotation.makeRoom(length);
  }

  /** Continues with those in line in a later turn of the event loop. */
  #rest(turn: TurnBudget): void {
    this.#isResting = true;
    void turn.nextTurn().then(() => {
      this.#isResting = false;
      this.pump();
    });
  }

  #finishIfIdle(): void {
    if (this.#idle === undefined || !this.#isFree || this.waiting > 0 || !this.#flusher.isIdle) return;
    this.#isFinished = true;
    this.#idle.resolve();
  }

  get #isFree(): boolean {
    return this.#open === undefined && this.#task === undefined && !this.#isWriting;
  }
}
