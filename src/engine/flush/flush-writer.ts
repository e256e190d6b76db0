import { flushChannel, traced } from '../../base/channels.js';
import type { FileHandle } from '../../files/file-manager.js';
import {
  canBlock, writeFully, writeFullyBlocking, writeFullyVolatile, type BlockingFileHandle,
} from '../../files/transfer.js';
import type { Flush } from '../../segment/segment-encoder.js';
import type { Segment } from '../../segment/segment.js';

/** What has been written to a segment but not synced. */
export interface Unsynced {
  readonly segment: Segment;
  /** After the last complete entry written, and its id. */
  readonly committedEnd: number;
  readonly committedId: number;
}

/**
 * Writes flushes. A flush is made durable by the write itself where the file can do that. One that nothing needs to be
 * durable yet is only handed to the operating system; the next that is needed then takes a write and a sync, which
 * covers both.
 */
export class FlushWriter {
  readonly #directory: string;
  readonly #isBlocking: boolean;
  #unsynced: Unsynced | undefined;

  constructor(directory: string, isBlocking: boolean) {
    this.#directory = directory;
    this.#isBlocking = isBlocking;
  }

  /** What only a sync makes durable. */
  get unsynced(): Unsynced | undefined {
    return this.#unsynced;
  }

  /** Whether a flush to `file` is written on the calling thread. */
  canBlock(file: FileHandle): file is BlockingFileHandle {
    return this.#isBlocking && canBlock(file);
  }

  /** Writes a flush and makes it durable, on the calling thread. */
  writeBlocking(flush: Flush, file: BlockingFileHandle): void {
    const write = (): void => {
      if (flush.patch !== undefined) writeFullyBlocking(file, [flush.patch.bytes], flush.patch.offset);
      writeFullyBlocking(file, flush.parts, flush.offset);
    };
    if (flushChannel.hasSubscribers) flushChannel.traceSync(write, this.#describe(flush, true));
    else write();
  }

  write(flush: Flush, isDurable: boolean): Promise<void> {
    return traced(flushChannel, () => this.#describe(flush, isDurable), () => this.#write(flush, isDurable));
  }

  /** A flush has been written, and is not durable. */
  written({ encoder: { segment }, commits: { end: committedEnd, id: committedId } }: Flush): void {
    this.#unsynced = { segment, committedEnd, committedId };
  }

  /** Everything that was written is durable. */
  synced(): void {
    this.#unsynced = undefined;
  }

  async #write({ encoder, parts, offset, patch }: Flush, isDurable: boolean): Promise<void> {
    const { file } = encoder.segment;
    if (isDurable && file.durableWrites && this.#unsynced === undefined) {
      if (patch !== undefined) await writeFully(file, [patch.bytes], patch.offset);
      return writeFully(file, parts, offset);
    }
    // A durable write covers its own bytes alone; only a sync covers those that were written before.
    if (patch !== undefined) await writeFullyVolatile(file, [patch.bytes], patch.offset);
    await writeFullyVolatile(file, parts, offset);
    if (isDurable) await file.sync();
  }

  #describe({ encoder, offset, length, commits: { entryCount } }: Flush, isDurable: boolean): object {
    const { segmentId } = encoder.segment;
    return { directory: this.#directory, segmentId, offset, bytes: length, entries: entryCount, isDurable };
  }
}
