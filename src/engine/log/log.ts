import { assert } from '../../base/assert.js';
import { checkpointChannel, traced } from '../../base/channels.js';
import type { Environment } from '../../base/environment.js';
import { toWalError } from '../../base/errors.js';
import { futureError, type EntryId } from '../../model/entry.js';
import type { Beginning, ResolvedOptions } from '../../model/options.js';
import type { RecoveryReport } from '../../model/recovery-report.js';
import type { WalEvents } from '../../model/wal-events.js';
import type { BlockPool } from '../../segment/block-pool.js';
import type { SegmentEncoder } from '../../segment/segment-encoder.js';
import type { Segment } from '../../segment/segment.js';
import { Checkpointer } from '../checkpoint/checkpointer.js';
import type { Holds, IdRange } from '../checkpoint/holds.js';
import type { Persisting } from '../checkpoint/persisting.js';
import type { LogIdentity } from '../directory/identity-file.js';
import type { Lifecycle } from '../directory/lifecycle.js';
import type { LogDirectory } from '../directory/log-directory.js';
import type { Reserve } from '../directory/reserve.js';
import type { SpareFiles } from '../directory/spare-files.js';
import { Flusher } from '../flush/flusher.js';
import { LiveSegments } from '../read/live-segments.js';
import type { RecoveredLog } from '../recover/recovery.js';
import { Rotation } from '../write/rotation.js';
import { WriteQueue } from '../write/write-queue.js';
import { writeOpeningLink } from './continue.js';
import { dropAfter } from './truncate.js';

/** What there is of a log before its entries have been recovered. */
export interface LogFoundation {
  readonly lifecycle: Lifecycle;
  readonly directory: LogDirectory;
  readonly reserve: Reserve;
  readonly options: ResolvedOptions;
  readonly beginning: Beginning;
  readonly environment: Environment;
  readonly identity: LogIdentity;
  readonly spareFiles: SpareFiles;
  readonly holds: Holds;
  readonly blocks: BlockPool;
}

/** The object that users hold, as the log sees it. */
export interface LogObserver {
  /** Has a closed segment's entries persisted. When it resolves they are safe outside the log. */
  persist(this: void, segment: Segment, persisting: Persisting): Promise<void>;
  report<Name extends keyof WalEvents>(this: void, name: Name, ...details: WalEvents[Name]): void;
}

/**
 * The parts of an open log, and how they are joined. An entry is written through `writeQueue`, which encodes it into
 * the active segment of `rotation`; `flusher` makes it durable; a full segment goes to `checkpointer`, and its file to
 * `spareFiles`, from which `rotation` takes the next.
 */
export class Log {
  readonly lifecycle: Lifecycle;
  readonly directory: LogDirectory;
  readonly options: ResolvedOptions;
  readonly flusher: Flusher;
  readonly spareFiles: SpareFiles;
  readonly holds: Holds;
  readonly segments = new LiveSegments();
  readonly checkpointer: Checkpointer;
  readonly rotation: Rotation;
  readonly writeQueue: WriteQueue;
  readonly #foundation: LogFoundation;
  #observer: LogObserver | undefined;
  #recovery: RecoveryReport;
  /** The id after which the log is being truncated. */
  #truncatingAfter: EntryId | undefined;

  /** Joins the parts. Nothing is written before `start`. */
  constructor(foundation: LogFoundation, recovered: RecoveredLog, encoder: SegmentEncoder) {
    const { lifecycle, directory, options, environment, spareFiles, holds } = foundation;
    this.#foundation = foundation;
    this.lifecycle = lifecycle;
    this.directory = directory;
    this.options = options;
    this.spareFiles = spareFiles;
    this.holds = holds;
    this.flusher = new Flusher(
      lifecycle, { onFlushed: () => this.writeQueue.pump() }, environment, directory.path, options,
    );
    this.checkpointer = this.#newCheckpointer();
    this.rotation = this.#newRotation(encoder, recovered.lastId + 1);
    this.writeQueue = new WriteQueue(foundation, this.rotation, this.flusher);
    this.flusher.durableId.set(recovered.lastId);
    holds.onLess(() => this.checkpointer.retirement.reconsider());
    lifecycle.onFailed((error) => this.#report('failed', error));
    const { entries, bytes, tornBytes, segments } = recovered;
    this.#recovery = { segments: segments.length, entries, bytes, tornBytes, durationMs: 0 };
  }

  /** What was found when the log was opened. */
  get recovery(): RecoveryReport {
    return this.#recovery;
  }

  get identity(): LogIdentity {
    return this.#foundation.identity;
  }

  /** The ids of the entries that a hold can keep. */
  get idRange(): IdRange {
    const nextId = Math.min(this.rotation.nextId, (this.#truncatingAfter ?? Infinity) + 1);
    return { goneId: Math.max(this.segments.goneId, this.checkpointer.releasingId), nextId };
  }

  observe(observer: LogObserver): void {
    assert(this.#observer === undefined, 'a log has one observer');
    this.#observer = observer;
  }

  /** Writes the link with which the log continues, then hands over the segments that wait for their checkpoint. */
  async start(recovered: RecoveredLog, startedAt: number): Promise<void> {
    const { environment } = this.#foundation;
    const active = this.rotation.segment;
    // Continuing may have taken the first.
    const segments = recovered.segments.filter(({ phase }) => phase !== 'retired');
    await this.holds.clamp(this.rotation.nextId);
    // No checkpoint begins before what was abandoned is gone for good.
    await this.checkpointer.suspend(new Set());
    await writeOpeningLink(this.rotation, recovered, this.flusher, environment);
    // Before anything else is awaited: segments are checkpointed in order, and the active one may be closed soon.
    const closed = segments.filter((segment) => segment !== active);
    this.segments.gone(recovered.goneId);
    this.checkpointer.stored(recovered.storedId);
    for (const segment of [...closed, active]) this.segments.add(segment);
    for (const segment of closed) {
      // The one that was the last may be too full to continue in.
      if (segment.isOpen) segment.seal();
      if (segment.phase === 'checkpointed') this.checkpointer.retirement.adopt(segment);
      else this.checkpointer.enqueue(segment);
    }
    // Only now: where the log continues after these, and with which id, is on record elsewhere.
    await this.spareFiles.giveUp(segments);
    this.checkpointer.resume();
    await this.spareFiles.forgetPreviousOwner();
    this.#recovery = { ...this.#recovery, durationMs: environment.now() - startedAt };
  }

  /** Drops every entry after `id`, in its turn. */
  truncateAfter(id: EntryId): Promise<void> {
    return this.writeQueue.exclusively(async () => {
      const { nextId } = this.rotation;
      if (id >= nextId) throw futureError('id', id, nextId);
      this.#truncatingAfter = id;
      try {
        // A hold that is being moved may end up after the new end of the log.
        await this.holds.idle();
        this.holds.assertNoneAfter(id + 1);
        await dropAfter(id, {
          queue: this.flusher,
          active: this.rotation,
          segments: this.segments,
          checkpointer: this.checkpointer,
          pool: this.spareFiles,
          blockBytes: this.options.bufferBytes,
        });
      } catch (error) {
        throw toWalError(error, `the log cannot be truncated after entry ${id}`);
      } finally {
        this.#truncatingAfter = undefined;
      }
    });
  }

  /** Frees the closed segments that contain only entries below `id`. */
  async truncateBefore(id: EntryId): Promise<void> {
    const { refusal } = this.lifecycle;
    if (refusal !== undefined) throw refusal;
    const { nextId } = this.rotation;
    if (id > nextId) throw futureError('id', id, nextId);
    this.holds.assertNoneBelow(id);
    await this.checkpointer.release(id);
  }

  /** Breaks the holds that keep more checkpointed bytes than they may. */
  async breakHolds(): Promise<void> {
    const bytesOf = ({ end }: Segment) => Math.max(end, this.options.preallocateBytes);
    for await (const broken of this.holds.breakThoseAbove(this.checkpointer.retirement.held, bytesOf)) {
      this.#report('holdBroken', broken);
    }
  }

  #newRotation(encoder: SegmentEncoder, nextId: EntryId): Rotation {
    const { spareFiles, blocks, options, environment } = this.#foundation;
    const events = {
      onSealed: (segment: Segment) => this.checkpointer.enqueue(segment),
      onChanged: (segment: Segment) => {
        this.segments.add(segment);
        this.#report('segment', { segmentId: segment.segmentId });
      },
      onSuccessor: (error: Parameters<WriteQueue['successorFailed']>[0] | undefined) => {
        if (error === undefined) this.writeQueue.pump();
        else this.writeQueue.successorFailed(error);
      },
    };
    const parts = { queue: this.flusher, pool: spareFiles, blocks, options, environment, events };
    return new Rotation(parts, encoder, nextId);
  }

  #newCheckpointer(): Checkpointer {
    const { lifecycle, spareFiles, environment, holds } = this.#foundation;
    return new Checkpointer(lifecycle, spareFiles, environment, holds, {
      persist: (segment, persisting) => {
        const { segmentId, lastId } = segment;
        const describe = () => ({ directory: this.directory.path, segmentId, lastId });
        return traced(checkpointChannel, describe, () => this.#observed.persist(segment, persisting));
      },
      onRetiring: (segment) => this.segments.gone(segment.lastId),
      // From here on nothing new can pin the segment: its file is about to be used again.
      onRetired: (segment) => this.segments.remove(segment),
      onCheckpointed: (segment) => {
        void this.breakHolds();
        this.#report('checkpoint', { segmentId: segment.segmentId, lastId: segment.lastId });
      },
      onFailed: (error, segmentId, attempt, retryInMs) => {
        this.#report('checkpointFailed', { error, segmentId, attempt, retryInMs });
      },
    });
  }

  #report<Name extends keyof WalEvents>(name: Name, ...details: WalEvents[Name]): void {
    this.#observer?.report(name, ...details);
  }

  get #observed(): LogObserver {
    assert(this.#observer !== undefined, 'a log is observed before it starts');
    return this.#observer;
  }
}
