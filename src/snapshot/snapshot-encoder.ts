import type { FileHandle } from '../files/file-manager.js';
import { writeFully } from '../files/transfer.js';
import {
  encodeSnapshotHeader, SNAPSHOT_BLOCK_CONTENT, SNAPSHOT_BLOCK_LENGTH, snapshotBlockCrc, snapshotBlockOffset,
} from '../format/snapshot-format.js';
import type { EntryId } from '../model/entry.js';

/** How many blocks one write has. */
const BLOCKS_AT_ONCE = 64;

/** Writes content into a new file, however long it is, in constant memory. */
export class SnapshotEncoder {
  readonly #file: FileHandle;
  readonly #lastId: EntryId;
  readonly #buffer = Buffer.allocUnsafe(BLOCKS_AT_ONCE * SNAPSHOT_BLOCK_LENGTH);
  /** Where the next byte of content goes in `#buffer`. */
  #at = 0;
  /** The number of the first block in `#buffer`. */
  #firstBlock = 0;
  #length = 0;

  constructor(file: FileHandle, lastId: EntryId) {
    this.#file = file;
    this.#lastId = lastId;
  }

  /** Adds bytes to the content. They are copied before this returns, or as the writes before them end. */
  async add(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length;) {
      const room = SNAPSHOT_BLOCK_CONTENT - (this.#at % SNAPSHOT_BLOCK_LENGTH);
      const part = bytes.subarray(from, from + room);
      this.#buffer.set(part, this.#at);
      this.#at += part.length;
      from += part.length;
      if (part.length === room) this.#endBlock();
      if (this.#at === this.#buffer.length) await this.#write();
    }
    this.#length += bytes.length;
  }

  /** Writes what is left, and the header last: before that the file is no snapshot. */
  async finish(): Promise<void> {
    if (this.#at % SNAPSHOT_BLOCK_LENGTH > 0) this.#endBlock();
    await this.#write();
    await writeFully(this.#file, [encodeSnapshotHeader(this.#lastId, this.#length)], 0);
  }

  #endBlock(): void {
    const start = this.#at - (this.#at % SNAPSHOT_BLOCK_LENGTH);
    const block = this.#firstBlock + start / SNAPSHOT_BLOCK_LENGTH;
    const crc = snapshotBlockCrc(this.#lastId, block, this.#buffer.subarray(start, this.#at));
    this.#at = this.#buffer.writeUInt32LE(crc, this.#at);
  }

  async #write(): Promise<void> {
    if (this.#at === 0) return;
    await writeFully(this.#file, [this.#buffer.subarray(0, this.#at)], snapshotBlockOffset(this.#firstBlock));
    this.#firstBlock += BLOCKS_AT_ONCE;
    this.#at = 0;
  }
}
