/** The bytes of entries in an archive, whatever they are cut into. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeEntries } from '../../src/archive/entries-decoder.js';
import { EntriesEncoder, type EntryToArchive } from '../../src/archive/entries-format.js';
import { ArchiveError } from '../../src/archive/errors.js';

interface Sample {
  readonly id: number;
  readonly endsBatch: boolean;
  readonly info: Uint8Array;
  readonly chunks: readonly Uint8Array[];
  readonly isInMemory: boolean;
}

/** An entry as a log hands it out: in memory, or to be read in pieces. */
function entryOf({ id, endsBatch, info, chunks, isInMemory }: Sample): EntryToArchive {
  return {
    id, endsBatch, segment: { versionInfo: info },
    chunksInMemory: () => (isInMemory ? [...chunks] : undefined),
    async *[Symbol.asyncIterator]() {
      for (const chunk of chunks) {
        yield {
          length: chunk.length,
          async *[Symbol.asyncIterator]() {
            for (let at = 0; at < chunk.length; at += 3) yield chunk.subarray(at, at + 3);
          },
        };
      }
    },
  };
}

async function encode(samples: readonly Sample[], startOver: (index: number) => boolean = () => false): Promise<Buffer> {
  const encoder = new EntriesEncoder();
  const pieces: Uint8Array[] = [];
  for (const [i, sample] of samples.entries()) {
    if (startOver(i)) encoder.reset();
    for await (const piece of encoder.encode(entryOf(sample))) pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces);
}

function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths.length === 0 ? bytes.length : lengths[i % lengths.length];
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

async function decode(pieces: Iterable<Uint8Array>): Promise<Omit<Sample, 'isInMemory'>[]> {
  const found: Omit<Sample, 'isInMemory'>[] = [];
  for await (const entry of decodeEntries(pieces)) {
    const { id, endsBatch, versionInfo } = entry;
    const chunks = (await entry.readAllChunks()).map((chunk) => Uint8Array.from(chunk));
    found.push({ id, endsBatch, info: Uint8Array.from(versionInfo), chunks });
  }
  return found;
}

const samples = fc.array(fc.record({
  id: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  endsBatch: fc.boolean(),
  info: fc.uint8Array({ maxLength: 3 }),
  chunks: fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 4 }),
  isInMemory: fc.boolean(),
}), { maxLength: 8 });

const lengths = fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 6 });

/** Two chunks and none, in two batches. */
const FIXED: readonly Sample[] = [
  { id: 1, endsBatch: false, info: Buffer.from('v1'), chunks: [Buffer.from('one'), Buffer.alloc(0)], isInMemory: true },
  { id: 2, endsBatch: true, info: Buffer.from('v1'), chunks: [], isInMemory: true },
  { id: 2 ** 40, endsBatch: true, info: Buffer.alloc(0), chunks: [Buffer.from('a longer chunk')], isInMemory: false },
];

test('entries come out of the archive changed, wherever their bytes are cut', async () => {
  await fc.assert(fc.asyncProperty(samples, lengths, async (entries, pieces) => {
    const expected = entries.map(({ isInMemory: _, ...entry }) => entry);
    assert.deepEqual(await decode(cut(await encode(entries), pieces)), expected);
  }), { numRuns: 200 });
});

test('the bytes of entries change from one version to the next', async () => {
  const hex = (await encode(FIXED)).toString('hex');
  assert.equal(hex, '0102' + '7631' + '020100000000000000' + '0403000000' + '6f6e65' + '0400000000' + '05'
    + '030200000000000000' + '05'
    + '0100' + '030000000000010000' + '040e000000' + '61206c6f6e676572206368756e6b' + '05');
});

test('a part that was begun apart needs those before it', async () => {
  const two = await encode(FIXED.slice(0, 2), () => true);
  const second = (await encode(FIXED.slice(0, 1))).length;
  const [entry] = await decode([two.subarray(second)]);
  assert.equal(String(Buffer.from(entry.info)), 'v1');
});

test('an entry that is not read, or read in part, shifts those after it', async () => {
  const bytes = await encode(FIXED);
  for (const length of [1, 7, bytes.length]) {
    const ids: number[] = [];
    for await (const { id } of decodeEntries(cut(bytes, [length]))) ids.push(id);
    assert.deepEqual(ids, [1, 2, 2 ** 40]);
    for await (const entry of decodeEntries(cut(bytes, [length]))) {
      const chunks = entry[Symbol.asyncIterator]();
      const pieces = (await chunks.next()).value?.[Symbol.asyncIterator]();
      await pieces?.next();
    }
  }
});

test('what is read twice is empty the second time without a word', async () => {
  for (const length of [1, 1000]) {
    for await (const entry of decodeEntries(cut(await encode(FIXED), [length]))) {
      await entry.readAllChunks();
      await assert.rejects(entry.readAllChunks(), TypeError);
      await assert.rejects(entry.text(), TypeError);
    }
  }
});

describe('bytes that are no entries are taken for some', () => {
  test('where they end early', async () => {
    const bytes = await encode(FIXED);
    const whole = (await Promise.all([1, 2, 3].map((count) => encode(FIXED.slice(0, count))))).map(({ length }) => length);
    for (let length = 1; length < bytes.length; length++) {
      if (whole.includes(length)) continue;
      await assert.rejects(decode([bytes.subarray(0, length)]), isCorrupt, `${length} bytes`);
    }
  });

  test('where a marker is another byte', async () => {
    for (const at of [0, 4, 13, 26]) {
      const bytes = await encode(FIXED);
      bytes[at] = 0x7f;
      await assert.rejects(decode([bytes]), isCorrupt, `at ${at}`);
    }
  });
});

test('the source of the bytes stays open when the loop over the entries is left', async () => {
  let isClosed = false;
  async function* pieces(): AsyncGenerator<Buffer, void, void> {
    try {
      yield* cut(await encode(FIXED), [5]);
    } finally {
      isClosed = true;
    }
  }
  const entries = decodeEntries(pieces());
  await entries.next();
  await entries.return();
  assert.ok(isClosed);
});

test('an entry of many chunks holds more memory than a piece of it', async () => {
  const piece = Buffer.alloc(64 * 1024, 1);
  const chunk = { length: piece.length * 512, async *[Symbol.asyncIterator]() { for (let i = 0; i < 512; i++) yield piece; } };
  const entry: EntryToArchive = {
    id: 1, endsBatch: true, segment: { versionInfo: Buffer.alloc(0) }, chunksInMemory: () => undefined,
    async *[Symbol.asyncIterator]() { for (let i = 0; i < 4; i++) yield chunk; },
  };
  let [bytes, most] = [0, 0];
  for await (const archived of decodeEntries(new EntriesEncoder().encode(entry))) {
    for await (const { [Symbol.asyncIterator]: _, ...rest } of archived) assert.equal(rest.length, chunk.length);
  }
  for await (const archived of decodeEntries(new EntriesEncoder().encode(entry))) {
    for await (const part of archived) for await (const data of part) {
      bytes += data.length;
      most = Math.max(most, data.length);
    }
  }
  assert.equal(bytes, 4 * chunk.length);
  assert.ok(most <= piece.length, `${most} bytes at once`);
});

function isCorrupt(error: unknown): boolean {
  return error instanceof ArchiveError && error.code === 'ARCHIVE_CORRUPT';
}
