/** What the writers write that get killed: entries whose whole content follows from who wrote them and when. */
import fs from 'node:fs';
import type { Entry, SegmentReader, WalOptions } from '../../src/index.js';
import { Random } from '../support/random.js';

export const WRITERS = 16;

/** Small enough for a round to fill, checkpoint and recycle several segments. */
export const OPTIONS: WalOptions = {
  preallocateBytes: 64 * 1024, checkpointAfterBytes: 40 * 1024, bufferBytes: 16 * 1024, maxPendingBytes: 256 * 1024,
};

/** Who wrote an entry: its round, its writer, and the number of the entry for that writer. */
export interface Author {
  readonly round: number;
  readonly writer: number;
  readonly number: number;
}

const AUTHOR_BYTES = 12;

/** The chunks of an entry. The first names its author. */
export function chunksBy({ round, writer, number }: Author): Buffer[] {
  const random = new Random((round * WRITERS + writer) * 2 ** 24 + number);
  const author = Buffer.alloc(AUTHOR_BYTES);
  [round, writer, number].forEach((value, i) => author.writeUInt32LE(value, i * 4));
  const chunks = Array.from({ length: random.pick([0, 0, 0, 1, 3]) }, () => Buffer.from(random.bytes(random.below(300))));
  // Now and then one that no segment can hold.
  const length = random.oneIn(300) ? 100_000 : random.below(random.pick([50, 50, 2000]));
  return [Buffer.concat([author, random.bytes(length)]), ...chunks];
}

/** Who wrote `chunks`. Throws if they are not, byte for byte, what that author wrote. */
export function authorOf(chunks: readonly Uint8Array[]): Author {
  const first = Buffer.from(chunks[0] ?? []);
  if (first.length < AUTHOR_BYTES) throw new Error(`an entry of ${chunks.length} chunks, the first of ${first.length} bytes, has no author`);
  const author = { round: first.readUInt32LE(0), writer: first.readUInt32LE(4), number: first.readUInt32LE(8) };
  const written = chunksBy(author);
  const isWhole = chunks.length === written.length && chunks.every((chunk, i) => written[i].equals(chunk));
  if (!isWhole) throw new Error(`an entry that claims to be ${keyOf(author)} has other bytes`);
  return author;
}

export function keyOf({ round, writer, number }: Author): string {
  return `${round} ${writer} ${number}`;
}

export async function entryLine(entry: Entry): Promise<string> {
  return `${entry.id} ${keyOf(authorOf(await entry.readAllChunks()))}\n`;
}

/** Adds a segment's entries to the file they are kept in from then on, one line each, durably. */
export async function persist(file: string, segment: SegmentReader): Promise<void> {
  const descriptor = fs.openSync(file, 'a');
  try {
    for await (const entry of segment) fs.writeSync(descriptor, await entryLine(entry));
    fs.fdatasyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
