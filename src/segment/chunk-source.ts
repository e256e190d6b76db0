import type { ChunkChecksum } from '../format/format.js';
import * as format from '../format/segment-format.js';
import type { LogPosition } from '../model/log-position.js';
import type { Segment } from './segment.js';
import { chunkLength, cutOffChunk, damagedChunk, PROBE_BYTES } from './whole-chunk.js';

const STREAM_BYTES = 256 * 1024;

/**
 * Reads one chunk from its segment's file, in order, and checks it on the way. The caller keeps the
 * segment pinned.
 */
export class ChunkSource {
  readonly length: number;
  readonly position: LogPosition;
  readonly #segment: Segment;
  readonly #checksum: ChunkChecksum;
  /** The bytes behind the header that came with it. */
  readonly #probe: Buffer;
  #consumed = 0;
  #crc: number;
  #storedCrc: number | undefined;

  private constructor(segment: Segment, position: LogPosition, length: number, probe: Buffer) {
    this.#segment = segment;
    this.position = position;
    this.length = length;
    this.#checksum = segment.format.chunkChecksum;
    this.#crc = this.#checksum.begin(length, segment.seed, position.offset);
    this.#probe = probe;
  }

  /** Opens the chunk at `position`, which must end within the segment's first `limit` bytes. */
  static async open(segment: Segment, position: LogPosition, limit: number): Promise<ChunkSource> {
    const { offset } = position;
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(PROBE_BYTES, limit - offset)));
    const read = await segment.read(bytes, offset);
    const length = chunkLength(segment, offset, limit, bytes, read);
    const probe = bytes.subarray(format.CHUNK_HEADER_LENGTH, Math.min(read, format.CHUNK_HEADER_LENGTH + length + 4));
    return new ChunkSource(segment, position, length, probe);
  }

  get bytesRemaining(): number {
    return this.length - this.#consumed;
  }

  /**
   * Fills `target` with what comes next, up to the chunk's end. Resolves with the number of bytes read, 0 at the end.
   */
  async read(target: Uint8Array): Promise<number> {
    const count = Math.min(target.length, this.bytesRemaining);
    const wanted = target.subarray(0, count);
    const fromProbe = this.#probe.subarray(this.#consumed, this.#consumed + count);
    wanted.set(fromProbe);
    const have = fromProbe.length;
    if (have < count) await this.#readExactly(wanted.subarray(have), this.#consumed + have);
    this.#crc = this.#checksum.update(this.#crc, wanted);
    this.#consumed += count;
    return count;
  }

  /** Whether the bytes read are those that were written. Only when all of them have been read. */
  async isValid(): Promise<boolean> {
    if (this.#storedCrc === undefined) {
      const stored = Buffer.alloc(4);
      const behind = this.#probe.subarray(this.length, this.length + 4);
      if (behind.length === 4) stored.set(behind);
      else await this.#readExactly(stored, this.length);
      this.#storedCrc = stored.readUInt32LE(0);
    }
    return this.#storedCrc === this.#crc;
  }

  /** The rest of the chunk, all of which is verified. Throws `WAL_CORRUPT` if it is damaged. */
  async readRest(): Promise<Uint8Array> {
    const rest = this.#takeProbe() ?? Buffer.allocUnsafeSlow(this.bytesRemaining);
    if (this.bytesRemaining > 0) await this.read(rest);
    await this.assertValid();
    return rest;
  }

  /** The rest of the chunk piece by piece; the last piece is followed by a check of the whole. */
  async *stream(): AsyncGenerator<Uint8Array, void, void> {
    while (this.bytesRemaining > 0) {
      const piece = Buffer.allocUnsafeSlow(Math.min(STREAM_BYTES, this.bytesRemaining));
      await this.read(piece);
      yield piece;
    }
    await this.assertValid();
  }

  async assertValid(): Promise<void> {
    if (!await this.isValid()) throw damagedChunk(this.#segment, this.position.offset);
  }

  /**
   * The whole chunk, if it came with the header and fills most of what was read: a smaller one would keep all of that
   * alive.
   */
  #takeProbe(): Uint8Array | undefined {
    if (this.#consumed > 0 || this.length * 2 < PROBE_BYTES || this.length + 4 > this.#probe.length) return undefined;
    const data = this.#probe.subarray(0, this.length);
    this.#crc = this.#checksum.update(this.#crc, data);
    this.#consumed = this.length;
    return data;
  }

  async #readExactly(target: Uint8Array, from: number): Promise<void> {
    const offset = this.position.offset + format.CHUNK_HEADER_LENGTH + from;
    const read = await this.#segment.read(target, offset);
    if (read < target.length) throw cutOffChunk(this.#segment, this.position.offset);
  }
}
