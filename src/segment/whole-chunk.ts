import { assert } from '../base/assert.js';
import { WalError } from '../base/errors.js';
import * as format from '../format/segment-format.js';
import type { Segment } from './segment.js';

/** A chunk of up to 4 KiB is read whole together with its header, in one call. */
export const PROBE_BYTES = format.CHUNK_OVERHEAD + 4096;

/** Probes that are not being read into. More would only hold memory after a burst of reads. */
const MAX_IDLE_PROBES = 64;
const idleProbes: Buffer[] = [];

/** How far the first and the last of the chunks that are read together may be apart. */
export const MAX_SPAN_BYTES = 512 * 1024;
const BLOCK_BYTES = MAX_SPAN_BYTES + PROBE_BYTES;
const MAX_IDLE_BLOCKS = 2;
const idleBlocks: Buffer[] = [];

/** The data of the chunk at `offset`, which must end by `limit`, read and verified on the calling thread. */
export function readChunkSync(segment: Segment, offset: number, limit: number): Uint8Array {
  const probe = idleProbes.pop() ?? Buffer.allocUnsafeSlow(PROBE_BYTES);
  const read = segment.readSync(probe, offset);
  const length = chunkLength(segment, offset, limit, probe, read);
  if (format.CHUNK_OVERHEAD + length <= read) return takeChunk(segment, offset, probe, length);
  const rest = beginRest(probe, read, length);
  const at = read - format.CHUNK_HEADER_LENGTH;
  return finishRest(segment, offset, rest, at + segment.readSync(rest.subarray(at), offset + read));
}

/** The same on the thread pool. The segment must stay pinned until this settles. */
export async function readChunk(segment: Segment, offset: number, limit: number): Promise<Uint8Array> {
  const probe = idleProbes.pop() ?? Buffer.allocUnsafeSlow(PROBE_BYTES);
  const read = await segment.read(probe, offset);
  const length = chunkLength(segment, offset, limit, probe, read);
  if (format.CHUNK_OVERHEAD + length <= read) return takeChunk(segment, offset, probe, length);
  const rest = beginRest(probe, read, length);
  const at = read - format.CHUNK_HEADER_LENGTH;
  return finishRest(segment, offset, rest, at + await segment.read(rest.subarray(at), offset + read));
}

/** A chunk of those that are read together: where it begins, and what is done with its data. */
export interface Neighbour {
  readonly offset: number;
  take(this: void, data: Uint8Array): void;
}

/**
 * Reads chunks that stand close together, in the order of their offsets, in one call; those that are longer than
 * expected on their own. As with `readChunk`.
 */
export async function readNeighbours(segment: Segment, chunks: readonly Neighbour[], limit: number): Promise<void> {
  const [{ offset: from }] = chunks;
  const end = Math.min(chunks[chunks.length - 1].offset + PROBE_BYTES, limit);
  assert(end - from <= BLOCK_BYTES, 'neighbours fit into a block');
  const block = idleBlocks.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
  const read = await segment.read(block.subarray(0, end - from), from);
  for (const { offset, take } of chunks) {
    const record = block.subarray(offset - from, read);
    const length = chunkLength(segment, offset, limit, record, record.length);
    if (format.CHUNK_OVERHEAD + length > record.length) take(await readChunk(segment, offset, limit));
    else take(copyChunk(segment, offset, record, length));
  }
  keepIdle(idleBlocks, MAX_IDLE_BLOCKS, block);
}

/**
 * The length of the data of the chunk at `offset`, of which `bytes` has the first `read` bytes. Throws `WAL_CORRUPT` if
 * no chunk begins there, or none that ends by `limit`.
 */
export function chunkLength(segment: Segment, offset: number, limit: number, bytes: Buffer, read: number): number {
  if (read >= format.CHUNK_HEADER_LENGTH && bytes[0] === format.CHUNK_MARKER) {
    const length = format.decodeChunkLength(bytes, 0);
    if (offset + format.CHUNK_OVERHEAD + length <= limit) return length;
  }
  const { segmentId } = segment;
  const message = `no chunk begins at offset ${offset} of segment ${segmentId}: ` +
    'the position comes from another log or from an entry that was never committed, or the segment is damaged';
  throw new WalError('WAL_CORRUPT', message, { segmentId, offset });
}

/** The error for a chunk that is not what was written. */
export function damagedChunk({ segmentId }: Segment, offset: number): WalError {
  const message = `the chunk at offset ${offset} of segment ${segmentId} is damaged`;
  return new WalError('WAL_CORRUPT', message, { segmentId, offset });
}

/** The error for a chunk that ends after its file. */
export function cutOffChunk({ segmentId }: Segment, offset: number): WalError {
  const message = `segment ${segmentId} ends within the chunk at offset ${offset}`;
  return new WalError('WAL_CORRUPT', message, { segmentId, offset });
}

/** Keeps memory that is no longer read into for the next read, unless there is enough of it. */
function keepIdle(idle: Buffer[], most: number, memory: Buffer): void {
  if (idle.length < most) idle.push(memory);
}

/** The verified data of a chunk that is whole in `probe`, which is not the caller's any more. */
function takeChunk(segment: Segment, offset: number, probe: Buffer, length: number): Uint8Array {
  verify(segment, offset, probe, format.CHUNK_HEADER_LENGTH, length);
  const data = probe.subarray(format.CHUNK_HEADER_LENGTH, format.CHUNK_HEADER_LENGTH + length);
  // A small chunk is copied: it would keep all of the probe alive.
  if (length * 2 >= PROBE_BYTES) return data;
  const copy = Buffer.from(data);
  keepIdle(idleProbes, MAX_IDLE_PROBES, probe);
  return copy;
}

/** The verified data of a chunk that is whole at the beginning of `record`. */
function copyChunk(segment: Segment, offset: number, record: Buffer, length: number): Uint8Array {
  verify(segment, offset, record, format.CHUNK_HEADER_LENGTH, length);
  return Buffer.from(record.subarray(format.CHUNK_HEADER_LENGTH, format.CHUNK_HEADER_LENGTH + length));
}

/** Memory for the data and the checksum of a chunk, with what `probe` has of them. */
function beginRest(probe: Buffer, read: number, length: number): Buffer {
  const rest = Buffer.allocUnsafeSlow(length + format.CHUNK_CRC_LENGTH);
  probe.copy(rest, 0, format.CHUNK_HEADER_LENGTH, read);
  keepIdle(idleProbes, MAX_IDLE_PROBES, probe);
  return rest;
}

/** The verified data of the chunk whose data and checksum `rest` holds, if all of it has been filled. */
function finishRest(segment: Segment, offset: number, rest: Buffer, filled: number): Uint8Array {
  if (filled < rest.length) throw cutOffChunk(segment, offset);
  const length = rest.length - format.CHUNK_CRC_LENGTH;
  verify(segment, offset, rest, 0, length);
  return rest.subarray(0, length);
}

/** Checks the `length` bytes from `from` on: the data of the chunk at `offset`, which its CRC follows. */
function verify(segment: Segment, offset: number, bytes: Buffer, from: number, length: number): void {
  const { chunkChecksum } = segment.format;
  const crc = chunkChecksum.update(chunkChecksum.begin(length, segment.seed, offset), bytes, from, from + length);
  if (crc !== format.decodeChunkCrc(bytes, from + length)) throw damagedChunk(segment, offset);
}
