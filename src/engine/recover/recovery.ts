import { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import type { ResolvedOptions } from '../../model/options.js';
import type { Link } from '../../format/segment-format.js';
import { damaged, Entry } from '../../segment/segment-reader.js';
import { provenEnd } from '../../segment/proof.js';
import type { RecordScanner } from '../../segment/record-scanner.js';
import type { RecoveredSegment, Segment } from '../../segment/segment.js';
import type { LogDirectory } from '../directory/log-directory.js';
import type { Reserve } from '../directory/reserve.js';
import type { Holds } from '../checkpoint/holds.js';
import { isWhole, linkSegments, openScanner, type LinkedSegment } from '../view/segment-chain.js';
import { readSegmentFiles, type Closable } from '../view/segment-files.js';
import { RoomMaker } from './room-maker.js';
import { TailRewriter } from './tail-rewrite.js';

/**
 * What was found when a log was opened.
 *
 * @example
 * const { entries, tornBytes }: RecoveryReport = log.recovery;
 * console.log(`${entries} entries, ${tornBytes} bytes cut off`); // 0 entries, 0 bytes cut off
 */
export interface RecoveryReport {
  /** The segments that held the log, checkpointed ones not counted. */
  readonly segments: number;
  /** The entries handed to the LogManager. */
  readonly entries: number;
  /** Bytes read. */
  readonly bytes: number;
  /** Bytes of an entry at the end of the log that was never completed: cut off. */
  readonly tornBytes: number;
  /** How long opening took, in milliseconds. */
  readonly durationMs: number;
}

export interface RecoveryParts {
  readonly directory: LogDirectory;
  readonly reserve: Reserve;
  readonly options: ResolvedOptions;
}

/** What recovery asks the log's owner. */
export interface RecoveryTarget {
  /** Called before everything else. Resolves with the last entry that the owner has stored; 0 if it does not say. */
  open(): Promise<EntryId>;
  shouldRecover(segment: RecoveredSegment): Promise<boolean>;
  /** Takes an entry; what it returns is awaited only if it is a promise. */
  recover(entry: Entry): void | Promise<void>;
}

/** A log as its directory holds it: nothing has been changed yet but for bytes written again as they were. */
export interface RecoveredLog {
  /** The live segments in order; the last may go on. Their files are open. */
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
  readonly #target: RecoveryTarget;
  readonly #holds: Holds;
  readonly #opened: Closable[];
  #storedId: EntryId = 0;
  #entries = 0;
  #bytesRead = 0;
  #totalBytes = 0;

  /**
   * Every file that is opened is added to `opened`, for the caller to close those that it does not continue to use.
   */
  constructor(
    { directory, reserve, options }: RecoveryParts, target: RecoveryTarget, holds: Holds, opened: Closable[],
  ) {
    this.#directory = directory;
    this.#reserve = reserve;
    this.#options = options;
    this.#target = target;
    this.#holds = holds;
    this.#opened = opened;
  }

  async run(): Promise<RecoveredLog> {
    this.#storedId = await this.#target.open();
    const { fileManager, preallocateBytes } = this.#options;
    const files = await readSegmentFiles(fileManager, this.#directory.path, this.#opened);
    const room = new RoomMaker(this.#directory, this.#reserve, preallocateBytes);
    const tail = new TailRewriter(this.#directory, this.#reserve, room);
    if (files.hasHolds) await this.#holds.load();
    if (this.#directory.previousOwnerMayRun) await tail.renounceReserve();
    if (files.hasTailCopy) await tail.redo(files.segments);
    const { chain, spares } = await linkSegments(files, this.#options.bufferBytes);
    this.#totalBytes = await totalSize(chain);
    let lastId = 0;
    for (const [i, linked] of chain.slice(0, -1).entries()) {
      lastId = await this.#recoverClosed(linked, chain[i + 1].link, lastId);
    }
    room.offerSpares(spares);
    for (const { segment } of chain.slice(0, -1)) room.offerEnd(segment, segment.end);
    const last = chain.at(-1);
    const end = last === undefined ? EMPTY_LOG : await this.#recoverLast(last, tail, lastId);
    const segments = chain.map(({ segment }) => segment);
    const oldest = segments.find(({ phase }) => phase !== 'discarded');
    return {
      ...end,
      // After a repair, say, the log can end before what is stored. Those ids must not be given to other entries.
      lastId: Math.max(end.lastId, this.#storedId),
      storedId: this.#storedId,
      segments,
      goneId: oldest?.idBefore ?? end.lastId,
      spares: room.spares,
      aliases: files.aliases,
      entries: this.#entries,
      bytes: this.#bytesRead,
    };
  }

  /** Recovers a segment that has a successor, whose link says where it ends. Returns the highest id so far. */
  async #recoverClosed(
    { segment, isGivenUp }: LinkedSegment, next: Link | undefined, lastId: EntryId,
  ): Promise<EntryId> {
    follow(segment, lastId);
    // It is the id of the last entry of a segment: above all ids before that one, and below all after it.
    if (!isGivenUp && this.#holds.checkpointedId > segment.idBefore) {
      await this.#passOver(segment, next);
      segment.checkpointed();
    } else if (isGivenUp || !(await this.#target.shouldRecover(segment))) {
      await this.#passOver(segment, next);
      segment.discard();
    } else {
      const scanner = await this.#scan(segment, next?.previousEnd);
      const lastEntryId = await this.#deliver(scanner);
      if (!isWhole(scanner, next)) throw damaged(segment, scanner.end, scanner.lastId);
      segment.endAt(scanner.end, lastEntryId);
      segment.seal();
    }
    return Math.max(segment.lastId, next?.lastId ?? 0);
  }

  /** A checkpointed segment is only there for those who hold it; they check what they read. */
  async #passOver(segment: Segment, next: Link | undefined): Promise<void> {
    if (next !== undefined) {
      segment.endAt(next.previousEnd, next.lastId);
    } else {
      const scanner = await this.#scan(segment, undefined);
      while ((await scanner.next()) !== undefined);
      segment.endAt(scanner.end, scanner.lastId);
    }
    segment.seal();
  }

  /**
   * Recovers the last segment. Where the log ends, and that what it holds is durable, is settled before
   * anything in it is shown: what the owner has been shown must still be there after the next crash.
   */
  async #recoverLast({ segment, link }: LinkedSegment, tail: TailRewriter, lastId: EntryId): Promise<LogEnd> {
    follow(segment, lastId);
    const scanner = await this.#scan(segment, undefined);
    if ((scanner.link === undefined) !== (link === undefined)) throw changedError(segment);
    // A link behind the last entry is written over when the log goes on: it has told what it had to tell.
    let { end, chain } = scanner;
    let last = segment.idBefore;
    for (let entry = await scanner.next(); entry !== undefined; entry = await scanner.next()) {
      // Otherwise it belongs to a batch whose end may never come.
      if (scanner.end < entry.end) continue;
      ({ end, chain } = scanner);
      last = entry.id;
    }
    const proven = await provenEnd(segment, end, this.#options.bufferBytes);
    if (proven > scanner.end) throw damaged(segment, scanner.end, scanner.lastId);
    // A link that something behind it vouches for must stay: torn in a crash, it would look like damage.
    if (proven > end) ({ end, chain } = scanner);
    const { durableUpTo } = scanner;
    const isProven = durableUpTo >= end;
    if (!isProven) await tail.rewrite(segment, durableUpTo, end);
    const isWanted = await this.#target.shouldRecover(segment);
    if (!isProven || isWanted) await this.#deliverLast(segment, { end, chain }, isWanted);
    segment.endAt(end, last);
    // Where there is nothing to give up, what comes now is another matter.
    if (!isWanted && !segment.isEmpty) segment.discard();
    return { end, chain, lastId: scanner.lastId, tornBytes: scanner.tornBytes };
  }

  /**
   * Reads the last segment once more, up to where the log ends. After a failed sync the cache can drop what it
   * showed before: then the disk has something else, and the next opening will see that.
   */
  async #deliverLast(
    segment: Segment, { end, chain }: Pick<LogEnd, 'end' | 'chain'>, isWanted: boolean,
  ): Promise<void> {
    const scanner = await this.#scan(segment, end);
    if (isWanted) await this.#deliver(scanner);
    else while ((await scanner.next()) !== undefined);
    if (scanner.end !== end || scanner.chain !== chain) throw changedError(segment);
  }

  #scan(segment: Segment, end: number | undefined): Promise<RecordScanner> {
    return openScanner(segment, this.#options.bufferBytes, end, (count) => this.#report(count));
  }

  /**
   * Hands over the entries of a segment that are not stored. Returns the id of its last entry; the one before the
   * segment if there is none.
   */
  async #deliver(scanner: RecordScanner): Promise<EntryId> {
    let lastId = scanner.segment.idBefore;
    for (;;) {
      const step = scanner.step();
      if (step === 'end') return lastId;
      if (step === 'more') {
        await scanner.fill();
        continue;
      }
      lastId = scanner.entry.id;
      if (lastId <= this.#storedId) continue;
      this.#entries++;
      const settled = this.#target.recover(new Entry(scanner, scanner.entry));
      if (settled !== undefined) await settled;
    }
  }

  #report(count: number): void {
    this.#bytesRead += count;
    const [bytesRead, totalBytes] = [this.#bytesRead, Math.max(this.#totalBytes, this.#bytesRead)];
    try {
      this.#options.onRecoveryProgress({ bytesRead, totalBytes, entries: this.#entries });
    } catch (cause) {
      throw new WalError('WAL_LOG_MANAGER_FAILED', 'onRecoveryProgress failed', { cause });
    }
  }
}

/** Ids grow: in format 0 nothing but the segments before it tells what is left of a file's earlier life. */
function follow(segment: Segment, lastId: EntryId): void {
  if (!segment.format.isLinked) segment.beginAfter(Math.max(lastId, segment.idBefore));
}

function changedError({ segmentId }: Segment): WalError {
  return new WalError('WAL_IO', `segment ${segmentId} changed while it was read`, { segmentId });
}

interface LogEnd {
  readonly end: number;
  readonly chain: number;
  readonly lastId: EntryId;
  readonly tornBytes: number;
}

const EMPTY_LOG: LogEnd = { end: 0, chain: 0, lastId: 0, tornBytes: 0 };

async function totalSize(chain: readonly LinkedSegment[]): Promise<number> {
  let total = 0;
  for (const { segment } of chain) total += await segment.size();
  return total;
}
