/** A log that is restored from an archive is the one that was archived. */
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { ArchiveReader } from '../../src/archive/archive-reader.js';
import type { RestoreOptions } from '../../src/archive/restore.js';
import { slotKey } from '../../src/archive/slot-format.js';
import { WriteAheadLog } from '../../src/index.js';
import { ArchiveFixture, LOG_ID, PREFIX } from '../tools/archive-fixture.js';
import { pattern, withTemporaryDirectory } from '../tools/helpers.js';

const SMALL = { preallocateBytes: 64 * 1024 };

async function restore(archive: ArchiveFixture, directory: string, options: RestoreOptions = {}) {
  const reader = await ArchiveReader.open(archive.store, { prefix: PREFIX });
  return reader.restore(directory, { ...SMALL, ...options });
}

/** What is in a log: `id`, a `+` where its batch goes on, its chunks, and the version info of its segment. */
async function contentOf(directory: string): Promise<string[]> {
  const log = await WriteAheadLog.openReadOnly(directory);
  const entries: string[] = [];
  for await (const entry of log) {
    const chunks = (await entry.readAllChunks()).map((chunk) => Buffer.from(chunk).toString());
    const info = Buffer.from(entry.segment.versionInfo).toString();
    entries.push(`${entry.id}${entry.endsBatch ? '' : '+'} ${chunks.join('|')}${info === '' ? '' : ` (${info})`}`);
  }
  await log.close();
  return entries;
}

async function nextIdOf(directory: string): Promise<number> {
  const log = await WriteAheadLog.recover(directory, { recover: () => undefined, checkpointTo: () => undefined }, SMALL);
  assert.equal(await log.identity(), LOG_ID);
  const { id } = await log.append('next');
  await log.shutdown();
  return id;
}

async function fill(archive: ArchiveFixture): Promise<string[]> {
  archive.time = 1000;
  archive.versionInfo = Buffer.from('v1');
  await archive.open('one');
  await archive.append([[['a', 'b']], [['c'], []]], 4);
  archive.time = 2000;
  await archive.append([[['d']]], 2);
  archive.versionInfo = Buffer.from('v2');
  archive.time = 3000;
  await archive.append([[['e']], [['f'], ['g']]]);
  archive.versionInfo = Buffer.alloc(0);
  await archive.append([[['h']]], 1);
  return ['5 a|b (v1)', '6+ c (v1)', '7  (v1)', '10 d (v1)', '11 e (v2)', '12+ f (v2)', '13 g (v2)', '15 h'];
}

test('a restored log has other entries, ids, batches, version infos, or another identity', () => {
  return withTemporaryDirectory(async (root) => {
    const archive = new ArchiveFixture();
    const expected = await fill(archive);
    const directory = path.join(root, 'restored');
    assert.deepEqual(await restore(archive, directory), { lastId: 15 });
    assert.deepEqual(await contentOf(directory), expected);
    assert.equal(await nextIdOf(directory), 16);
    assert.deepEqual(await fs.readdir(root), ['restored']);
  });
});

describe('a restore up to somewhere ends elsewhere', () => {
  const ends: [RestoreOptions['to'], number, number][] = [
    [5, 1, 5], [6, 1, 5], [7, 3, 7], [9, 3, 7], [12, 5, 11], [15, 8, 15], [4, 0, 0], [0, 0, 0],
    [new Date(1500), 3, 7], [new Date(0), 0, 0],
  ];
  for (const [to, count, lastId] of ends) {
    test(`up to ${to instanceof Date ? to.toISOString() : to}`, () => withTemporaryDirectory(async (root) => {
      const archive = new ArchiveFixture();
      const expected = await fill(archive);
      const restored = await restore(archive, path.join(root, 'log'), { ...to !== undefined && { to } });
      assert.equal(restored.lastId, lastId);
      assert.deepEqual(await contentOf(path.join(root, 'log')), expected.slice(0, count));
      assert.equal(await nextIdOf(path.join(root, 'log')), lastId + 1);
    }));
  }

  test('after the last entry', () => withTemporaryDirectory(async (root) => {
    const archive = new ArchiveFixture();
    await fill(archive);
    await assert.rejects(restore(archive, path.join(root, 'log'), { to: 16 }), RangeError);
    assert.deepEqual(await fs.readdir(root), []);
  }));
});

test('a restore takes a snapshot that does not belong to its entries', () => withTemporaryDirectory(async (root) => {
  const archive = new ArchiveFixture();
  const expected = await fill(archive);
  archive.time = 4000;
  await archive.merge();
  await archive.snapshot(10, 'state at 10', false);
  archive.time = 5000;
  await archive.append([[['i']]]);
  await archive.snapshot(16, 'state at 16', false);
  const at = async (name: string, options: RestoreOptions = {}): Promise<[number | undefined, string[]]> => {
    const { snapshot } = await restore(archive, path.join(root, name), options);
    return [snapshot?.lastId, await contentOf(path.join(root, name))];
  };
  assert.deepEqual(await at('newest'), [16, []]);
  assert.deepEqual(await at('by id', { to: 15 }), [10, expected.slice(4)]);
  assert.deepEqual(await at('by time', { to: new Date(4500) }), [10, expected.slice(4)]);
  assert.deepEqual(await at('from the beginning', { to: 7 }), [undefined, expected.slice(0, 3)]);
  await archive.snapshot(16, 'state at 16');
  await assert.rejects(at('too old', { to: 7 }), { code: 'ARCHIVE_GONE' });
  await assert.rejects(at('not whole', { to: 12 }), { code: 'ARCHIVE_GONE' });
  assert.equal(await nextIdOf(path.join(root, 'newest')), 17);
}));

test('a restore overwrites what is there, or leaves something behind when it fails', () => {
  return withTemporaryDirectory(async (root) => {
    const archive = new ArchiveFixture();
    await fill(archive);
    await fs.mkdir(path.join(root, 'full'));
    await fs.writeFile(path.join(root, 'full/file'), '');
    await fs.writeFile(path.join(root, 'file'), '');
    await fs.mkdir(path.join(root, 'empty'));
    for (const name of ['full', 'file']) await assert.rejects(restore(archive, path.join(root, name)), { code: 'WAL_EXISTS' });
    await restore(archive, path.join(root, 'empty'));
    const aborter = new AbortController();
    const { signal } = aborter;
    const onProgress = (): void => aborter.abort(new Error('enough'));
    await assert.rejects(restore(archive, path.join(root, 'aborted'), { signal, onProgress }), /enough/);
    await archive.replace(slotKey(PREFIX, 4), (bytes) => bytes.fill(0x55, bytes.length - 3));
    await assert.rejects(restore(archive, path.join(root, 'damaged')), { code: 'ARCHIVE_CORRUPT' });
    // Another comes first while it is under way.
    const racing = { to: 10, onProgress: () => void fs.mkdir(path.join(root, 'raced/x'), { recursive: true }) };
    await assert.rejects(restore(archive, path.join(root, 'raced'), racing), { code: 'WAL_EXISTS' });
    assert.deepEqual((await fs.readdir(root)).sort(), ['empty', 'file', 'full', 'raced']);
    assert.deepEqual(await fs.readdir(path.join(root, 'raced')), ['x']);
  });
});

test('an entry that is in many objects is restored with other bytes', () => withTemporaryDirectory(async (root) => {
  const archive = new ArchiveFixture();
  archive.partBytes = 50_000;
  await archive.open('one');
  const chunks = [pattern(300_000, 1).toString('hex'), '', pattern(100_000, 2).toString('hex')];
  await archive.append([[chunks], [['after']], [['x'], chunks]]);
  await restore(archive, path.join(root, 'log'));
  const content = await contentOf(path.join(root, 'log'));
  assert.deepEqual(content, [`1 ${chunks.join('|')}`, '2 after', '3+ x', `4 ${chunks.join('|')}`]);
}));

test('an archive without entries cannot be restored', () => withTemporaryDirectory(async (root) => {
  const archive = new ArchiveFixture(undefined, 7);
  await archive.open('one');
  assert.deepEqual(await restore(archive, path.join(root, 'log')), { lastId: 6 });
  assert.equal(await nextIdOf(path.join(root, 'log')), 7);
}));
