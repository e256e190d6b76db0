import { WalError } from '../../base/errors.js';
import type { EntryId } from '../../model/entry.js';
import { LogPosition } from '../../model/log-position.js';
import { loadFirst, type Entry } from '../../segment/segment-reader.js';
import { entriesBackwards } from './entries-backwards.js';
import { EntryIterator, type EntryIteratorParts } from './entry-iterator.js';

/**
 * The durable entries of an open log, the last first, from `from` down to the oldest that is still there when the
 * iteration gets to it. Keeps the segment it reads from being recycled, and no other.
 */
export async function* iterateBackwards(
  parts: EntryIteratorParts, from: EntryId | LogPosition | undefined, signal: AbortSignal | undefined,
): AsyncGenerator<Entry, void, void> {
  const iteration = new ReverseIteration(parts, signal);
  try {
    yield* iteration.run(from);
  } catch (error) {
    signal?.throwIfAborted();
    // Why nothing can be read is what its user hears, rather than the error that followed from it.
    throw parts.closed() ?? error;
  }
}

class ReverseIteration {
  readonly #parts: EntryIteratorParts;
  readonly #signal: AbortSignal | undefined;
  /** The highest id that was shown; 0 if none was. */
  #firstShown: EntryId = 0;
  /** Entries from this id on are not wanted any more. */
  #below: EntryId = Infinity;
  #cutsSeen: number;

  constructor(parts: EntryIteratorParts, signal: AbortSignal | undefined) {
    this.#parts = parts;
    this.#signal = signal;
    this.#cutsSeen = parts.segments.cuts.length;
  }

  async *run(from: EntryId | LogPosition | undefined): AsyncGenerator<Entry, void, void> {
    this.#assertReadable();
    if (from !== undefined) this.#below = (from instanceof LogPosition ? await this.#idAt(from) : from) + 1;
    if (typeof from === 'number' && from > 0) this.#parts.segments.assertNotGone(from);
    for (;;) {
      this.#assertReadable();
      this.#isOutdated();
      const segment = this.#parts.segments.below(this.#below);
      if (segment === undefined) return;
      // Before anything is awaited: the segment may be checkpointed at any time.
      segment.pin();
      let isOutdated = false;
      try {
        const range = { segment, end: segment.durableEnd, below: this.#below, blockBytes: this.#parts.blockBytes };
        for await (const entry of entriesBackwards(range)) {
          this.#assertReadable();
          isOutdated = this.#isOutdated();
          if (isOutdated) break;
          this.#firstShown ||= entry.id;
          this.#below = entry.id;
          yield entry;
        }
        if (!isOutdated && !this.#isOutdated()) this.#below = Math.min(this.#below, segment.idBefore + 1);
      } finally {
        segment.unpin();
      }
    }
  }

  /** The id of the entry that begins with the chunk at `position`. */
  async #idAt(position: LogPosition): Promise<EntryId> {
    const entry = await loadFirst(new EntryIterator(this.#parts, position, false, this.#signal));
    return entry?.id ?? 0;
  }

  #assertReadable(): void {
    this.#signal?.throwIfAborted();
    const closed = this.#parts.closed();
    if (closed !== undefined) throw closed;
  }

  /**
   * Whether the log was truncated before anything of it was shown: then it ends elsewhere. Throws if something was
   * dropped that was shown; what comes before that is as it was.
   */
  #isOutdated(): boolean {
    const { cuts } = this.#parts.segments;
    const isNew = this.#cutsSeen < cuts.length;
    for (; this.#cutsSeen < cuts.length; this.#cutsSeen++) {
      const id = cuts[this.#cutsSeen];
      if (id >= this.#firstShown) continue;
      const message = `the log was truncated after entry ${id}, and ${this.#firstShown} had been read`;
      throw new WalError('WAL_POSITION_GONE', message);
    }
    return isNew && this.#firstShown === 0;
  }
}
