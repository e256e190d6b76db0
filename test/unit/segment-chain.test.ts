/** Following the links of very many segments: steps are counted, for their time depends on the machine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkSegments } from '../../src/engine/view/segment-chain.js';
import type { SegmentFiles } from '../../src/engine/view/segment-files.js';
import type { FileHandle } from '../../src/index.js';
import { encodeLink, FORMAT_1, LINK_LENGTH } from '../../src/format/segment-format.js';
import { Segment } from '../../src/segment/segment.js';

const COUNT = 20_000;
const START = 32;

/** A file that has a link after its header, and nothing else. */
function fileWith(link: Buffer): FileHandle {
  return { read: async (target: Uint8Array) => (target.set(link), link.length) } as Partial<FileHandle> as FileHandle;
}

/** Segments that follow each other, whose numbers are looked at through `look`. */
function segmentsOf(count: number, look: () => void): Segment[] {
  return Array.from({ length: count }, (_, i) => {
    const id = i + 1;
    const bytes = Buffer.alloc(LINK_LENGTH);
    encodeLink(bytes, 0, id, START, { previousSegmentId: i, previousEnd: START, previousChain: 0, lastId: i }, 0);
    const header = { format: FORMAT_1, versionInfo: Buffer.alloc(0), segmentId: id, seed: id, length: START };
    const segment = new Segment(header, id, `wal-${id}`, fileWith(bytes));
    Object.defineProperty(segment, 'segmentId', { get: () => (look(), id) });
    return segment;
  });
}

function filesOf(segments: Segment[], beginnings: Segment[] = []): SegmentFiles {
  return { segments, spares: [], beginnings, aliases: [], hasTailCopy: false, hasHolds: false };
}

test('the time to follow the links of segments grows with the square of their number', async () => {
  let looks = 0;
  const { chain } = await linkSegments(filesOf(segmentsOf(COUNT, () => looks++)), 4096);
  assert.deepEqual(chain.map(({ segment }) => segment.segmentId), Array.from({ length: COUNT }, (_, i) => i + 1));
  assert.ok(looks < 20 * COUNT, `${looks} looks at ${COUNT} segments`);
});

test('the time to find what was given up between segments grows with the square of their number', async () => {
  let looks = 0;
  const all = segmentsOf(COUNT, () => looks++);
  const isKept = (segment: Segment): boolean => segment === all[0] || segment === all[COUNT - 1];
  const { chain } = await linkSegments(filesOf(all.filter(isKept), all.filter((segment) => !isKept(segment))), 4096);
  assert.equal(chain.length, COUNT);
  assert.equal(chain.filter(({ isGivenUp }) => isGivenUp).length, COUNT - 2);
  assert.ok(looks < 20 * COUNT, `${looks} looks at ${COUNT} segments`);
});
