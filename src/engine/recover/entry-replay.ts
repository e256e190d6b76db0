import { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import type { ResolvedOptions } from '../../model/options.js';
import type { RecordScanner } from '../../segment/record-scanner.js';
import type { RecoveredSegment, Segment } from '../../segment/segment.js';
import { Entry } from '../../segment/segment-reader.js';
import { openScanner } from '../view/segment-chain.js';

/** What recovery asks the log's owner. */
export interface RecoveryTarget {
  /** Called before everything else. Resolves with the last entry that the owner has stored; 0 if it does not say. */
  open(): Promise<EntryId>;
  shouldRecover(segment: RecoveredSegment): Promise<boolean>;
  /** Takes an entry; what it returns is awaited only if it is a promise. */
  recover(entry: Entry): void | Promise<void>;
}

/** Reads segments and hands their entries to the log's owner. */
export class EntryReplay {
  readonly #target: RecoveryTarget;
  readonly #options: ResolvedOptions;
  /** The last entry that the owner has stored. */
  #storedId: EntryId = 0;
  /** How long the segments are, for the report of progress. */
  totalBytes = 0;
  /** How many entries have been handed over. */
  entries = 0;
  bytesRead = 0;

  constructor(target: RecoveryTarget, options: ResolvedOptions) {
    this.#target = target;
    this.#options = options;
  }

  get blockBytes(): number {
    return this.#options.bufferBytes;
  }

  /** Has the owner open its storage. Resolves with the last entry that it has stored. */
  async begin(): Promise<EntryId> {
    this.#storedId = await this.#target.open();
    return this.#storedId;
  }

  /** Whether the owner wants the entries of `segment`. */
  isWanted(segment: Segment): Promise<boolean> {
    return this.#target.shouldRecover(segment);
  }

  scan(segment: Segment, end: number | undefined): Promise<RecordScanner> {
    return openScanner(segment, this.blockBytes, end, (count) => this.#report(count));
  }

  /**
   * Hands over the entries of a segment that are not stored. Returns the id of its last entry; the one before the
   * segment if there is none.
   */
  async deliver(scanner: RecordScanner): Promise<EntryId> {
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
      this.entries++;
      const settled = this.#target.recover(new Entry(scanner, scanner.entry));
      if (settled !== undefined) await settled;
    }
  }

  #report(count: number): void {
    this.bytesRead += count;
    const [bytesRead, totalBytes] = [this.bytesRead, Math.max(this.totalBytes, this.bytesRead)];
    try {
      this.#options.onRecoveryProgress({ bytesRead, totalBytes, entries: this.entries });
    } catch (cause) {
      throw new WalError('WAL_LOG_MANAGER_FAILED', 'onRecoveryProgress failed', { cause });
    }
  }
}

/**
 * Has the ids of `segment` continue after `lastId`. In format 0, only the segments before a file tell which of its
 * entries are left over from an earlier use.
 */
export function continueIds(segment: Segment, lastId: EntryId): void {
  if (!segment.format.isLinked) segment.beginAfter(Math.max(lastId, segment.idBefore));
}
