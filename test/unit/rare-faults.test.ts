/** Faults that a crash does not show: what a failed log still does, and bytes that no crash of this log leaves. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { crc32 } from '../../src/base/crc32.js';
import { decodeHeader, type SegmentHeader } from '../../src/format/segment-format.js';
import { encodeTailHeader } from '../../src/format/tail-format.js';
import { MemoryFileManager, type FileHandle, type OpenOptions } from '../../src/index.js';
import { entryOfPredecessor } from '../support/predecessor.js';
import { systemError } from '../tools/faulty-file-manager.js';
import {
  fillSegment, HoardingManager, inMemory, pattern, ready, RecordingManager, Storage, TestEnvironment, text, turns, until,
} from '../tools/helpers.js';

const ROOMY = { preallocateBytes: 64 * 1024, checkpointAfterBytes: 60 * 1024, bufferBytes: 4096 };

inMemory('a checkpoint that ends after the log has failed renames no file', async (base) => {
  const { storage, faulty } = base.withFaults();
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await fillSegment(log);
  await turns();
  faulty.compromise(new Error('somebody else has the directory'));
  await assert.rejects(log.append('late'), { code: 'WAL_FAILED' });
  const calls = faulty.calls.length;
  manager.letGo();
  await until(() => manager.checkpoints.length === 1);
  await turns();
  const names = faulty.calls.slice(calls).filter(({ operation }) => operation === 'rename' || operation === 'remove');
  assert.deepEqual(names, []);
});

inMemory('what is written to a segment that was abandoned while it was empty is let go without a checkpoint', async (storage) => {
  const manager = new RecordingManager();
  manager.onSegment = () => 'abandon';
  await (await storage.open({ manager })).shutdown();
  const log = await storage.open({ manager });
  const { id } = await log.append('precious');
  await Promise.all([once(log, 'checkpoint'), log.checkpointActive()]);
  assert.deepEqual(manager.checkpoints, [{ lastId: id, entries: [{ id, chunks: ['precious'] }] }]);
});

inMemory('the mark of another log in a payload says nothing about this one', async (storage) => {
  const other = new Storage(storage.fileManager, '/other');
  const log = await other.open({ options: ROOMY, environment: new TestEnvironment(1) });
  await log.append(pattern(1000));
  await log.append('more');
  const DATA = 62 + 13 + 9 + 5;
  const genuine = (await other.get('wal-1')).subarray(DATA, DATA + 1200);
  assert.equal(genuine[1000 + 4 + 5], 4, 'the second mark is among them');
  await other.shutDown();

  /** What is recovered where the same bytes stand at the same place in an entry that was never committed. */
  const recoveredWith = async (seed: number): Promise<unknown> => {
    const trap = new Storage(storage.fileManager, `/trap-${seed}`);
    const trapLog = await trap.open({ options: ROOMY, environment: new TestEnvironment(seed) });
    const writer = await trapLog.beginEntry();
    const chunk = await writer.beginChunk(20_000);
    const flushes = trapLog.stats().flushes;
    await chunk.write(Buffer.concat([genuine, pattern(18_000)]));
    await until(() => trapLog.stats().flushes > flushes && trapLog.stats().pendingBytes === 0);
    const crashed = await trap.crash();
    const recovered = await crashed.contents(ROOMY).catch((error: { code?: string }) => error.code);
    await trap.shutDown();
    return recovered;
  };
  // With the other log's salt the mark is genuine here too, and speaks of bytes that are not there: the trap is set.
  assert.equal(await recoveredWith(1), 'WAL_CORRUPT');
  for (const seed of [50, 60, 70]) assert.deepEqual(await recoveredWith(seed), []);
});

inMemory('an entry with a mark in it is read wrongly when all of it is in memory at once', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(20_000);
  const flushes = log.stats().flushes;
  await chunk.write(pattern(20_000));
  await chunk.finish();
  await until(() => log.stats().flushes > flushes && log.stats().pendingBytes === 0);
  await writer.writeChunk('behind the mark');
  const id = await writer.commit();
  const crashed = await storage.crash();
  const chunks = [text(pattern(20_000)), 'behind the mark'];
  assert.deepEqual(await crashed.contents({ ...ROOMY, bufferBytes: 60 * 1024 }), [{ id, chunks }]);
});

inMemory('stale entries behind a segment of the predecessor are not handed over', async (storage) => {
  const entries = [[60, 'live'], [61, 'live too'], [48, 'stale'], [62, 'behind it']] as const;
  const bytes = [Buffer.from('okw\0\0', 'latin1'), ...entries.map(([id, data]) => entryOfPredecessor(id, Buffer.from(data)))];
  await storage.put('wal-60', Buffer.concat(bytes));
  assert.deepEqual(await storage.contents(), [{ id: 60, chunks: ['live'] }, { id: 61, chunks: ['live too'] }]);
});

inMemory('the copy of a tail is written into another segment that has the same id', async (storage) => {
  const log = await storage.open();
  await log.append('as it was');
  const crashed = await storage.crash();
  const data = pattern(100);
  const header = encodeTailHeader({ segmentId: 1, seed: 12345, offset: 70, length: data.length });
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(crc32(data), 0);
  await crashed.put('wal-tail', Buffer.concat([header, data, checksum]));
  assert.deepEqual(await crashed.contents(), [{ id: 1, chunks: ['as it was'] }]);
});

inMemory('a copy of a tail that is not whole is written over the tail', async (storage) => {
  const log = await storage.open();
  await log.append('as it was');
  const crashed = await storage.crash();
  const { seed } = decodeHeader(await crashed.get('wal-1')) as SegmentHeader;
  const header = encodeTailHeader({ segmentId: 1, seed, offset: 70, length: 100 });
  await crashed.put('wal-tail', Buffer.concat([header, pattern(100), Buffer.alloc(4)]));
  assert.deepEqual(await crashed.contents(), [{ id: 1, chunks: ['as it was'] }]);
});

/** Reads at most seven bytes at a time. */
class SlowReader extends MemoryFileManager {
  override async open(path: string, options: OpenOptions): Promise<FileHandle> {
    const file = await super.open(path, options);
    const read = file.read.bind(file);
    file.read = (target, position) => read(target.subarray(0, 7), position);
    return file;
  }
}

inMemory('a disk that gives a few bytes at a time is read to its end', async () => {
  const storage = new Storage(new SlowReader(), '/wal');
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const ids = [...await fillSegment(log), ...await fillSegment(log)];
  const { id, chunks: [{ position }] } = await log.append('x'.repeat(100));
  const reader = await log.readAt(position);
  assert.equal(text(await reader.readAll()), 'x'.repeat(100));
  await reader.close();
  const recovered = await (await storage.crash()).contents();
  assert.deepEqual(recovered.map((entry) => entry.id), [...ids, id]);
  manager.letGo();
  await storage.shutDown();
});

inMemory('a segment that could not be opened gets its next header while it has a segment\'s name', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await ready(log);
  let failures = 1;
  faulty.before = ({ operation, name }) => {
    if (operation === 'open' && /^wal-[1-9]\d*$/.test(name) && failures-- > 0) throw systemError('EMFILE');
  };
  for (let i = 0; i < 3; i++) await fillSegment(log);
  assert.ok(failures < 0, 'no segment was opened');
  // Torn by a crash, such a header would look like damage.
  const headers = faulty.of('write').filter(({ position }) => position === 0).map(({ name }) => name);
  assert.ok(headers.length >= 3);
  assert.deepEqual(headers.filter((name) => !name.endsWith('-cp') && name !== 'wal-tail-new'), []);
  await log.shutdown();
});

inMemory('a checkpointed segment keeps its space because its new name needs a little more', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new RecordingManager() });
  faulty.before = async ({ operation, name }) => {
    if (operation !== 'rename' || name !== 'wal-1') return;
    if ((await base.files()).has('wal-tail-new')) throw systemError('ENOSPC');
  };
  await log.append('entry');
  const outcome = Promise.race(['checkpoint', 'checkpointFailed'].map((name) => once(log, name).then(() => name)));
  await log.checkpointActive();
  assert.equal(await outcome, 'checkpoint');
  assert.ok((await base.files()).has('wal-tail-new'));
  await log.shutdown();
});

inMemory('a full disk keeps a segment from being abandoned that has older ones before it', async (storage) => {
  const before = new HoardingManager();
  const log = await storage.open({ manager: before });
  for (let i = 0; i < 3; i++) await fillSegment(log);
  await log.append('last');
  const crashed = await storage.crash();
  for (const name of (await crashed.files()).keys()) if (name.endsWith('-cp')) await crashed.remove(name);
  const { storage: full, faulty } = crashed.withFaults();
  const manager = new HoardingManager();
  let place = 0;
  manager.onSegment = () => (place++ === 1 ? 'abandon' : 'recover');
  faulty.before = async ({ operation, name }) => {
    if (operation !== 'write' || !name.endsWith('-cp')) return;
    if ((await crashed.files()).has('wal-tail-new')) throw systemError('ENOSPC');
  };
  await full.open({ manager });
  assert.ok((await crashed.files()).has('wal-tail-new'));
  for (const hoarding of [before, manager]) hoarding.letGo();
});

inMemory('an opening waits until a spare file has been made', async (storage) => {
  await (await storage.open()).append('entry');
  const crashed = await storage.crash();
  for (const name of (await crashed.files()).keys()) if (name.endsWith('-cp')) await crashed.remove(name);
  const { storage: slow, faulty } = crashed.withFaults();
  let made = (): void => undefined;
  const making = new Promise<void>((resolve) => (made = resolve));
  faulty.before = ({ operation, name }) => (operation === 'write' && name.endsWith('-cp') ? making : undefined);
  await slow.open();
  made();
});
