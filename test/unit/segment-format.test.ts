import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import * as format from '../../src/format/segment-format.js';
import * as tailFormat from '../../src/format/tail-format.js';
import { parseSegmentName } from '../../src/format/file-names.js';
import { LogPosition, LogVoid, MemoryFileManager, WriteAheadLog } from '../../src/index.js';
import { inMemory, pattern, RecordingManager, Storage, TestEnvironment } from '../tools/helpers.js';

/** Fills salts and nonces with 1, 2, 3, … so that a segment is the same in every run. */
class CountingEnvironment extends TestEnvironment {
  override randomFill(target: Uint8Array): void {
    target.forEach((_, i) => (target[i] = i + 1));
  }
}

/** CRC-32 bit by bit, as the standard states it: the library's own must agree with it. */
function plainCrc32(bytes: Uint8Array, start = 0): number {
  let crc = ~start;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

const GOLDEN = [
  '6f6b77 01 00', //                       header: 'okw', version 1, no version info
  '0100000000000000 0102030405060708', //  segment 1, salt
  '48136c5a', //                           CRC of the header: the seed
  '05 0000000000000000 0000000000000000', // link: nothing came before,
  '00000000 0000000000000000', //          no chain, and no id has been given out;
  '01020304 0be92386', //                  nonce, CRC
  '04 3e00000000000000 7a852cbb', //       mark: durable up to 0x3e, CRC
  '01 0100000000000000', //                entry 1
  '02 05000000 68656c6c6f 40b0e4f5', //    chunk of 5 bytes, 'hello', CRC
  '02 05000000 776f726c64 faf56e9c', //    chunk of 5 bytes, 'world', CRC
  '03 cf8553bb', //                        end, chain
].join('').replaceAll(' ', '');

async function goldenSegment(): Promise<Buffer> {
  const storage = new Storage(new MemoryFileManager(), '/wal');
  const log = await storage.open({ environment: new CountingEnvironment(), manager: LogVoid });
  await log.append(['hello', 'world']);
  const bytes = await storage.get('wal-1');
  await log.shutdown();
  return bytes;
}

test('a segment has exactly the bytes that the format states, and zeros behind them', async () => {
  const bytes = await goldenSegment();
  const length = GOLDEN.length / 2;
  assert.equal(bytes.subarray(0, length).toString('hex'), GOLDEN);
  assert.equal(bytes.length, 4096);
  assert.deepEqual(bytes.subarray(length), Buffer.alloc(4096 - length));
});

test('the checksums in a segment can be computed from its description alone', async () => {
  const bytes = await goldenSegment();
  const seed = plainCrc32(bytes.subarray(0, 21));
  const record = (from: number, to: number) => plainCrc32(bytes.subarray(from, to), seed ^ from);
  const u32 = (at: number) => bytes.readUInt32LE(at);
  assert.equal(u32(21), seed);
  assert.equal(u32(58), record(25, 58), 'the link');
  assert.equal(u32(71), record(62, 71), 'the mark');
  assert.equal(u32(94), record(84, 94), "the chunk 'hello'");
  assert.equal(u32(108), record(98, 108), "the chunk 'world'");
  const begun = plainCrc32(bytes.subarray(75, 84), u32(58) ^ 75);
  const chain = plainCrc32(bytes.subarray(108, 112), plainCrc32(bytes.subarray(94, 98), begun));
  assert.equal(u32(113), chain, 'the end');
});

test("the format's worked example is not what the log writes", async () => {
  const page = await readFile(new URL('../../../src/format/README.md', import.meta.url), 'utf8');
  const example = /```hex\n([^`]*)```/.exec(page)?.[1] ?? '';
  const shown = Buffer.from(example.replaceAll(/^[0-9a-f]{4} {2}|\s/gm, ''), 'hex');
  const storage = new Storage(new MemoryFileManager(), '/wal');
  const options = { versionInfo: Buffer.from('v1') };
  const log = await storage.open({ environment: new CountingEnvironment(), manager: LogVoid, options });
  await log.append('hello');
  await log.append(['a', 'b']);
  const written = await storage.get('wal-1');
  await log.shutdown();
  assert.ok(shown.length > 100, 'the page has no example');
  assert.equal(written.subarray(0, shown.length).toString('hex'), shown.toString('hex'));
});

const u53 = fc.maxSafeNat();
const u32 = fc.nat({ max: 0xffff_ffff });
const bytesUpTo = (maxLength: number) => fc.uint8Array({ maxLength });

test('a header says what was written into it', () => {
  const salts = fc.uint8Array({ minLength: 8, maxLength: 8 });
  fc.assert(fc.property(u53, salts, bytesUpTo(255), bytesUpTo(40), (id, salt, info, behind) => {
    const header = format.encodeHeader(id, salt, info);
    const decoded = format.decodeHeader(Buffer.concat([header, behind]).subarray(0, format.MAX_HEADER_LENGTH));
    assert.deepEqual(decoded, {
      format: format.FORMAT_1, versionInfo: Uint8Array.from(info), segmentId: id,
      seed: header.readUInt32LE(header.length - 4), length: header.length,
    });
  }));
});

test('a header with any flipped bit, or cut short anywhere, is not taken for a header of format 1', () => {
  const header = format.encodeHeader(77, pattern(8), pattern(9));
  for (let bit = 0; bit < header.length * 8; bit++) {
    const flipped = Buffer.from(header);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    const file = Buffer.concat([flipped, Buffer.alloc(300)]);
    const decoded = format.decodeHeader(file.subarray(0, format.MAX_HEADER_LENGTH));
    const isOurs = decoded !== undefined && 'format' in decoded && decoded.format === format.FORMAT_1;
    assert.ok(!isOurs, `bit ${bit}`);
  }
  for (let length = 0; length < header.length; length++) {
    assert.equal(format.decodeHeader(header.subarray(0, length)), undefined, `${length} bytes`);
  }
});

test('a link says what was written into it, at its own place and in its own segment only', () => {
  const fields = { previousSegmentId: u53, previousEnd: u53, previousChain: u32, lastId: u53 };
  const link = fc.record(fields, { noNullPrototype: true });
  fc.assert(fc.property(link, u32, u32, u53, u53, (value, nonce, seed, offset, other) => {
    const bytes = Buffer.alloc(format.LINK_LENGTH + 3);
    const chain = format.encodeLink(bytes, 3, seed, offset, value, nonce);
    assert.deepEqual(format.decodeLink(bytes, 3, seed, offset), { ...value, chain });
    assert.equal(format.decodeLink(bytes, 3, seed ^ 1, offset), undefined);
    fc.pre(format.startAt(seed, offset) !== format.startAt(seed, other));
    assert.equal(format.decodeLink(bytes, 3, seed, other), undefined);
  }));
});

test('a mark says what was written into it, at its own place and in its own segment only', () => {
  fc.assert(fc.property(u53, u32, u53, u53, (choice, seed, offset, other) => {
    const durableUpTo = choice % (offset + 1);
    const bytes = Buffer.alloc(format.MARK_LENGTH + 3);
    format.encodeMark(bytes, 3, seed, offset, durableUpTo);
    assert.equal(format.decodeMark(bytes, 3, seed, offset), durableUpTo);
    assert.equal(format.decodeMark(bytes, 3, seed ^ 0x8000_0000, offset), undefined);
    fc.pre(format.startAt(seed, offset) !== format.startAt(seed, other));
    assert.equal(format.decodeMark(bytes, 3, seed, other), undefined);
  }));
});

test('a mark that speaks of what comes behind it is not valid', () => {
  const bytes = Buffer.alloc(format.MARK_LENGTH);
  format.encodeMark(bytes, 0, 5, 100, 101);
  assert.equal(format.decodeMark(bytes, 0, 5, 100), undefined);
});

test('a link or mark with any flipped bit is not valid', () => {
  const value = { previousSegmentId: 3, previousEnd: 4000, previousChain: 5, lastId: 6 };
  const bytes = Buffer.alloc(format.LINK_LENGTH + format.MARK_LENGTH);
  format.encodeLink(bytes, 0, 99, 25, value, 7);
  format.encodeMark(bytes, format.LINK_LENGTH, 99, 62, 62);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3] ^= 1 << (bit & 7);
    const isLink = bit < format.LINK_LENGTH * 8;
    const decoded = isLink ? format.decodeLink(bytes, 0, 99, 25) : format.decodeMark(bytes, format.LINK_LENGTH, 99, 62);
    assert.equal(decoded, undefined, `bit ${bit}`);
    bytes[bit >> 3] ^= 1 << (bit & 7);
  }
});

test("a chunk's checksum binds its length, its data, its segment and its offset", () => {
  fc.assert(fc.property(bytesUpTo(2000), u32, u53, fc.nat(), (data, seed, offset, choice) => {
    const checksum = (bytes: Uint8Array, length: number, from: number, at: number) =>
      format.CHUNK_CHECKSUM.update(format.CHUNK_CHECKSUM.begin(length, from, at), bytes);
    const target = Buffer.alloc(data.length + format.CHUNK_OVERHEAD);
    const crc = format.encodeChunk(target, 0, data, seed, offset);
    assert.equal(format.decodeChunkLength(target, 0), data.length);
    assert.equal(crc, plainCrc32(target.subarray(0, -4), format.startAt(seed, offset)));
    assert.equal(crc, checksum(data, data.length, seed, offset));
    assert.notEqual(crc, checksum(data, data.length ^ (1 << (choice % 31)), seed, offset));
    assert.notEqual(crc, checksum(data, data.length, seed ^ (1 << (choice % 31)), offset));
    assert.notEqual(crc, checksum(data, data.length, seed, offset + 1 + (choice % 1000)));
    if (data.length === 0) return;
    const flipped = Uint8Array.from(data);
    flipped[choice % data.length] ^= 1;
    assert.notEqual(crc, checksum(flipped, data.length, seed, offset));
  }));
});

test("an entry's chain binds its id, its offset, the entry before it and the order of its chunks", () => {
  const distinct = fc.uniqueArray(u32, { minLength: 2, maxLength: 2 });
  fc.assert(fc.property(u32, u53, u53, distinct, (previous, id, offset, [a, b]) => {
    const chain = (from: number, entryId: number, at: number, crcs: number[]) =>
      crcs.reduce(format.extendChain, format.beginChain(from, entryId, at));
    const right = chain(previous, id, offset, [a, b]);
    assert.notEqual(right, chain(previous ^ 1, id, offset, [a, b]));
    assert.notEqual(right, chain(previous, id > 0 ? id - 1 : 1, offset, [a, b]));
    assert.notEqual(right, chain(previous, id, offset > 0 ? offset - 1 : 1, [a, b]));
    assert.notEqual(right, chain(previous, id, offset, [b, a]));
  }));
});

test('the same record never has the same checksum 4 GiB, or any multiple of it, further on', () => {
  const place = fc.tuple(u32, fc.nat({ max: 0xf_ffff }), fc.nat({ max: 0xf_ffff }));
  fc.assert(fc.property(u32, place, (seed, [low, high, otherHigh]) => {
    fc.pre(high !== otherHigh);
    const [here, there] = [high * 0x1_0000_0000 + low, otherHigh * 0x1_0000_0000 + low];
    assert.notEqual(format.startAt(seed, here), format.startAt(seed, there));
    const bytes = Buffer.alloc(format.MARK_LENGTH);
    format.encodeMark(bytes, 0, seed, here, 0);
    assert.equal(format.decodeMark(bytes, 0, seed, here), 0);
    assert.equal(format.decodeMark(bytes, 0, seed, there), undefined);
  }));
});

test('a tail copy says what was written into it, and no flipped bit of its header is believed', () => {
  const tail = fc.record({ segmentId: u53, seed: u32, offset: u53, length: u53 }, { noNullPrototype: true });
  fc.assert(fc.property(tail, fc.nat({ max: tailFormat.TAIL_HEADER_LENGTH * 8 - 1 }), (value, bit) => {
    const header = tailFormat.encodeTailHeader(value);
    assert.deepEqual(tailFormat.decodeTailHeader(header), value);
    header[bit >> 3] ^= 1 << (bit & 7);
    assert.equal(tailFormat.decodeTailHeader(header), undefined);
  }));
});

test('a position survives serialization, and only its own sixteen bytes are read back', () => {
  fc.assert(fc.property(u53, u53, (segmentId, offset) => {
    const position = new LogPosition(segmentId, offset);
    const bytes = position.serialize();
    assert.equal(bytes.length, LogPosition.SERIALIZED_LENGTH);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    assert.equal(view.getBigUint64(0, true), BigInt(segmentId));
    assert.equal(view.getBigUint64(8, true), BigInt(offset));
    assert.ok(LogPosition.deserialize(bytes).equals(position));
  }));
});

test('only names that the log writes itself are taken for segments', () => {
  assert.deepEqual(parseSegmentName('wal-7'), { id: 7, checkpointed: false });
  assert.deepEqual(parseSegmentName('wal-7-cp'), { id: 7, checkpointed: true });
  assert.deepEqual(parseSegmentName('wal-0-cp'), { id: 0, checkpointed: true });
  const foreign = [
    'wal-0', 'wal-01', 'wal-x', 'wal-', 'wal-1.tmp', 'wal-1-', 'wal-1-cp-cp', 'WAL-1', 'xwal-1', 'wal--1', 'wal-1 ',
    'wal-9007199254740993', 'wal-1e3', 'wal-tail', 'LOCK', '',
  ];
  for (const name of foreign) assert.equal(parseSegmentName(name), undefined, name);
});

inMemory('an entry of one chunk costs at most 32 bytes besides its data, a flush at most 16 more', async (storage) => {
  const options = { preallocateBytes: 1024 * 1024, checkpointAfterBytes: 1024 * 1000 };
  const log = await storage.open({ manager: LogVoid, options });
  for (const length of [0, 1, 100, 5000]) {
    const before = log.stats().flushedBytes;
    await log.append(pattern(length));
    const one = log.stats().flushedBytes - before;
    assert.ok(one <= length + 32 + 16, `one entry of ${length} bytes takes ${one}`);
    await Promise.all([log.append(pattern(length)), log.append(pattern(length)), log.append(pattern(length))]);
    const three = log.stats().flushedBytes - before - one;
    assert.ok(three <= 3 * (length + 32) + 16, `three entries of ${length} bytes in one flush take ${three}`);
  }
});

/** The bit that makes version 1 version 0. */
const VERSION_BIT = 3 * 8;

inMemory('a version byte that was damaged from 1 to 0 does not make a whole log look empty', async (storage) => {
  const log = await storage.open();
  await log.append('hello');
  await log.shutdown();
  await storage.damage('wal-1', VERSION_BIT / 8, 1);
  const damaged = await storage.get('wal-1');
  await assert.rejects(storage.open(), { name: 'WalError', code: 'WAL_CORRUPT', segmentId: 1 });
  assert.deepEqual(await storage.get('wal-1'), damaged, 'the file was not touched');
});

inMemory('no single flipped bit in a segment makes other entries of what was committed', async (storage) => {
  const log = await storage.open({ environment: new CountingEnvironment(), manager: LogVoid });
  await log.append(['hello', 'world']);
  await log.append('second');
  const bytes = (await storage.get('wal-1')).subarray(0, 2048);
  const used = log.stats().flushedBytes + 25;
  await log.shutdown();
  const outcomes = { damage: 0, torn: 0, unknown: 0 };
  for (let bit = 0; bit < used * 8; bit++) {
    if (bit === VERSION_BIT) continue;
    bytes[bit >> 3] ^= 1 << (bit & 7);
    const copy = new Storage(new MemoryFileManager(), '/copy');
    await copy.put('wal-1', bytes);
    const manager = new RecordingManager();
    const opened = await copy.open({ manager }).catch((error: { code?: string }) => error);
    if (opened instanceof WriteAheadLog) {
      // Only the last flush may be taken for a torn tail.
      assert.deepEqual(manager.recovered, [{ id: 1, chunks: ['hello', 'world'] }], `bit ${bit}`);
      outcomes.torn++;
      await opened.shutdown();
    } else if (opened.code === 'WAL_CORRUPT') outcomes.damage++;
    else {
      assert.equal(opened.code, 'WAL_UNSUPPORTED_VERSION', `bit ${bit}`);
      outcomes.unknown++;
    }
    if (!(opened instanceof WriteAheadLog)) assert.deepEqual(await copy.get('wal-1'), bytes, 'it was not touched');
    bytes[bit >> 3] ^= 1 << (bit & 7);
  }
  const lastFlush = 13 + 9 + 9 + 6 + 5;
  assert.ok(outcomes.damage >= (used - lastFlush) * 8 - 16, JSON.stringify(outcomes));
  assert.ok(outcomes.torn <= lastFlush * 8, JSON.stringify(outcomes));
});
