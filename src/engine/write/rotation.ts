import { deferred, ignoreRejection, type Deferred } from '../../base/async.js';
import type { Environment } from '../../base/environment.js';
import { toWalError, type WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import type { ResolvedOptions } from '../../model/options.js';
import { MARK_LENGTH, type Link } from '../../format/segment-format.js';
import type { BlockPool } from '../../segment/block-pool.js';
import type { Segment } from '../../segment/segment.js';
import { SegmentEncoder, type CommitWaiter } from '../../segment/segment-encoder.js';
import type { Flusher } from '../flush/flusher.js';
import type { SpareFiles } from '../directory/spare-files.js';

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

/**
 * The segment that entries are written to, and its change for the next one. The successor is prepared
 * in the background from the moment the segment holds `checkpointAfterBytes`; until it is ready entries
 * go into the space that is left, so a commit waits only if that runs out.
 */
export class Rotation {
  buffer: SegmentEncoder;
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

  constructor(parts: RotationParts, buffer: SegmentEncoder, nextId: EntryId) {
    this.#parts = parts;
    this.buffer = buffer;
    this.nextId = nextId;
    parts.queue.add(buffer);
    parts.pool.replenish();
  }

  get segment(): Segment {
    return this.buffer.segment;
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
      this.#change(this.#successor);
      return true;
    }
    if (this.fits(length)) return true;
    this.#prepareSuccessor();
    return false;
  }

  /** Whether an entry of `length` bytes can begin without the next segment. */
  fits(length: number): boolean {
    return this.isEmpty || this.buffer.offset + MARK_LENGTH + length <= this.#parts.options.preallocateBytes;
  }

  /** To be called between entries: closes the segment if it is full and its successor is ready. */
  changeIfFull(): void {
    if (this.isEmpty) return;
    const isFull = this.buffer.offset >= this.#parts.options.checkpointAfterBytes;
    if (this.#successor !== undefined) this.#change(this.#successor);
    else if (isFull && !this.#hasFailed) this.#prepareSuccessor();
  }

  /** Resolves when every segment closed so far has been handed over. */
  async whenSealed(): Promise<void> {
    await this.#sealing?.promise;
  }

  /**
   * Goes on behind `link`, where the log has been cut: entries above `lastId` are no part of it from the moment this
   * resolves. Nobody may write meanwhile, and all that was written must be durable. If no segment can be had it
   * rejects, and nothing has changed.
   */
  async cut(link: Omit<Link, 'lastId'>, lastId: EntryId): Promise<void> {
    const { pool } = this.#parts;
    await this.#preparation;
    const unused = this.#successor;
    // Whatever comes of it, its file is closed.
    this.#successor = undefined;
    if (unused !== undefined) await pool.giveBack(unused);
    // Above every segment that is there, so that the next opening knows it for the newest.
    const successor = await pool.prepare(Math.max(this.segment.segmentId, lastId) + 1);
    this.nextId = Math.max(lastId + 1, successor.segmentId);
    await new Promise<void>((resolve, reject) => {
      this.#goOn(successor, { ...link, lastId: this.nextId - 1 }, { committed: resolve, failed: reject });
    });
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
    this.#preparation = this.#parts.pool.prepare(segmentId).then(
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

  #change(successor: Segment): void {
    const closed = this.buffer;
    const sealing = deferred();
    ignoreRejection(sealing.promise);
    this.#successor = undefined;
    this.#sealing = sealing;
    const link = {
      previousSegmentId: closed.segment.segmentId,
      previousEnd: closed.offset,
      previousChain: closed.chain,
      lastId: this.nextId - 1,
    };
    this.#goOn(successor, link, {
      // Only now may the closed segment go: the highest id and the place where it ended are on record elsewhere.
      committed: () => {
        closed.segment.seal();
        this.#parts.events.onSealed(closed.segment);
        sealing.resolve();
      },
      failed: (error) => sealing.reject(error),
    });
  }

  /** Writes to `successor` from now on. */
  #goOn(successor: Segment, link: Link, waiter: CommitWaiter): void {
    const { queue, pool, blocks, environment, events } = this.#parts;
    this.segment.leave();
    this.buffer = new SegmentEncoder(successor, blocks, successor.start, 0);
    queue.add(this.buffer);
    this.buffer.writeLink(link, drawNonce(environment), waiter);
    queue.request();
    events.onChanged(successor);
    pool.replenish();
  }
}

/** Four bytes that nobody can foresee, for a link. */
export function drawNonce(environment: Environment): number {
  const bytes = Buffer.alloc(4);
  environment.randomFill(bytes);
  return bytes.readUInt32LE(0);
}
