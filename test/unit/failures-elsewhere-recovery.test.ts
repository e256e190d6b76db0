/** What went wrong in other logs when they were opened or checkpointed. Each of these happened somewhere. */
import assert from 'node:assert/strict';
import path from 'node:path';
import * as format from '../../src/format/segment-format.js';
import { MemoryFileManager } from '../../src/index.js';
import { Gate } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, isSettled, pattern,
  ready, RecordingManager, SMALL, Storage, text, turns, until,
} from '../tools/helpers.js';

const ROOMY = { preallocateBytes: 64 * 1024, checkpointAfterBytes: 60 * 1024, bufferBytes: 4096 };
/** Behind the header and the link of a segment without version info. */
const FIRST_RECORD = 62;

function firstDifference(a: Buffer, b: Buffer): number {
  return a.findIndex((byte, i) => byte !== b[i]);
}

function lastDifference(a: Buffer, b: Buffer): number {
  return a.findLastIndex((byte, i) => byte !== b[i]);
}

/** A log whose active segment is in a recycled file, with stale entries behind its tail. */
async function openRecycled(storage: Storage): Promise<{ log: Awaited<ReturnType<Storage['open']>>; name: string }> {
  const log = await storage.open();
  for (let i = 0; i < 6; i++) await fillSegment(log, 150);
  await checkpointed(log);
  await turns();
  const name = (await storage.liveNames()).at(-1) ?? '';
  return { log, name };
}

// 3
inMemory('stale records of a recycled file complete no entry, wherever the new ones end', async (storage) => {
  const { log, name } = await openRecycled(storage);
  const before = await storage.get(name);
  const ids = [(await log.append(pattern(150))).id, (await log.append(['x'.repeat(50), 'y'.repeat(50)])).id];
  const after = await storage.get(name);
  const known = (await (await storage.crash()).contents()).map(({ id }) => id);
  const old = known.filter((id) => !ids.includes(id));
  const [from, to] = [firstDifference(before, after), lastDifference(before, after) + 1];
  assert.ok(before.subarray(from).some((byte) => byte !== 0), 'there are stale bytes behind the tail');
  const crashed = await storage.crash();
  for (let cut = from; cut <= to; cut++) {
    await crashed.put(name, Buffer.concat([after.subarray(0, cut), before.subarray(cut)]));
    const found = (await crashed.contents()).map(({ id }) => id);
    assert.deepEqual(found, known.slice(0, found.length), `cut at ${cut}`);
    assert.ok(found.length >= old.length, `cut at ${cut}`);
    if (cut < to) assert.ok(found.length < known.length, `cut at ${cut}`);
    await crashed.put(name, after);
  }
});

forEachFileManager('an entry cut off in a recycled file is not completed by what was there before', async (storage) => {
  const { log, name } = await openRecycled(storage);
  const known = (await (await storage.crash()).contents()).map(({ id }) => id);
  const before = await storage.get(name);
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(6000);
  await chunk.write(pattern(4096));
  const flushed = log.stats().flushes;
  await until(() => log.stats().flushes > flushed || log.stats().pendingBytes === 0);
  const after = await storage.get(name);
  assert.ok(firstDifference(before, after) > 0, 'a part of the entry is on the disk');
  const crashed = await storage.crash();
  // As when the drive had written only the front of it: the stale records behind show again.
  const cut = firstDifference(before, after) + 100;
  await crashed.put(name, Buffer.concat([after.subarray(0, cut), before.subarray(cut)]));
  assert.deepEqual((await crashed.contents()).map(({ id }) => id), known);
});

inMemory('random bytes behind the tail never become an entry, in three hundred reopenings', async (storage) => {
  const log = await storage.open();
  await log.append('only');
  const bytes = await storage.get('wal-1');
  const tail = FIRST_RECORD + 37 + 'only'.length - 1;
  for (let seed = 1; seed <= 300; seed++) {
    const copy = new Storage(new MemoryFileManager(), '/copy');
    await copy.put('wal-1', Buffer.concat([bytes.subarray(0, tail), pattern(4096 - tail, seed)]));
    assert.deepEqual(await copy.contents(), [{ id: 1, chunks: ['only'] }], `seed ${seed}`);
  }
});

// 9
inMemory('a torn tail, wherever torn, keeps the log from being opened neither now nor later', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  for (const data of ['first', 'second', 'third']) await log.append(data);
  const bytes = await storage.get('wal-1');
  const end = log.stats().flushedBytes + 25;
  for (let cut = FIRST_RECORD; cut <= end; cut++) {
    const copy = new Storage(new MemoryFileManager(), '/copy');
    await copy.put('wal-1', Buffer.concat([bytes.subarray(0, cut), Buffer.alloc(bytes.length - cut)]));
    const manager = new RecordingManager();
    const reopened = await copy.open({ manager, options: ROOMY });
    const { id } = await reopened.append('after');
    assert.deepEqual(manager.recoveredIds, [1, 2, 3].slice(0, manager.recovered.length));
    const expected = [...manager.recovered, { id, chunks: ['after'] }];
    assert.deepEqual(await (await copy.crash()).contents(ROOMY), expected, `cut at ${cut}`);
    await copy.shutDown();
  }
});

forEachFileManager('a damaged byte cuts off no good data: opening refuses and changes no file', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await fillSegment(log);
  for (let i = 0; i < 3; i++) await log.append(`entry ${i}`);
  for (const name of await storage.liveNames()) {
    const crashed = await storage.crash();
    await crashed.damage(name, FIRST_RECORD + 20);
    const before = await crashed.files();
    await assert.rejects(crashed.open(), { name: 'WalError', code: 'WAL_CORRUPT', segmentId: Number(name.slice(4)) });
    assert.deepEqual(await crashed.files(), before);
  }
  manager.letGo();
});

const FOREIGN = ['wal-x', 'wal-01', 'wal-1.tmp', 'wal-2~', 'notes.txt', 'segment-1', 'wal--1'];

forEachFileManager("somebody else's files are never read as segments, changed or removed", async (storage) => {
  const content = pattern(500);
  for (const name of FOREIGN) await storage.put(name, content);
  const log = await storage.open();
  await log.append('ours');
  while (log.stats().segmentsRecycled < 2) await fillSegment(log);
  const last = (await log.append('last')).id;
  await log.shutdown();
  assert.equal((await storage.contents()).at(-1)?.id, last);
  for (const name of FOREIGN) assert.deepEqual(await storage.get(name), content, name);
});

// 10
const LEFTOVERS: Readonly<Record<string, () => Buffer>> = {
  'an empty file': () => Buffer.alloc(0),
  'one byte': () => Buffer.alloc(1),
  'a zeroed file': () => Buffer.alloc(4096),
  'a zeroed file that is too short': () => Buffer.alloc(1000),
  'a header and nothing behind it': () => format.encodeHeader(40, pattern(8), Buffer.alloc(0)),
  'a header and zeros': () => Buffer.concat([format.encodeHeader(40, pattern(8), Buffer.alloc(0)), Buffer.alloc(4000)]),
};
for (const [what, bytes] of Object.entries(LEFTOVERS)) {
  for (const name of ['wal-40', 'wal-0-cp', 'wal-1-cp']) {
    forEachFileManager(`${what} left as ${name} by a crash does not keep the log shut`, async (storage) => {
      const manager = new RecordingManager();
      const log = await storage.open({ manager });
      const ids = [(await log.append('before')).id];
      await log.shutdown();
      await storage.put(name, bytes());
      for (let round = 0; round < 2; round++) {
        const again = await storage.open({ manager });
        ids.push((await again.append(`round ${round}`)).id);
        await again.shutdown();
      }
      const again = await storage.open({ manager });
      while (again.stats().segmentsRecycled < 3) ids.push(...await fillSegment(again));
      await again.shutdown();
      const left = (await storage.contents()).map(({ id }) => id);
      const handedOver = manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id));
      assert.deepEqual([...handedOver, ...left], ids);
    });
  }
}

inMemory('a spare file whose header was torn by a crash does not keep the log from being opened', async (storage) => {
  const { log } = await openRecycled(storage);
  const { id } = await log.append('last');
  const names = [...(await storage.files()).keys()].filter((name) => name.endsWith('-cp'));
  assert.ok(names.length > 0);
  for (const name of names) {
    for (let torn = 0; torn < 25; torn++) {
      const crashed = await storage.crash();
      const stale = await crashed.get(name);
      const header = format.encodeHeader(900, pattern(8, 9), Buffer.alloc(0));
      await crashed.put(name, Buffer.concat([header.subarray(0, torn), stale.subarray(torn)]));
      assert.equal((await crashed.contents()).at(-1)?.id, id, `${name}, ${torn} bytes`);
    }
  }
});

// 11
forEachFileManager('reading a chunk that has not been flushed waits, instead of finding nothing', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && name === 'wal-1' ? gate.pass() : undefined);
  const writer = await log.beginEntry();
  const { position } = await writer.writeChunk('the last chunk');
  const reading = log.readAt(position);
  assert.equal(await isSettled(reading), false, 'the entry is open');
  const committed = writer.commit();
  assert.equal(await isSettled(reading), false, 'the entry is not durable');
  gate.open();
  await committed;
  const reader = await reading;
  assert.equal(text(await reader.readAll()), 'the last chunk');
  await reader.close();
});

forEachFileManager('a read that has begun is counted before its segment can be recycled under it', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  // More than one read fetches: what comes behind the first must still be there.
  const precious = pattern(40_000);
  const { chunks } = await log.append(precious);
  const gate = new Gate();
  faulty.before = ({ operation, name, position }) => {
    const isRead = operation === 'read' && name === 'wal-1' && position === chunks[0].position.offset;
    // The first only: the checkpoint reads the same chunk later.
    return isRead && gate.arrivals === 0 ? gate.pass() : undefined;
  };
  const reading = log.readAt(chunks[0].position);
  await until(() => gate.arrivals === 1);
  for (let i = 0; i < 4; i++) await fillSegment(log);
  await checkpointed(log);
  const used = faulty.calls.filter(({ operation, name }) => operation === 'rename' && name === 'wal-1-cp');
  assert.deepEqual(used, [], 'its file has not been put to use again');
  gate.open();
  const reader = await reading;
  assert.ok(Buffer.from(await reader.readAll()).equals(precious));
  await reader.close();
});

// 12
forEachFileManager('abandoning several segments renames none of them over one that is in use', async (storage) => {
  const hoarder = new HoardingManager();
  const log = await storage.open({ manager: hoarder });
  const old: number[] = [];
  for (let i = 0; i < 4; i++) old.push(...await fillSegment(log));
  const crashed = await storage.crash();
  const manager = new RecordingManager();
  manager.onSegment = () => 'abandon';
  const reopened = await crashed.open({ manager });
  const ids: number[] = [];
  for (let i = 0; i < 20; i++) ids.push((await reopened.append(`entry ${i} ${'z'.repeat(30)}`)).id);
  assert.ok(ids[0] > (old.at(-1) ?? 0));
  await checkpointed(reopened);
  assert.deepEqual(manager.recovered, []);
  assert.deepEqual(manager.checkpoints, []);
  const found = await (await crashed.crash()).contents();
  assert.deepEqual(found.map(({ id }) => id), ids);
  hoarder.letGo();
});

// 15
/** A log of one entry, behind which stands the front of another with one chunk that claims `length` bytes. */
async function withClaimedLength(storage: Storage, length: number): Promise<void> {
  const log = await storage.open({ options: ROOMY });
  await log.append('whole');
  await log.shutdown();
  const bytes = await storage.get('wal-1');
  const at = FIRST_RECORD + 13 + 9 + 9 + 'whole'.length + 5;
  bytes.fill(0x55, at);
  format.encodeEntry(bytes, at, 2);
  format.encodeChunkHeader(bytes, at + format.ENTRY_LENGTH, length);
  await storage.put('wal-1', bytes);
}

for (const length of [0, 1, 60_000, 64 * 1024, 0x7fff_ffff, 0xffff_ffff]) {
  forEachFileManager(`a torn chunk that claims ${length} bytes grows no file and takes no memory`, async (base) => {
    const { storage, faulty } = base.withFaults();
    await withClaimedLength(base, length);
    const size = (await base.get('wal-1')).length;
    const manager = new RecordingManager();
    const log = await storage.open({ manager, options: ROOMY });
    assert.deepEqual(manager.recovered, [{ id: 1, chunks: ['whole'] }]);
    assert.ok(faulty.of('read').every((call) => (call.length ?? 0) <= 64 * 1024));
    assert.equal((await base.get('wal-1')).length, size);
    const { id } = await log.append('behind');
    const entries = await (await base.crash()).contents(ROOMY);
    assert.deepEqual(entries, [{ id: 1, chunks: ['whole'] }, { id, chunks: ['behind'] }]);
  });
}

// 16
forEachFileManager('losing every file that is not a segment loses no entry', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const ids = [...await fillSegment(log), ...await fillSegment(log), (await log.append('last')).id];
  const crashed = await storage.crash();
  for (const name of (await crashed.files()).keys()) if (!/^wal-\d+$/.test(name)) await crashed.remove(name);
  assert.deepEqual((await crashed.contents()).map(({ id }) => id), ids);
  manager.letGo();
});

forEachFileManager('a checkpoint before the first entry is written frees nothing unseen', async (storage) => {
  const hoarder = new HoardingManager();
  const log = await storage.open({ manager: hoarder });
  const ids = [...await fillSegment(log), ...await fillSegment(log), (await log.append('last')).id];
  const crashed = await storage.crash();
  const manager = new HoardingManager();
  const reopened = await crashed.open({ manager });
  await reopened.checkpointActive();
  await reopened.checkpointActive();
  const now = (await (await crashed.crash()).contents()).map(({ id }) => id);
  assert.deepEqual(now, ids, 'nothing has been handed over yet');
  manager.letGo();
  await checkpointed(reopened);
  assert.deepEqual(manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id)), ids);
  hoarder.letGo();
});

// 17
forEachFileManager('ids go on above all ids ever given, were all checkpointed ten times', async (storage) => {
  let highest = 0;
  for (let round = 0; round < 10; round++) {
    const manager = new RecordingManager();
    const log = await storage.open({ manager });
    assert.deepEqual(manager.recovered, []);
    for (let i = 0; i < round % 3; i++) {
      const { id } = await log.append(`round ${round}`);
      assert.ok(id > highest, `${id} after ${highest}`);
      highest = id;
    }
    await checkpointAll(log);
    if (round % 2 === 0) await log.shutdown();
    else {
      const crashed = await storage.crash();
      await log.shutdown();
      for (const name of (await storage.files()).keys()) await storage.remove(name);
      for (const [name, bytes] of await crashed.files()) await storage.put(name, bytes);
    }
  }
  assert.ok(highest > 0);
});

inMemory('no id is taken from bytes behind the tail', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  await log.append('one');
  const bytes = await storage.get('wal-1');
  const tail = FIRST_RECORD + 13 + 9 + 9 + 'one'.length + 5;
  for (let at = tail; at + 9 < bytes.length; at += 9) format.encodeEntry(bytes, at, 2 ** 50 + at);
  const crashed = await storage.crash();
  await crashed.put('wal-1', bytes);
  const reopened = await crashed.open({ options: ROOMY });
  assert.equal((await reopened.append('two')).id, 2);
});

// 18
forEachFileManager('leftover temporary files are not taken for a log, nor keep it shut', async (storage) => {
  const log = await storage.open();
  const { id } = await log.append('ours');
  await log.shutdown();
  const segment = await storage.get('wal-1');
  const leftovers = [Buffer.alloc(0), pattern(20), pattern(5000), segment];
  for (const bytes of leftovers) {
    await storage.put('wal-tail', bytes);
    await storage.put('wal-1.tmp', segment);
    assert.deepEqual(await storage.contents(), [{ id, chunks: ['ours'] }]);
  }
});

inMemory('an entry of many chunks is recovered whole or not at all, wherever it is cut', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  await log.append('before');
  const from = log.stats().flushedBytes + 25;
  const chunks = Array.from({ length: 40 }, (_, i) => `chunk ${i}`);
  await log.append(chunks);
  const to = log.stats().flushedBytes + 25;
  const bytes = await storage.get('wal-1');
  for (let cut = from; cut <= to; cut++) {
    const copy = new Storage(new MemoryFileManager(), '/copy');
    await copy.put('wal-1', Buffer.concat([bytes.subarray(0, cut), Buffer.alloc(bytes.length - cut)]));
    const whole = cut === to || bytes.subarray(cut, to).every((byte) => byte === 0);
    const expected = [{ id: 1, chunks: ['before'] }, ...(whole ? [{ id: 2, chunks }] : [])];
    assert.deepEqual(await copy.contents(ROOMY), expected, `cut at ${cut}`);
  }
});

forEachFileManager('a directory that is open cannot be opened again, until it is shut down', async (storage) => {
  const log = await storage.open();
  await log.append('one');
  await assert.rejects(storage.open(), { name: 'WalError', code: 'WAL_LOCKED' });
  const same = new Storage(storage.fileManager, path.join(storage.directory, '.'));
  await assert.rejects(same.open(), { code: 'WAL_LOCKED' });
  assert.equal((await log.append('two')).id, 2);
  await log.shutdown();
  assert.equal((await storage.contents({ ...SMALL })).length, 2);
});
