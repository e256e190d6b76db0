/** What records prove durable after the place where the log seems to end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as format from '../../src/format/segment-format.js';
import { MemoryFileManager } from '../../src/index.js';
import { provenEnd } from '../../src/segment/proof.js';
import { Segment } from '../../src/segment/segment.js';
import { pattern } from '../tools/helpers.js';

const BLOCK_BYTES = 64 * 1024;
const DURABLE_UP_TO = 1234;

/** A segment of zeros but for `record`, at `at`. */
async function segmentWith(header: Buffer, record: Buffer, at: number): Promise<Segment> {
  const files = new MemoryFileManager();
  await files.createDirectory('/wal');
  const file = await files.open('/wal/wal-1', { access: 'create' });
  await file.write([Buffer.alloc(3 * BLOCK_BYTES)], 0);
  await file.write([header], 0);
  await file.write([record], at);
  return new Segment(format.decodeHeader(header) as format.SegmentHeader, 1, 'wal-1', file);
}

test('a record that proves something is found wherever blocks and pieces of them end', async () => {
  const header = format.encodeHeader(1, pattern(format.SALT_LENGTH), new Uint8Array());
  const seed = header.readUInt32LE(header.length - 4);
  const start = header.length;
  for (const edge of [16 * 1024, BLOCK_BYTES, 2 * BLOCK_BYTES]) {
    for (let before = -1; before <= format.LINK_LENGTH + 1; before++) {
      const at = start + edge - before;
      const mark = Buffer.alloc(format.MARK_LENGTH);
      format.encodeMark(mark, 0, seed, at, DURABLE_UP_TO);
      assert.equal(await provenEnd(await segmentWith(header, mark, at), start, BLOCK_BYTES), DURABLE_UP_TO, `a mark at ${at}`);
      const link = Buffer.alloc(format.LINK_LENGTH);
      const says = { previousSegmentId: 1, previousEnd: at, previousChain: 0, lastId: 1 };
      format.encodeLink(link, 0, seed, at, says, 7);
      assert.equal(await provenEnd(await segmentWith(header, link, at), start, BLOCK_BYTES), at, `a link at ${at}`);
    }
  }
});
