import type {
  Entry, EntryId, LogManager, RecoveredSegment, Recovery, SegmentReader, WriteAheadLog,
} from 'segmented-wal';
import type { SnapshotFile } from 'segmented-wal/snapshot';
import { decodeChanges, encodeChanges } from './changes.js';
import { SortedPairs, type Change } from './sorted-pairs.js';

/** Tells in the header of each segment what its entries are: see `encodeChanges`. */
export const VERSION_INFO = Buffer.from('level 1');

/** How many bytes of the snapshot are encoded at once, or a little more. */
const BLOCK_BYTES = 64 * 1024;

/**
 * The engine: all pairs in memory, always as they are after one certain entry of the log. `open` loads what was
 * checkpointed, `recover` applies the entries after that, and `apply` each new one, when the log says that it is
 * durable: in the order of the ids, since `onCommitted` calls it.
 *
 * So a checkpoint needs no look at its segment. It saves what is in memory with the id of the last entry that is in it,
 * and that entry can be far ahead of the segment, because everything in memory is durable. Each checkpoint writes all
 * pairs, which suits a database that is not much larger than a segment.
 */
export class State implements LogManager {
  readonly pairs = new SortedPairs();
  readonly #file: SnapshotFile;
  /** The last entry that is in `pairs`, with all before it. */
  #lastId: EntryId = 0;
  /** The last entry that is in the snapshot. */
  #savedId: EntryId = 0;

  constructor(file: SnapshotFile) {
    this.#file = file;
  }

  apply(id: EntryId, changes: Iterable<Change>): void {
    for (const change of changes) this.pairs.apply(change);
    this.#lastId = id;
  }

  /** Resolves with the last entry that is loaded. The log delivers only those after it. */
  async open(): Promise<EntryId> {
    const snapshot = await this.#file.load();
    if (snapshot === undefined) return 0;
    this.apply(snapshot.lastId, decodeChanges(bufferOf(await snapshot.bytes())));
    this.#savedId = snapshot.lastId;
    return snapshot.lastId;
  }

  shouldRecoverSegment({ versionInfo }: RecoveredSegment): Recovery {
    if (VERSION_INFO.equals(versionInfo)) return 'recover';
    throw new Error(`not the log of a level: its segments say ${JSON.stringify(bufferOf(versionInfo).toString())}`);
  }

  async recover(entry: Entry): Promise<void> {
    const [bytes] = await entry.readAllChunks();
    this.apply(entry.id, decodeChanges(bufferOf(bytes)));
  }

  async checkpointTo(
    lastId: EntryId, _segment: SegmentReader, _log: WriteAheadLog, signal: AbortSignal,
  ): Promise<void> {
    // The snapshot that an earlier segment has led to may include this one.
    if (lastId <= this.#savedId) return;
    const savedId = this.#lastId;
    await this.#file.save(savedId, contentOf(this.pairs.snapshot()), { signal });
    this.#savedId = savedId;
  }
}

/** The puts that make these pairs, in blocks. A block is encoded once the one before has been written. */
function* contentOf(pairs: SortedPairs): Generator<Uint8Array, void, void> {
  let block: Change[] = [];
  let bytes = 0;
  for (const [key, value] of pairs.range()) {
    block.push({ key, value });
    bytes += key.length + value.length;
    if (bytes < BLOCK_BYTES) continue;
    yield encodeChanges(block);
    [block, bytes] = [[], 0];
  }
  yield encodeChanges(block);
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
