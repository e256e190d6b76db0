import assert from 'node:assert/strict';
import { once } from 'node:events';
import path from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SearchIndex, type SearchDocument, type SearchIndexOptions } from '../../examples/search-index.js';
import { deferred } from '../../src/base/async.js';
import { LogVoid, MemoryFileManager, WriteAheadLog, type FileManager } from '../../src/index.js';
import { FaultyFileManager } from '../tools/faulty-file-manager.js';
import { withTemporaryDirectory } from '../tools/helpers.js';
import { KilledEngineRounds } from '../tools/killed-engine-rounds.js';
import { crashTest } from '../support/crash-test.js';
import { Random } from '../support/random.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { SimulatedFileManager } from '../support/simulated-file-manager.js';

const DIRECTORY = '/index';
/** So small that a few documents fill a segment. */
const OPTIONS: SearchIndexOptions = {
  preallocateBytes: 4096, checkpointAfterBytes: 400, bufferBytes: 4096, maxPendingBytes: 8192,
};
const ONE_SEGMENT = { preallocateBytes: 64 * 1024, checkpointAfterBytes: 60 * 1024 };

function open(fileManager: FileManager, directory = DIRECTORY): Promise<SearchIndex> {
  return SearchIndex.open(directory, { ...OPTIONS, fileManager });
}

/** Checkpoints only what it is told to. */
function openRoomy(fileManager: FileManager): Promise<SearchIndex> {
  return SearchIndex.open(DIRECTORY, { ...OPTIONS, checkpointAfterBytes: 4000, fileManager });
}

/** What the disk holds when the power fails now. */
function afterPowerLoss(disk: SimulatedDisk): FileManager {
  const point = disk.crashPoint();
  return new SimulatedFileManager(point.powerLoss(point.fragments.map(() => 'lost')));
}

/** A document that a search for `word`, and one for `everything`, finds. */
function about(word: string, id = word): SearchDocument {
  return { id, title: `On ${word}`, text: `everything about ${word}` };
}

function found(index: SearchIndex, query = 'everything'): string[] {
  return index.search(query).map(({ id }) => String(id)).sort();
}

function assertHolds(index: SearchIndex, expected: ReadonlyMap<string, SearchDocument>): void {
  assert.deepEqual(found(index), [...expected.keys()].sort());
  for (const [id, document] of expected) assert.deepEqual(index.get(id), document);
  assert.equal(index.size, expected.size);
}

async function checkpoint({ log }: SearchIndex): Promise<void> {
  await log.checkpointActive();
  while (log.stats().segmentsToCheckpoint > 0) await once(log, 'checkpoint');
}

describe('a search index that nothing befalls', () => {
  const id = fc.constantFrom('', 'a', 'b', 'c', '__proto__', '\ud800');
  const word = fc.constantFrom('fish', 'wine', 'bread', 'constructor', '水');
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('put' as const), id, word }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('remove' as const), id }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('checkpoint' as const, 'reopen' as const) }) },
  );

  test('holds and finds what a Map would hold, whatever is put, removed, checkpointed and reopened', async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const fileManager = new MemoryFileManager();
      const model = new Map<string, SearchDocument>();
      let index = await open(fileManager);
      for (const step of steps) {
        if (step.do === 'put') {
          model.set(step.id, about(step.word, step.id));
          await index.put(about(step.word, step.id));
        } else if (step.do === 'remove') {
          model.delete(step.id);
          await index.remove(step.id);
        } else if (step.do === 'checkpoint') {
          await checkpoint(index);
        } else {
          await index.close();
          index = await open(fileManager);
        }
        assertHolds(index, model);
        for (const word of ['fish', '水']) {
          const expected = [...model.values()].filter(({ title }) => title.endsWith(word)).map(({ id }) => id);
          assert.deepEqual(found(index, word), expected.sort());
        }
      }
      await index.close();
    }), { numRuns: 60 });
  });

  test('keeps the last of many concurrent changes of one document', async () => {
    const fileManager = new MemoryFileManager();
    // Room for all of them in one segment: the large one takes another way there, and is heard of last.
    const index = await SearchIndex.open(DIRECTORY, { ...OPTIONS, ...ONE_SEGMENT, fileManager });
    const documents = Array.from({ length: 60 }, (_, i) => about(i === 40 ? 'y'.repeat(10_000) : `word${i}`, 'id'));
    await Promise.all(documents.map((document) => index.put(document)));
    assertHolds(index, new Map([['id', documents[59]]]));
    await index.close();
    assertHolds(await open(fileManager), new Map([['id', documents[59]]]));
  });

  test('has nothing left in the log after a checkpoint, and all of it in the export', async () => {
    const fileManager = new MemoryFileManager();
    const index = await open(fileManager);
    for (const word of ['fish', 'wine', 'bread']) await index.put(about(word));
    await index.remove('wine');
    await checkpoint(index);
    await index.close();
    const reopened = await open(fileManager);
    assert.equal(reopened.log.recovery.entries, 0);
    assert.deepEqual(found(reopened), ['bread', 'fish']);
  });
});

describe('an export that contains more than its segment', () => {
  test('brings back no document that was removed later, and loses none, when the later changes are replayed', async () => {
    const disk = new SimulatedDisk();
    const files = new FaultyFileManager(new SimulatedFileManager(disk));
    const [reached, gate] = [deferred(), deferred()];
    files.before = async ({ operation }) => {
      if (operation !== 'read') return;
      reached.resolve();
      await gate.promise;
    };
    const index = await openRoomy(files);
    for (const word of ['fish', 'wine', 'bread']) await index.put(about(word));
    await index.log.checkpointActive();
    await reached.promise;
    const exported = once(index.log, 'checkpoint');
    // These are behind the segment, and in memory before it is exported.
    await index.remove('fish');
    await index.put(about('water', 'wine'));
    await index.put(about('salt'));
    gate.resolve();
    await exported;

    const reopened = await openRoomy(afterPowerLoss(disk));
    assert.equal(reopened.log.recovery.entries, 3);
    assertHolds(reopened, new Map([['bread', about('bread')], ['wine', about('water', 'wine')], ['salt', about('salt')]]));
    assert.deepEqual(found(reopened, 'wine'), []);
  });

  test('is written with the changes of its segment that nobody has been told of yet', async () => {
    const disk = new SimulatedDisk();
    const index = await openRoomy(new SimulatedFileManager(disk));
    // The checkpoint begins before the caller hears of its commit: it is not awaited.
    const put = index.put(about('fish'));
    const exported = once(index.log, 'checkpoint');
    await index.log.checkpointActive();
    await exported;
    const reopened = await openRoomy(afterPowerLoss(disk));
    assert.equal(reopened.log.recovery.entries, 0);
    assertHolds(reopened, new Map([['fish', about('fish')]]));
    await put;
  });
});

describe('a search index whose machine or process dies', () => {
  test('loses nothing it has acknowledged and makes nothing up, wherever the power fails', async () => {
    const { states } = await crashTest({
      open: (fileManager, directory) => open(fileManager, directory),
      change: (index, number) => carryOut(index, number),
      count(index, begun) {
        for (let count = begun; count >= 0; count--) if (isAfter(count, index)) return count;
        throw new Error(`no number of changes makes ${found(index).join(' ')}`);
      },
    }, { changes: 12, seeds: [0, 3, 5], choicesPerMoment: 6 });
    assert.ok(states > 500, `${states} disks were opened`);
  });

  test('loses nothing it has acknowledged and makes nothing up, whenever it is killed', async () => {
    await withTemporaryDirectory(async (directory) => {
      const rounds = new KilledEngineRounds('search-index', directory, new Random(1));
      for (let round = 0; round < 6; round++) await rounds.run();
      assert.ok(rounds.checkpoints > 0);
    });
  });
});

/** The change with this number: now and then the removal of what the one before has put. */
function carryOut(index: SearchIndex, number: number): Promise<void> {
  return number % 4 === 3 ? index.remove(idOf(number - 1)) : index.put(about(`change${number}`, idOf(number)));
}

function idOf(number: number): string {
  return `id${number % 5}`;
}

function isAfter(count: number, index: SearchIndex): boolean {
  const model = new Map<string, SearchDocument>();
  for (let number = 0; number < count; number++) {
    if (number % 4 === 3) model.delete(idOf(number - 1));
    else model.set(idOf(number), about(`change${number}`, idOf(number)));
  }
  const isSame = [...model].every(([id, { text }]) => index.get(id)?.text === text);
  return isSame && index.size === model.size && found(index).length === model.size;
}

describe('what a search index refuses', () => {
  test('an export with any byte of it changed, or cut off anywhere', async () => {
    const fileManager = new MemoryFileManager();
    const index = await open(fileManager);
    await index.put(about('fish'));
    await checkpoint(index);
    await index.close();
    const file = await fileManager.open(path.join(DIRECTORY, 'export'), { access: 'write' });
    const good = Buffer.alloc(await file.size());
    await file.read(good, 0);
    for (let at = 0; at < good.length; at++) {
      await file.write([Buffer.from([good[at] ^ 0x10])], at);
      await assert.rejects(open(fileManager), /snapshot .* is damaged/, `byte ${at}`);
      await file.write([good.subarray(at, at + 1)], at);
    }
    for (let length = 0; length < good.length; length += 7) {
      await file.truncate(length);
      await assert.rejects(open(fileManager), /snapshot .* is damaged/, `${length} bytes`);
      await file.write([good.subarray(length)], length);
    }
    assertHolds(await open(fileManager), new Map([['fish', about('fish')]]));
  });

  test('a damaged log, the log of something else, and an owned directory', async () => {
    const fileManager = new MemoryFileManager();
    const log = await WriteAheadLog.recover(DIRECTORY, LogVoid, { ...OPTIONS, fileManager });
    await log.append('no document');
    await log.shutdown();
    const message = /not the log of a search index/;
    await assert.rejects(open(fileManager), { code: 'WAL_LOG_MANAGER_FAILED', message });

    const index = await open(fileManager, '/other');
    await assert.rejects(open(fileManager, '/other'), { code: 'WAL_LOCKED' });
    await index.put(about('fish'));
    await index.put(about('wine'));
    await index.close();
    const [name] = (await fileManager.list('/other')).filter((name) => /^wal-\d+$/.test(name));
    const segment = await fileManager.open(path.join('/other', name), { access: 'write' });
    await segment.write([Buffer.from('?')], 100);
    await assert.rejects(open(fileManager, '/other'), { code: 'WAL_CORRUPT' });
  });

  test('what is no document, before it is written, and any change once it is closed', async () => {
    const fileManager = new MemoryFileManager();
    const index = await open(fileManager);
    await assert.rejects(index.put({ id: 7, title: '', text: '' } as unknown as SearchDocument), TypeError);
    await assert.rejects(index.put({ id: 'a', title: 'no text' } as unknown as SearchDocument), TypeError);
    await assert.rejects(index.remove(undefined as unknown as string), TypeError);
    assert.equal(index.log.stats().commits, 0);
    await index.close();
    await assert.rejects(index.put(about('fish')), { code: 'WAL_CLOSED' });
    assert.equal(index.size, 0);
  });

  test('to replace the export of a directory that it has lost', async () => {
    const fileManager = new FaultyFileManager(new MemoryFileManager());
    const index = await open(fileManager);
    await index.put(about('fish'));
    fileManager.before = ({ operation, name }) => {
      if (operation === 'open' && name.endsWith('.new')) fileManager.compromise(new Error('taken over'));
    };
    const failed = once(index.log, 'failed');
    await index.log.checkpointActive();
    await failed;
    await index.close().catch(() => undefined);
    assert.ok(!(await fileManager.list(DIRECTORY)).includes('export'));
  });
});
