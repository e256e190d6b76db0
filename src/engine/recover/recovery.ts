import { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import type { Beginning, ResolvedOptions } from '../../model/options.js';
import type { Link } from '../../format/segment-format.js';
import { damaged } from '../../segment/segment-reader.js';
import type { Segment } from '../../segment/segment.js';
import type { LogDirectory } from '../directory/log-directory.js';
import type { Reserve } from '../directory/reserve.js';
import type { Holds } from '../checkpoint/holds.js';
import { isWhole, linkSegments, type LinkedSegment } from '../view/segment-chain.js';
import { readSegmentFiles, type Closable } from '../view/segment-files.js';
import { continueIds, EntryReplay, type RecoveryTarget } from './entry-replay.js';
import { EMPTY_LOG, recoverLast, type LogEnd } from './last-segment.js';
import { RoomMaker } from './room-maker.js';
import { TailRewriter } from './tail-rewrite.js';

export interface RecoveryParts {
  readonly directory: LogDirectory;
  readonly reserve: Reserve;
  readonly options: ResolvedOptions;
  readonly beginning: Beginning;
  readonly holds: Holds;
}

/** A log as its directory contains it. Nothing has been changed; the tail may have been rewritten as it was. */
export interface RecoveredLog {
  /** The live segments in order; the log may continue in the last. Their files are open. */
  readonly segments: readonly Segment[];
  /** Where the last segment ends, and the chain there. */
  readonly end: number;
  readonly chain: number;
  /** The highest entry id ever given out, as far as the log or its owner knows. */
  readonly lastId: EntryId;
  /** The last entry that the owner has stored, and needs no more. */
  readonly storedId: EntryId;
  /** The highest id before the oldest entry that is there: those up to it were checkpointed, or given up. */
  readonly goneId: EntryId;
  readonly spares: readonly string[];
  readonly aliases: readonly string[];
  readonly entries: number;
  readonly bytes: number;
  readonly tornBytes: number;
}

/** Reads a log from its first live entry to its last. One use. */
export class LogRecovery {
  readonly #directory: LogDirectory;
  readonly #reserve: Reserve;
  readonly #options: ResolvedOptions;
  readonly #beginning: Beginning;
  readonly #holds: Holds;
  readonly #opened: Closable[];
  readonly #replay: EntryReplay;

  /**
   * Every file that is opened is added to `opened`, for the caller to close those that it does not continue to use.
   */
  constructor(
    { directory, reserve, options, beginning, holds }: RecoveryParts, target: RecoveryTarget, opened: Closable[],
  ) {
    this.#directory = directory;
    this.#reserve = reserve;
    this.#options = options;
    this.#beginning = beginning;
    this.#holds = holds;
    this.#opened = opened;
    this.#replay = new EntryReplay(target, options);
  }

  async run(): Promise<RecoveredLog> {
    const storedId = await this.#replay.begin();
    const { fileManager, preallocateBytes } = this.#options;
    const files = await readSegmentFiles(fileManager, this.#directory.path, this.#opened);
    const room = new RoomMaker(this.#directory, this.#reserve, preallocateBytes);
    const tail = new TailRewriter(this.#directory, this.#reserve, room);
    if (files.hasHolds) await this.#holds.load();
    if (this.#directory.previousOwnerMayRun) await tail.renounceReserve();
    if (files.hasTailCopy) await tail.redo(files.segments);
    const { chain, spares } = await linkSegments(files, this.#options.bufferBytes);
    this.#replay.totalBytes = await totalSize(chain);
    let lastId = 0;
    for (const [i, linked] of chain.slice(0, -1).entries()) {
      lastId = await this.#recoverClosed(linked, chain[i + 1].link, lastId);
    }
    room.offerSpares(spares);
    for (const { segment } of chain.slice(0, -1)) room.offerEnd(segment, segment.end);
    const last = chain.at(-1);
    const end = last === undefined ? this.#begin(storedId) : await recoverLast(last, this.#replay, tail, lastId);
    const segments = chain.map(({ segment }) => segment);
    const oldest = segments.find(({ phase }) => phase !== 'discarded');
    return {
      ...end,
      // After a repair, say, the log can end before what is stored. Those ids must not be given to other entries.
      lastId: Math.max(end.lastId, storedId),
      storedId,
      segments,
      goneId: oldest?.idBefore ?? end.lastId,
      spares: room.spares,
      aliases: files.aliases,
      entries: this.#replay.entries,
      bytes: this.#replay.bytesRead,
    };
  }

  /** The end of a log that is about to begin. */
  #begin(storedId: EntryId): LogEnd {
    const { nextId } = this.#beginning;
    if (nextId === 1 || storedId < nextId) return { ...EMPTY_LOG, lastId: nextId - 1 };
    // The entries of the log would count as stored.
    const message = `a log cannot begin with entry ${nextId}: its LogManager has stored entries up to ${storedId}`;
    throw new WalError('WAL_OUT_OF_RANGE', message);
  }

  /** Recovers a segment that has a successor, whose link says where it ends. Returns the highest id so far. */
  async #recoverClosed(
    { segment, isGivenUp }: LinkedSegment, next: Link | undefined, lastId: EntryId,
  ): Promise<EntryId> {
    continueIds(segment, lastId);
    // `checkpointedId` is the id of some segment's last entry, so it lies on one side of a whole segment.
    if (!isGivenUp && this.#holds.checkpointedId > segment.idBefore) {
      await this.#passOver(segment, next);
      segment.checkpointed();
    } else if (isGivenUp || !(await this.#replay.isWanted(segment))) {
      await this.#passOver(segment, next);
      segment.discard();
    } else {
      const scanner = await this.#replay.scan(segment, next?.previousEnd);
      const lastEntryId = await this.#replay.deliver(scanner);
      if (!isWhole(scanner, next)) throw damaged(segment, scanner.end, scanner.lastId);
      segment.endAt(scanner.end, lastEntryId);
      segment.seal();
    }
    return Math.max(segment.lastId, next?.lastId ?? 0);
  }

  /** Only holds need a checkpointed segment; whoever reads it through them verifies what is read. */
  async #passOver(segment: Segment, next: Link | undefined): Promise<void> {
    if (next !== undefined) {
      segment.endAt(next.previousEnd, next.lastId);
    } else {
      const scanner = await this.#replay.scan(segment, undefined);
      while ((await scanner.next()) !== undefined);
      segment.endAt(scanner.end, scanner.lastId);
    }
    segment.seal();
  }
}

async function totalSize(chain: readonly LinkedSegment[]): Promise<number> {
  let total = 0;
  for (const { segment } of chain) total += await segment.size();
  return total;
}
