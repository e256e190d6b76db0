import { WalError, WriteAheadLog } from 'segmented-wal';
import type {
  Entry, EntryChunk, EntryId, Hold, LogManager, LogPosition, SegmentReader, WalOptions,
} from 'segmented-wal';

/** An entry of a Raft log. Indexes grow by one; after a snapshot was installed they may jump. */
export interface RaftEntry {
  readonly index: number;
  readonly term: number;
  readonly type: number;
  readonly data: Uint8Array;
}

/** The log has no entry with this index: not yet, or no longer. */
export class LogNotFoundError extends Error {
  override readonly name = 'LogNotFoundError';

  constructor(index: number) {
    super(`there is no entry with the index ${index}`);
  }
}

/** What is in memory of an entry: its header, and where its data is. */
interface StoredEntry extends Omit<RaftEntry, 'data'> {
  readonly id: EntryId;
  readonly position: LogPosition;
}

const VERSION_INFO = Buffer.from('raft-log 1');
const HEADER_BYTES = 17;

/**
 * The log store of a Raft node, with the contract of `LogStore` in hashicorp/raft. What the paper calls `log[]` is one
 * write-ahead log: entries are appended, a suffix that the leader contradicts is truncated, and a prefix that is in a
 * snapshot is freed. Make one change at a time, as Raft does; reads may run beside it.
 */
export class RaftLog {
  #log!: WriteAheadLog;
  /** Where the log begins. Only whole segments are freed, so entries before it can still be on the disk. */
  #beginning!: Hold;
  /** In the order of their indexes. */
  #entries: StoredEntry[] = [];

  /** Opens the log in `directory`, which is created if need be. Rejects as `WriteAheadLog.recover` does. */
  static async open(directory: string, options: Omit<WalOptions, 'versionInfo' | 'sync'> = {}): Promise<RaftLog> {
    const raft = new RaftLog();
    const manager: LogManager = {
      recover: (entry: Entry) => raft.#recover(entry),
      checkpointTo: keepUntilFreed,
    };
    raft.#log = await WriteAheadLog.recover(directory, manager, { ...options, versionInfo: VERSION_INFO });
    try {
      // A hold is a small durable number that only grows, and truncateBefore heeds it. It never has to keep anything.
      raft.#beginning = await raft.#log.hold('beginning', { maxBytes: Number.MAX_SAFE_INTEGER });
      await raft.#dropPrefix();
    } catch (error) {
      await raft.close();
      throw error;
    }
    return raft;
  }

  /** The index of the first entry; 0 if there is none. */
  get firstIndex(): number {
    return this.#entries[0]?.index ?? 0;
  }

  /** The index of the last entry; 0 if there is none. */
  get lastIndex(): number {
    return this.#entries.at(-1)?.index ?? 0;
  }

  /** The entry with this index. Rejects with a LogNotFoundError if there is none. */
  async getLog(index: number): Promise<RaftEntry> {
    const stored = this.#entries[this.#placeOf(index)];
    if (stored?.index !== index) throw new LogNotFoundError(index);
    try {
      const data = await this.#log.read(stored.position);
      return { index, term: stored.term, type: stored.type, data };
    } catch (error) {
      // It was deleted in the meantime.
      if (error instanceof WalError && error.code === 'WAL_POSITION_GONE') throw new LogNotFoundError(index);
      throw error;
    }
  }

  /** Appends one entry. Resolves when it is durable. */
  async storeLog(entry: RaftEntry): Promise<void> {
    await this.storeLogs([entry]);
  }

  /** Appends entries: after a crash all of them are there or none. Resolves when they are durable. */
  async storeLogs(entries: readonly RaftEntry[]): Promise<void> {
    let last = this.lastIndex;
    for (const { index } of entries) {
      if (index <= last) throw new RangeError(`index ${index} is not after ${last}: delete what it contradicts first`);
      last = index;
    }
    const written = await this.#log.appendBatch(entries.map((entry) => [encodeHeader(entry), entry.data]));
    for (const [i, { id, chunks: [, data] }] of written.entries()) {
      const { index, term, type } = entries[i];
      this.#entries.push({ index, term, type, id, position: data.position });
    }
  }

  /** Deletes the entries from `min` to `max`: the first ones, or the last ones. Resolves when that is durable. */
  async deleteRange(min: number, max: number): Promise<void> {
    const [from, to] = [this.#placeOf(min), this.#placeOf(max + 1)];
    if (from >= to) return;
    if (from === 0) {
      await this.#beginning.advance(this.#entries[to - 1].id + 1);
      await this.#dropPrefix();
    } else if (to === this.#entries.length) {
      await this.#log.truncateAfter(this.#entries[from - 1].id);
      this.#entries.length = from;
    } else {
      throw new RangeError(`${min} to ${max} is in the middle of ${this.firstIndex} to ${this.lastIndex}`);
    }
  }

  async close(): Promise<void> {
    await this.#log.shutdown();
  }

  /** Forgets what comes before the beginning, and frees the segments that contain nothing else. */
  async #dropPrefix(): Promise<void> {
    const { from } = this.#beginning;
    const kept = this.#entries.findIndex(({ id }) => id >= from);
    this.#entries.splice(0, kept < 0 ? Infinity : kept);
    await this.#log.truncateBefore(from);
  }

  async #recover(entry: Entry): Promise<void> {
    const chunks: EntryChunk[] = [];
    for await (const chunk of entry) chunks.push(chunk);
    const [header, data] = chunks;
    this.#entries.push({ ...decodeHeader(await header.readAll()), id: entry.id, position: data.position });
  }

  /** Where the entry with `index` is in `#entries`, or where it would be. */
  #placeOf(index: number): number {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#entries[middle].index < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * The checkpoint of a segment, which stays where it is: this waits until `truncateBefore` has freed the segment or the
 * log is closed, and rejects with the reason of that, which is no failure.
 */
function keepUntilFreed(
  _lastId: EntryId, _segment: SegmentReader, _log: WriteAheadLog, signal: AbortSignal,
): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

function encodeHeader({ index, term, type }: RaftEntry): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeBigUInt64LE(BigInt(index), 0);
  header.writeBigUInt64LE(BigInt(term), 8);
  header.writeUInt8(type, 16);
  return header;
}

function decodeHeader(bytes: Uint8Array): Omit<RaftEntry, 'data'> {
  const header = Buffer.from(bytes);
  const [index, term] = [Number(header.readBigUInt64LE(0)), Number(header.readBigUInt64LE(8))];
  return { index, term, type: header.readUInt8(16) };
}
