/** Opening a log that is there already. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { NodeFileManager, WalError, type Recovery, type WalOptions } from '../../src/index.js';
import { LINK_LENGTH } from '../../src/format/segment-format.js';
import { systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, pattern,
  RecordingManager, type SeenEntry, Storage, TestEnvironment, turns, until,
  withTemporaryDirectory,
} from '../tools/helpers.js';

const ROOMY: WalOptions = { preallocateBytes: 262144, checkpointAfterBytes: 131072, bufferBytes: 4096 };

interface SeveralSegments {
  readonly crashed: Storage;
  readonly entries: readonly SeenEntry[];
  /** The entry ids of each segment, oldest first. */
  readonly layout: readonly number[][];
}

/** A directory whose process was killed with several segments still to be checkpointed, and what they hold. */
async function severalSegments(storage: Storage, count = 3): Promise<SeveralSegments> {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  for (let i = 0; i < count; i++) await fillSegment(log);
  await log.append('last');
  const crashed = await storage.crash();
  manager.letGo();
  const observer = new RecordingManager();
  const layout: number[][] = [];
  observer.onRecover = ({ id }) => {
    (layout[observer.segments.length - 1] ??= []).push(id);
  };
  await (await crashed.crash()).open({ manager: observer });
  assert.equal(layout.length, count + 1);
  return { crashed, entries: observer.recovered, layout };
}

forEachFileManager('the report says how many segments, entries and bytes there were, and the time', async (storage) => {
  const { crashed, entries } = await severalSegments(storage);
  const environment = new TestEnvironment();
  const manager = new HoardingManager();
  manager.onRecover = () => {
    environment.time += 10;
  };
  const log = await crashed.open({ manager, environment });
  const live = (await crashed.liveNames()).length;
  const { segments, entries: count, bytes, tornBytes, durationMs } = log.recovery;
  assert.deepEqual({ segments, count, tornBytes, durationMs }, {
    segments: 4, count: entries.length, tornBytes: 0, durationMs: 10 * entries.length,
  });
  assert.ok(live >= 4);
  assert.ok(bytes > entries.length * 300);
  manager.letGo();
});

forEachFileManager('a directory that does not exist yet becomes a log with nothing in it', async (storage) => {
  const nested = new Storage(storage.fileManager, `${storage.directory}/a/b/c`);
  const log = await nested.open();
  assert.deepEqual(
    { ...log.recovery, durationMs: 0 }, { segments: 0, entries: 0, bytes: 0, tornBytes: 0, durationMs: 0 },
  );
  assert.equal((await log.append('first')).id, 1);
  await nested.shutDown();
});

forEachFileManager('an unfinished entry is cut off and its bytes are counted', async (storage) => {
  const options = { preallocateBytes: 64 * 1024, checkpointAfterBytes: 60 * 1024 };
  const log = await storage.open({ options });
  await log.append('whole');
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(9000);
  await chunk.write(pattern(8999));
  await until(() => log.stats().pendingBytes === 0);
  const crashed = await storage.crash();
  const manager = new RecordingManager();
  const reopened = await crashed.open({ manager, options });
  assert.deepEqual(manager.recovered, [{ id: 1, chunks: ['whole'] }]);
  assert.ok(reopened.recovery.tornBytes >= 9 + 5, `${reopened.recovery.tornBytes} bytes were cut off`);
});

const CHOICES: readonly (readonly [string, (i: number) => Recovery])[] = [
  ['the first segment', (i) => (i === 0 ? 'abandon' : 'recover')],
  ['the first two segments', (i) => (i < 2 ? 'abandon' : 'recover')],
  ['a segment in the middle', (i) => (i === 1 ? 'abandon' : 'recover')],
  ['the last segment', (i) => (i === 3 ? 'abandon' : 'recover')],
  ['every segment', () => 'abandon'],
];
for (const [what, choose] of CHOICES) {
  forEachFileManager(`abandoning ${what} gives up its entries for good, and no others`, async (storage) => {
    const { crashed, entries, layout } = await severalSegments(storage);
    const manager = new RecordingManager();
    manager.onSegment = () => choose(manager.segments.length - 1);
    const log = await crashed.open({ manager });
    assert.deepEqual(manager.recoveredIds, layout.filter((_, i) => choose(i) === 'recover').flat());
    assert.equal(log.recovery.entries, manager.recovered.length);
    const { id } = await log.append('new');
    assert.ok(id > (entries.at(-1)?.id ?? 0));
    await checkpointAll(log);
    const handedOver = manager.checkpoints.flatMap(({ entries: given }) => given.map((entry) => entry.id));
    assert.deepEqual(handedOver, [...manager.recoveredIds, id], 'what was recovered is handed over, and nothing else');
    await log.shutdown();
    assert.deepEqual(await crashed.contents(), []);
  });
}

/** Each way in which a manager can fail, at the `at`th call. */
const FAILURES: Readonly<Record<string, (manager: RecordingManager, at: number) => void>> = {
  'throws when asked for a segment': (manager, at) => {
    manager.onSegment = () => {
      if (manager.segments.length === at) throw new Error('mine');
      return 'recover';
    };
  },
  'rejects when asked for a segment': (manager, at) => {
    manager.onSegment = async (): Promise<Recovery> => {
      if (manager.segments.length === at) throw new Error('mine');
      return 'recover';
    };
  },
  'answers nonsense when asked for a segment': (manager, at) => {
    manager.onSegment = () => (manager.segments.length === at ? 'mine' as Recovery : 'recover');
  },
  'throws at an entry': (manager, at) => {
    manager.recover = (entry) => {
      if (manager.recovered.push({ id: entry.id, chunks: [] }) === at) throw new Error('mine');
      return Promise.resolve();
    };
  },
  'rejects at an entry': (manager, at) => {
    manager.onRecover = async () => {
      if (manager.recovered.length === at - 1) throw new Error('mine');
    };
  },
};
/** All files but the one whose content never counts. */
async function logFiles(storage: Storage): Promise<Map<string, Buffer>> {
  const files = await storage.files();
  files.delete('wal-tail-new');
  return files;
}

for (const [what, fail] of Object.entries(FAILURES)) {
  forEachFileManager(`a manager that ${what} leaves the log byte for byte as it was`, async (storage) => {
    const { crashed, entries } = await severalSegments(storage);
    const before = await logFiles(crashed);
    for (const at of what.includes('segment') ? [1, 2, 3, 4] : [1, 2, 10, entries.length]) {
      const { storage: observed, faulty } = crashed.withFaults();
      const manager = new RecordingManager();
      fail(manager, at);
      await assert.rejects(observed.open({ manager }), (error) => {
        assert.ok(error instanceof WalError);
        assert.equal(error.code, 'WAL_LOG_MANAGER_FAILED');
        assert.match(error.message, /mine/);
        assert.ok(error.cause instanceof Error);
        return true;
      });
      assert.deepEqual(await logFiles(crashed), before);
      assert.equal(faulty.openHandles, 0);
      assert.deepEqual(manager.checkpoints, []);
    }
    assert.deepEqual(await crashed.contents(), entries);
  });
}

forEachFileManager('an error at any call of an opening is reported, and the next finds everything', async (storage) => {
  const { crashed, entries } = await severalSegments(storage, 2);
  let failures = 0;
  for (let nth = 0, isOver = false; !isOver; nth++) {
    const copy = await crashed.crash();
    const { storage: observed, faulty } = copy.withFaults();
    faulty.before = () => {
      if (faulty.calls.length - 1 === nth) throw systemError('EIO');
    };
    const manager = new HoardingManager();
    const outcome = await observed.open({ manager }).catch((error: unknown) => error);
    // What fails in the background after opening is the business of other tests.
    isOver = !(outcome instanceof Error) && faulty.calls.length <= nth + 1;
    manager.letGo();
    await observed.shutDown();
    if (outcome instanceof Error) {
      failures++;
      assert.ok(outcome instanceof WalError, `call ${nth}: ${String(outcome)}`);
      assert.ok(outcome.code === 'WAL_IO' || outcome.code === 'WAL_FAILED', `call ${nth}: ${outcome.code}`);
      assert.equal(faulty.openHandles, 0, `call ${nth}: ${faulty.calls[nth].operation}`);
      const again = await copy.contents();
      assert.deepEqual(again, entries, `call ${nth}: ${faulty.calls[nth].operation} ${faulty.calls[nth].name}`);
    }
    if (nth > 400) assert.fail('an opening has no end of calls');
  }
  assert.ok(failures > 15, `${failures} calls failed`);
});

forEachFileManager('every segment keeps the version info it was begun with', async (storage) => {
  const hoarders: HoardingManager[] = [];
  let current = storage;
  for (const info of ['one', 'two', '', 'x'.repeat(255)]) {
    const manager = new HoardingManager();
    hoarders.push(manager);
    const log = await current.open({ manager, options: { versionInfo: Buffer.from(info) } });
    await log.append('some entry');
    await log.checkpointActive();
    current = await current.crash();
  }
  const manager = new HoardingManager();
  await current.open({ manager, options: { versionInfo: Buffer.from('now') } });
  const infos = manager.segments.map(({ versionInfo }) => Buffer.from(versionInfo).toString());
  // Each checkpoint began another segment with the info of its time.
  assert.deepEqual(infos, ['one', 'one', 'two', '', 'x'.repeat(255)]);
  assert.ok(manager.segments.every(({ formatVersion }) => formatVersion === 1));
  for (const hoarder of [...hoarders, manager]) hoarder.letGo();
});

forEachFileManager('a segment of an unknown version is refused before anything is written', async (storage) => {
  const { crashed } = await severalSegments(storage, 2);
  const name = (await crashed.liveNames()).sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)))[1];
  const bytes = await crashed.get(name);
  bytes[3] = 2;
  await crashed.put(name, bytes);
  const before = await crashed.files();
  const { storage: observed, faulty } = crashed.withFaults();
  const expected = { name: 'WalError', code: 'WAL_UNSUPPORTED_VERSION', segmentId: Number(name.slice(4)) };
  await assert.rejects(observed.open(), expected);
  assert.equal(faulty.of('write').length, 0);
  assert.deepEqual(await crashed.files(), before);
});

forEachFileManager('a segment missing in the middle, or emptied, is damage and not the end', async (storage) => {
  const { crashed } = await severalSegments(storage);
  const names = (await crashed.liveNames()).sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
  for (const name of names.slice(1, 3)) {
    for (const how of ['removed', 'emptied', 'zeroed']) {
      const copy = await crashed.crash();
      if (how === 'removed') await copy.remove(name);
      else await copy.put(name, Buffer.alloc(how === 'emptied' ? 0 : 4096));
      const before = await copy.files();
      await assert.rejects(copy.open(), { name: 'WalError', code: 'WAL_CORRUPT' }, `${name} ${how}`);
      assert.deepEqual(await copy.files(), before);
    }
  }
});

inMemory('progress is told in growing figures, up to all that was read', async (storage) => {
  const { crashed, entries } = await severalSegments(storage);
  const told: { bytesRead: number; totalBytes: number; entries: number }[] = [];
  const onRecoveryProgress: WalOptions['onRecoveryProgress'] = (progress) => told.push({ ...progress });
  const log = await crashed.open({ options: { onRecoveryProgress } });
  assert.ok(told.length >= 4);
  for (const [i, { bytesRead, totalBytes, entries: count }] of told.entries()) {
    assert.ok(bytesRead <= totalBytes);
    assert.ok(i === 0 || (bytesRead >= told[i - 1].bytesRead && count >= told[i - 1].entries));
  }
  assert.equal(told.at(-1)?.bytesRead, log.recovery.bytes);
  assert.ok((told.at(-1)?.entries ?? 0) <= entries.length);
});

forEachFileManager('the tail is written again and synced before the manager sees any of it', async (storage) => {
  const log = await storage.open();
  await log.append('perhaps only in the page cache');
  const { storage: observed, faulty } = (await storage.crash()).withFaults();
  const manager = new RecordingManager();
  let seenAt = -1;
  manager.onRecover = () => {
    seenAt = faulty.calls.length;
  };
  await observed.open({ manager });
  const before = faulty.calls.slice(0, seenAt);
  const write = before.findIndex(({ operation, name }) => operation === 'write' && name === 'wal-1');
  const sync = before.findLastIndex(({ operation, name }) => operation === 'sync' && name === 'wal-1');
  assert.ok(write >= 0 && sync > write, before.map(({ operation, name }) => `${operation} ${name}`).join(', '));
  const written = before[write];
  assert.equal(written.position, 62, 'from where nothing said that it was durable');
  assert.equal(written.length, 13 + 9 + 9 + 30 + 5);
});

forEachFileManager('a tail torn while it was being written again is restored from its copy', async (storage) => {
  const log = await storage.open();
  await log.append('must not be lost');
  const crashed = await storage.crash();
  const { storage: observed, faulty } = crashed.withFaults();
  faulty.before = ({ operation, name }) => {
    if (operation === 'write' && name === 'wal-1') throw systemError('EIO');
  };
  await assert.rejects(observed.open(), { code: 'WAL_IO' });
  assert.ok((await crashed.files()).has('wal-tail'));
  // What was being written when the power went is anything now.
  const bytes = await crashed.get('wal-1');
  bytes.fill(0xaa, 62, 62 + 66);
  await crashed.put('wal-1', bytes);
  assert.deepEqual(await crashed.contents(), [{ id: 1, chunks: ['must not be lost'] }]);
  assert.ok(!(await crashed.files()).has('wal-tail'));
});

test('a copy of a tail that a crash left under two names stays a copy for ever', () => withTemporaryDirectory(async (directory) => {
  const storage = new Storage(new NodeFileManager(), directory);
  const log = await storage.open();
  await log.append('entry');
  const crashed = await storage.crash();
  const { storage: observed, faulty } = crashed.withFaults();
  faulty.before = ({ operation, name }) => {
    if (operation === 'write' && name === 'wal-1') throw systemError('EIO');
  };
  await assert.rejects(observed.open(), { code: 'WAL_IO' });
  const copy = path.join(crashed.directory, 'wal-tail');
  fs.linkSync(copy, `${copy}-new`);
  assert.deepEqual(await crashed.contents(), [{ id: 1, chunks: ['entry'] }]);
  assert.ok(!fs.existsSync(copy));
  await storage.shutDown();
}));

forEachFileManager('a file that a crash left under two names does not become two segments', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  for (let i = 0; i < 4; i++) await fillSegment(log);
  await checkpointed(log);
  await turns();
  await log.append('last');
  const crashed = await storage.crash();
  const [live] = await crashed.liveNames();
  const id = Number(live.slice(4));
  await crashed.put(`wal-${id - 1}-cp`, await crashed.get(live));
  const expected = await (await storage.crash()).contents();
  const hoarder = new HoardingManager();
  const reopened = await crashed.open({ manager: hoarder });
  const ids = [...expected.map((entry) => entry.id)];
  for (let i = 0; i < 3; i++) ids.push(...await fillSegment(reopened));
  assert.deepEqual((await (await crashed.crash()).contents()).map((entry) => entry.id), ids);
  hoarder.letGo();
});

forEachFileManager('a link is overwritten although a record after it proves it, and a torn write there looks like damage', async (base) => {
  const options = { ...ROOMY, maxPendingBytes: 4096 };
  const first = await base.open({ options });
  await first.append('entry');
  await first.shutdown();
  // The link of this opening is the last record of the log, and the pieces flushed after it prove it.
  const log = await base.open({ options });
  const writer = await log.beginEntry();
  for (let i = 0; i < 8; i++) await writer.writeChunk(pattern(4096, i + 1));
  const crashed = await base.crash();
  const { storage, faulty } = crashed.withFaults();
  let writes = 0;
  faulty.shorten = ({ length = 0 }) => Math.min(LINK_LENGTH - 1, length);
  faulty.before = ({ operation, name }) => {
    if (operation === 'write' && name === 'wal-1' && ++writes > 1) throw systemError('EIO');
  };
  await assert.rejects(storage.open({ options }), { code: 'WAL_FAILED' });
  assert.equal(writes, 2);
  assert.deepEqual(await crashed.contents(options), [{ id: 1, chunks: ['entry'] }]);
});
