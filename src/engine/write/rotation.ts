import { assert } from '../../base/assert.js';
import { deferred, ignoreRejection, type Deferred } from '../../base/async.js';
import type { Environment } from '../../base/environment.js';
import { toWalError, WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import type { ResolvedOptions } from '../../model/options.js';
import { MARK_LENGTH, MAX_ENTRY_ID, type Link } from '../../format/segment-format.js';
import type { BlockPool } from '../../segment/block-pool.js';
import type { Segment } from '../../segment/segment.js';
import type { CommitWaiter } from '../../segment/commits.js';
import { SegmentEncoder } from '../../segment/segment-encoder.js';
import type { Flusher } from '../flush/flusher.js';
import type { SpareFiles } from '../directory/spare-files.js';
import { drawNonce, endOf, type LogEnd } from './link.js';

export interface RotationEvents {
  /** The segment is full, durable to its end, and followed by a successor whose link is durable. */
  onSealed(segment: Segment): void;
  /** Entries go to this segment from now on. */
  onChanged(segment: Segment): void;
  /** The next segment is ready, or could not be had. */
  onSuccessor(error: WalError | undefined): void;
}

export interface RotationParts {
  readonly queue: Flusher;
  readonly pool: SpareFiles;
  readonly blocks: BlockPool;
  readonly options: ResolvedOptions;
  readonly environment: Environment;
  readonly events: RotationEvents;
}

/** The beginning of a segment: with this in hand nothing keeps the log from continuing there. */
interface Start {
  readonly encoder: SegmentEncoder;
  readonly nonce: number;
}

/**
 * The segment that entries are written to, and its change for the next one. The successor is prepared
 * in the background from the moment the segment holds `checkpointAfterBytes`; until it is ready entries
 * go into the space that is left, so a commit waits only if that runs out.
 */
export class Rotation {
  #encoder: SegmentEncoder;
  /** The id of the next entry. */
  nextId: EntryId;
  readonly #parts: RotationParts;
  #preparing = false;
  #preparation: Promise<void> | undefined;
  /** The last attempt to prepare a successor failed: the next is made when an entry needs it, not before. */
  #hasFailed = false;
  #successor: Segment | undefined;
  /** Settles when the segment closed last has been handed over. */
  #sealing: Deferred<void> | undefined;

  constructor(parts: RotationParts, encoder: SegmentEncoder, nextId: EntryId) {
    this.#parts = parts;
    this.#encoder = encoder;
    this.nextId = nextId;
    parts.queue.add(encoder);
    parts.pool.replenish();
  }

  /** Of the active segment. */
  get encoder(): SegmentEncoder {
    return this.#encoder;
  }

  get segment(): Segment {
    return this.#encoder.segment;
  }

  /** Takes the next id. Throws `WAL_OUT_OF_RANGE` when none is left: one above could not be told from the next. */
  takeId(): EntryId {
    if (this.nextId > MAX_ENTRY_ID) {
      throw new WalError('WAL_OUT_OF_RANGE', `the log has given out its last entry id, ${MAX_ENTRY_ID}`);
    }
    return this.nextId++;
  }

  /**
   * Whether the segment holds no entry. Such a segment is never closed: its successor could not have a name of its
   * own.
   */
  get isEmpty(): boolean {
    return this.segment.isEmpty;
  }

  /**
   * Whether an entry of `length` bytes can begin now. Changes to the successor if that is ready. An entry
   * that no segment can hold goes into an empty one, which then grows.
   */
  makeRoom(length: number): boolean {
    if (this.isEmpty) return true;
    if (this.#successor !== undefined) {
      const failure = this.#change(this.#successor);
      if (failure === undefined || this.fits(length)) return true;
      queueMicrotask(() => this.#parts.events.onSuccessor(failure));
      return false;
    }
    if (this.fits(length)) return true;
    this.#prepareSuccessor();
    return false;
  }

  /** Whether an entry of `length` bytes can begin without the next segment. */
  fits(length: number): boolean {
    return this.isEmpty || this.#encoder.offset + MARK_LENGTH + length <= this.segment.capacity;
  }

  /** Whether the segment may end with a link: not if nothing more may be written to it. */
  get takesLink(): boolean {
    return this.segment.capacity > 0;
  }

  /** To be called between entries: closes the segment if it is full and its successor is ready. */
  changeIfFull(): void {
    if (this.isEmpty) return;
    const isFull = this.#encoder.offset >= this.#parts.options.checkpointAfterBytes;
    // If it cannot be done now, the segment is written to while there is room in it.
    if (this.#successor !== undefined) this.#change(this.#successor);
    else if (isFull && !this.#hasFailed) this.#prepareSuccessor();
  }

  /** Resolves when every segment closed so far has been handed over. */
  async whenSealed(): Promise<void> {
    await this.#sealing?.promise;
  }

  /**
   * Continues after `end`, where the log has been truncated: entries above `lastId` are no part of it from the moment
   * this resolves. Nothing may be written meanwhile, and all that was written must be durable. If no segment can be had
   * it rejects, and nothing has changed.
   */
  async cut(end: LogEnd, lastId: EntryId): Promise<void> {
    const { pool } = this.#parts;
    await this.#preparation;
    const unused = this.#successor;
    // Whatever comes of it, its file is closed.
    this.#successor = undefined;
    if (unused !== undefined) await pool.giveBack(unused);
    assert(this.#encoder.pendingBytes === 0, 'a log is truncated when all of it has been flushed');
    // Above every segment that is there, so that the next opening knows it for the newest.
    const successor = await this.#prepare(Math.max(this.segment.segmentId, lastId) + 1);
    const nextId = Math.max(lastId + 1, successor.segmentId);
    let start: Start;
    try {
      start = this.#start(successor);
    } catch (error) {
      await pool.giveBack(successor).catch(() => undefined);
      throw error;
    }
    const linked = deferred();
    const link = { ...end, lastId: nextId - 1 };
    this.#continueIn(start, link, { committed: () => linked.resolve(), failed: (error) => linked.reject(error) });
    this.nextId = nextId;
    await linked.promise;
  }

  /** Closes the segment, and a successor that was not needed: the next opening takes it for a spare file. */
  async close(): Promise<void> {
    await this.#parts.pool.close();
    await this.#successor?.close();
    await this.segment.close();
  }

  #prepareSuccessor(): void {
    if (this.#preparing || this.#successor !== undefined) return;
    this.#preparing = true;
    const segmentId = Math.max(this.nextId, this.segment.segmentId + 1);
    this.#preparation = this.#prepare(segmentId).then(
      (segment) => {
        this.#preparing = this.#hasFailed = false;
        this.#successor = segment;
        this.#parts.events.onSuccessor(undefined);
      },
      (error: unknown) => {
        this.#preparing = false;
        this.#hasFailed = true;
        this.#parts.events.onSuccessor(toWalError(error, `segment ${segmentId} cannot be prepared`));
      },
    );
  }

  async #prepare(segmentId: number): Promise<Segment> {
    if (Number.isSafeInteger(segmentId)) return this.#parts.pool.prepare(segmentId);
    throw new WalError('WAL_OUT_OF_RANGE', 'the log has given out its last entry id, and no segment can follow');
  }

  /** Continues in `successor`. Returns what was wrong if that cannot be done now; then nothing has changed. */
  #change(successor: Segment): WalError | undefined {
    const { segment: closed } = this;
    let start: Start;
    try {
      start = this.#start(successor);
    } catch (error) {
      return toWalError(error, `segment ${successor.segmentId} cannot be begun`);
    }
    const sealing = deferred();
    ignoreRejection(sealing.promise);
    this.#successor = undefined;
    this.#sealing = sealing;
    const link = { ...endOf(this.#encoder), lastId: this.nextId - 1 };
    this.#continueIn(start, link, {
      // Only now may the closed segment go: the highest id and the place where it ended are on record elsewhere.
      committed: () => {
        closed.seal();
        this.#parts.events.onSealed(closed);
        sealing.resolve();
      },
      failed: (error) => sealing.reject(error),
    });
    return undefined;
  }

  /** Takes the memory that the change to `successor` needs. Throws if there is none. */
  #start(successor: Segment): Start {
    const { blocks, environment } = this.#parts;
    const nonce = drawNonce(environment);
    return { nonce, encoder: new SegmentEncoder(successor, blocks, successor.start, 0) };
  }

  /** Writes to the segment of `encoder` from now on. */
  #continueIn({ encoder, nonce }: Start, link: Link, waiter: CommitWaiter): void {
    const { queue, pool, events } = this.#parts;
    this.segment.leave();
    encoder.writeLink(link, nonce, waiter);
    this.#encoder = encoder;
    queue.add(encoder);
    queue.request();
    events.onChanged(encoder.segment);
    pool.replenish();
  }
}
