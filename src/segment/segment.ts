import { deferred, type Deferred } from '../base/async.js';
import { assert } from '../base/assert.js';
import { toWalError, WalError } from '../base/errors.js';
import type { Format } from '../format/format.js';
import { LINK_LENGTH, type SegmentHeader } from '../format/segment-format.js';
import type { FileHandle } from '../files/file-manager.js';
import { readFully, readFullyBlocking } from '../files/transfer.js';
import { SegmentLife } from './segment-life.js';

/**
 * What a LogManager is told of a segment.
 *
 * @example
 * const shouldRecoverSegment = ({ segmentId, versionInfo }: RecoveredSegment): Recovery => {
 *   console.log(segmentId, Buffer.from(versionInfo).toString()); // 1 v2
 *   return 'recover';
 * };
 * const mine = await WriteAheadLog.recover('mine', LogVoid, { ...options, versionInfo: Buffer.from('v2') });
 * await mine.shutdown();
 * const again = await WriteAheadLog.recover('mine', { ...LogVoid, shouldRecoverSegment }, options);
 * await again.shutdown();
 */
export interface RecoveredSegment {
  /** Its number. Those of later segments are higher; the ids of its entries may be higher or lower. */
  readonly segmentId: number;
  /** The `versionInfo` that was in force when the segment was begun. */
  readonly versionInfo: Uint8Array;
  /** 1, or 0 for a segment written by the predecessor. */
  readonly formatVersion: number;
}

/** Where in a segment it was read. */
interface Place {
  readonly offset?: number;
}

/** One segment file that holds live entries, and who is reading it. */
export class Segment extends SegmentLife implements RecoveredSegment {
  readonly segmentId: number;
  readonly versionInfo: Uint8Array;
  readonly format: Format;
  /** What every checksum in the segment starts from. */
  readonly seed: number;
  readonly file: FileHandle;
  #pins = 0;
  #unpinned: Deferred<void> | undefined;
  #reads = 0;
  #readsDone: Deferred<void> | undefined;
  #isClosed = false;

  constructor(header: SegmentHeader, segmentId: number, name: string, file: FileHandle) {
    super(name, header.length);
    this.segmentId = segmentId;
    this.versionInfo = header.versionInfo;
    this.format = header.format;
    this.seed = header.seed;
    this.file = file;
  }

  get formatVersion(): number {
    return this.format.version;
  }

  /** The length of its header and its first link: they say which segment it is, and what comes before it. */
  get beginningLength(): number {
    return this.start + (this.format.isLinked ? LINK_LENGTH : 0);
  }

  get pins(): number {
    return this.#pins;
  }

  /**
   * Keeps the file from being recycled until `unpin`. Must be called before anything is awaited that recycling could
   * overtake.
   */
  pin(): void {
    this.#pins++;
  }

  unpin(): void {
    assert(this.#pins > 0, 'a segment is unpinned no more often than it was pinned');
    this.#pins--;
    if (this.#pins === 0) {
      this.#unpinned?.resolve();
      this.#unpinned = undefined;
    }
  }

  /** Resolves when nobody has the segment pinned. */
  async whenUnpinned(): Promise<void> {
    while (this.#pins > 0) {
      this.#unpinned ??= deferred();
      await this.#unpinned.promise;
    }
  }

  /** Fills `target` from `offset` as far as the file goes. Rejects with `WAL_POSITION_GONE` once the file is closed. */
  async read(target: Uint8Array, offset: number): Promise<number> {
    this.#beginRead({ offset });
    try {
      // Mostly all of it comes at once, and this is the path of every single read.
      const read = await this.file.read(target, offset);
      if (read === target.length || read === 0) return read;
      return read + await readFully(this.file, target.subarray(read), offset + read);
    } catch (error) {
      throw this.#readError(error, { offset });
    } finally {
      this.#endRead();
    }
  }

  /** `read` on the calling thread. */
  readSync(target: Uint8Array, offset: number): number {
    if (this.#isClosed) throw this.#closedError({ offset });
    try {
      return readFullyBlocking(this.file, target, offset);
    } catch (error) {
      if (error instanceof TypeError) throw error;
      throw this.#readError(error, { offset });
    }
  }

  /** The length of the file in bytes. Rejects as `read` does. */
  async size(): Promise<number> {
    this.#beginRead({});
    try {
      return await this.file.size();
    } catch (error) {
      throw this.#readError(error, {});
    } finally {
      this.#endRead();
    }
  }

  /** Closes the file when the reads under way have ended. Idempotent; never rejects. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#reads > 0) {
      this.#readsDone = deferred();
      await this.#readsDone.promise;
    }
    // All that counts was synced long before, so a failure to close takes nothing away.
    await this.file.close().catch(() => undefined);
  }

  /** From here to `endRead` the file stays open. */
  #beginRead(place: Place): void {
    if (this.#isClosed) throw this.#closedError(place);
    this.#reads++;
  }

  #endRead(): void {
    this.#reads--;
    if (this.#reads === 0) this.#readsDone?.resolve();
  }

  #closedError(place: Place): WalError {
    const { segmentId } = this;
    return new WalError('WAL_POSITION_GONE', `segment ${segmentId} is not open any more`, { segmentId, ...place });
  }

  #readError(error: unknown, place: Place): WalError {
    const { segmentId } = this;
    return toWalError(error, `segment ${segmentId} cannot be read`, { segmentId, ...place });
  }
}
