import { WalError } from '../base/errors.js';
import * as format from '../format/segment-format.js';
import { LogPosition } from '../model/log-position.js';
import { ChunkSource } from './chunk-source.js';
import { RecordScanner, type ScanStart } from './record-scanner.js';
import type { Segment } from './segment.js';

/** What stands before the first chunk of an entry is found in so many bytes: records of fixed length, and marks. */
const LOOK_BACK_BYTES = 512;
const FORMAT_0_BLOCK_BYTES = 1024 * 1024;

/**
 * Where a scan begins whose first entry is the one that begins with the chunk at `offset`, within the segment's first
 * `end` bytes. Rejects with `WAL_NO_ENTRY` if that chunk is a later one of its entry, and with `WAL_CORRUPT` if there
 * is no chunk.
 *
 * Nothing leads back from a later chunk to the beginning of its entry: lengths are stated before the data. Before the
 * first chunk stands the entry's own record, and before that the chain that the entry continues. The scan that begins
 * there proves both: the end of the entry is valid only after the right ones.
 */
export async function findEntryStart(segment: Segment, offset: number, end: number): Promise<ScanStart> {
  const { isLinked } = segment.format;
  const start = isLinked ? await startBefore(segment, offset) : await startInFormat0(segment, offset, end);
  if (start !== undefined) return start;
  const { segmentId } = segment;
  const source = await ChunkSource.open(segment, new LogPosition(segmentId, offset), end);
  for await (const piece of source.stream()) void piece;
  const message = `no entry begins with the chunk at offset ${offset} of segment ${segmentId}: ` +
    'it is a later one of its entry';
  throw new WalError('WAL_NO_ENTRY', message, { segmentId, offset });
}

async function startBefore(segment: Segment, offset: number): Promise<ScanStart | undefined> {
  const from = Math.max(segment.start, offset - LOOK_BACK_BYTES);
  const bytes = Buffer.alloc(offset - from);
  await segment.read(bytes, from);
  // Marks may stand between any two records.
  const beforeMarks = (at: number): number => {
    while (at - format.MARK_LENGTH >= from && isMark(at - format.MARK_LENGTH)) at -= format.MARK_LENGTH;
    return at;
  };
  const isMark = (at: number): boolean => format.decodeMark(bytes, at - from, segment.seed, at) !== undefined;

  const at = beforeMarks(offset) - format.ENTRY_LENGTH;
  // The link that begins a segment is longer than an end, so every entry has what it continues before it.
  if (at - format.END_LENGTH < from || bytes[at - from] !== format.ENTRY_MARKER) return undefined;
  const id = format.decodeEntryId(bytes, at - from);
  if (id <= segment.idBefore || id >= Number.MAX_SAFE_INTEGER) return undefined;
  // An end, a join or a link: each ends with the chain after it.
  const chain = format.decodeChunkCrc(bytes, beforeMarks(at) - format.CHUNK_CRC_LENGTH - from);
  return { at, chain, lastId: id - 1 };
}

/** Without a chain nothing proves that an entry begins there but the entries before it. */
async function startInFormat0(segment: Segment, offset: number, end: number): Promise<ScanStart | undefined> {
  const scanner = await RecordScanner.open(segment, { blockBytes: FORMAT_0_BLOCK_BYTES, end });
  for (let entry = await scanner.next(); entry !== undefined; entry = await scanner.next()) {
    if (entry.start === offset - format.ENTRY_LENGTH) return { at: entry.start, chain: 0, lastId: entry.id - 1 };
  }
  return undefined;
}
