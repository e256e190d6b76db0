import { WalError } from '../base/errors.js';
import { readHeader, readHeaderSync } from './segment-header.js';
import { Segment } from './segment.js';

/**
 * A segment in a directory that another process may own and go on using. Its file can become another segment's at
 * any time: what was read is believed only if the file is still this segment's afterwards. Otherwise reading
 * rejects with `WAL_POSITION_GONE`.
 */
export class SharedSegment extends Segment {
  /** The largest size seen. */
  #size = 0;

  override async read(target: Uint8Array, offset: number): Promise<number> {
    const read = await super.read(target, offset);
    if (read < target.length) await this.size();
    await this.#assertThere(offset);
    return read;
  }

  override readSync(target: Uint8Array, offset: number): number {
    const read = super.readSync(target, offset);
    if (offset + read < Math.min(offset + target.length, this.#size)) throw this.#gone(offset);
    this.#assertHeader(readHeaderSync((bytes, from) => super.readSync(bytes, from)), offset);
    return read;
  }

  override async size(): Promise<number> {
    const size = await super.size();
    // A segment never gets shorter. Its file is cut back only to be used again, before it gets the new header.
    if (size < this.#size) throw this.#gone(size);
    this.#size = size;
    return size;
  }

  /** A file that is used again gets its new header before anything else in it is written over. */
  async #assertThere(offset: number): Promise<void> {
    this.#assertHeader(await readHeader((target, from) => super.read(target, from)), offset);
  }

  #assertHeader(header: Awaited<ReturnType<typeof readHeader>>, offset: number): void {
    const isThere = header !== undefined && 'seed' in header
      && header.seed === this.seed && header.format === this.format;
    if (!isThere) throw this.#gone(offset);
  }

  #gone(offset: number): WalError {
    const { segmentId } = this;
    const message = `segment ${segmentId} has been checkpointed, and its file been used again`;
    return new WalError('WAL_POSITION_GONE', message, { segmentId, offset });
  }
}
