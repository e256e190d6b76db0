import assert from 'node:assert/strict';
import { test } from 'node:test';
import crc32Package from 'crc-32';
import { crc32, crc32Byte, crc32Range, crc32Word } from '../../src/base/crc32.js';

/** Longer than a block, so that ranges of it are looked at through a view. */
const BLOCK = Buffer.from(Array.from({ length: 9000 }, (_, i) => (i * 131 + (i >> 5)) & 0xff));
/** Around each step: none, one round of sixteen bytes, the built-in routine. */
const LENGTHS = [0, 1, 4, 9, 15, 16, 17, 31, 32, 100, 256, 511, 512, 513, 4095, 4096];
const STARTS = [0, 1, 0x8000_0000, 0xffff_ffff];

const expected = (bytes: Uint8Array, start: number): number => crc32Package.buf(bytes, start) >>> 0;

test('a range of a block has another checksum than the same bytes alone', () => {
  for (const length of LENGTHS) {
    for (const from of [0, 1, 7, 4099]) {
      for (const start of STARTS) {
        const alone = Uint8Array.from(BLOCK.subarray(from, from + length));
        const wanted = expected(alone, start);
        const what = `${length} bytes from ${from}, starting with ${start}`;
        assert.equal(crc32(alone, start), wanted, what);
        assert.equal(crc32Range(BLOCK, from, from + length, start), wanted, what);
        const other = BLOCK.subarray(from, from + 4096);
        assert.equal(crc32Range(other, 0, length, start), wanted, what);
      }
    }
  }
});

test('a checksum in a block is of the block that was looked at before', () => {
  const blocks = [BLOCK, Buffer.from(BLOCK).reverse()];
  for (let round = 0; round < 4; round++) {
    const block = blocks[round % 2];
    assert.equal(crc32Range(block, 3, 103, 5), expected(block.subarray(3, 103), 5));
    block[50]++;
    assert.equal(crc32Range(block, 3, 103, 5), expected(block.subarray(3, 103), 5));
  }
});

test('a number has another checksum than its bytes', () => {
  for (const value of [0, 1, 0xff, 0x8000_0000, 0xffff_ffff, 0x1234_5678, 2 ** 53 - 1]) {
    for (const start of STARTS) {
      const word = Buffer.alloc(4);
      word.writeUInt32LE(value % 2 ** 32);
      assert.equal(crc32Word(value, start), expected(word, start));
      assert.equal(crc32Byte(value % 256, start), expected(word.subarray(0, 1), start));
    }
  }
});
