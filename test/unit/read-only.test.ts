import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  LogPosition, NodeFileManager, WalError, WriteAheadLog, type FileManager, type ReadOnlyLog, type ReadOnlyOptions,
  type ReadOptions, type WalOptions,
} from '../../src/index.js';
import type { EntryExtent } from '../../src/segment/record-scanner.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, pattern, RecordingManager, type
  SeenEntry, type Storage, text, turns, until, withTemporaryDirectory,
} from '../tools/helpers.js';
import { authorOf, keyOf } from '../tools/kill-entries.js';

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0', import.meta.url));
const LIBRARY = new URL('../../src/index.js', import.meta.url).href;

/** Segments of several of a reader's blocks. */
const BLOCKS: WalOptions = { preallocateBytes: 64 * 1024, checkpointAfterBytes: 32 * 1024 };

/** Allows what reading takes, and nothing else. */
function readingOnly(inner: FileManager): FileManager {
  const forbid = async (): Promise<never> => assert.fail('a reader changes nothing');
  return {
    list: (directory) => inner.list(directory),
    async open(file, options) {
      assert.equal(options.access, 'read');
      const { read, size, close } = await inner.open(file, options).then((handle) => ({
        read: handle.read.bind(handle), size: handle.size.bind(handle), close: handle.close.bind(handle),
      }));
      return { durableWrites: false, read, size, close, write: forbid, sync: forbid, truncate: forbid };
    },
    createDirectory: forbid, rename: forbid, remove: forbid, syncDirectory: forbid, lock: forbid,
  };
}

function view(storage: Storage): Promise<ReadOnlyLog> {
  return WriteAheadLog.openReadOnly(storage.directory, { fileManager: readingOnly(storage.fileManager), bufferBytes: 4096 });
}

async function collect(reader: ReadOnlyLog, options?: ReadOptions): Promise<SeenEntry[]> {
  const entries: SeenEntry[] = [];
  for await (const entry of reader.entries(options)) {
    entries.push({ id: entry.id, chunks: (await entry.readAllChunks()).map(text) });
  }
  return entries;
}

async function appendAll(log: WriteAheadLog, count: number, length = 300): Promise<SeenEntry[]> {
  const written: SeenEntry[] = [];
  for (let i = 0; i < count; i++) {
    const chunk = pattern(length, i + 1).toString('hex').slice(0, length);
    written.push({ id: (await log.append(chunk)).id, chunks: [chunk] });
  }
  return written;
}

const hasCode = (code: string) => (error: unknown): boolean => error instanceof WalError && error.code === code;

forEachFileManager('a reader does not miss an entry of a log that is open elsewhere, nor take more than reading takes', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const written = await appendAll(log, 30);
  const reader = await view(storage);
  assert.deepEqual(await collect(reader), written);
  assert.ok(reader.segments.length > 1);
  const { segmentId, offset } = reader.end;
  const last = reader.segments.at(-1);
  assert.deepEqual([last?.state, last?.segmentId, last?.end, reader.lastId], ['last', segmentId, offset, 30]);
  await reader.close();
  manager.letGo();
});

forEachFileManager('a reader does not miss what is added, once it has been refreshed', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const written = await appendAll(log, 3);
  const reader = await view(storage);
  written.push(...await appendAll(log, 30));
  assert.deepEqual(await collect(reader), written.slice(0, 3));
  await reader.refresh();
  assert.deepEqual(await collect(reader, { from: 4 }), written.slice(3));
  await reader.close();
  manager.letGo();
});

inMemory('an entry that no later record proves durable is not reported as proven', async (storage) => {
  const log = await storage.open();
  const reader = await view(storage);
  for (let id = 1; id <= 3; id++) {
    await log.append('x');
    await reader.refresh();
    assert.deepEqual([reader.provenId, reader.lastId], [id - 1, id]);
  }
  await log.shutdown();
  await (await storage.open()).shutdown();
  await reader.refresh();
  assert.equal(reader.provenId, 3, 'the link of the next opening proves all of them');
  await reader.close();
});

forEachFileManager('a torn tail is neither shown nor cut off', async (storage) => {
  const written = await appendAll(await storage.open(), 3);
  const dead = await storage.crash();
  const whole = await view(dead);
  await dead.damage('wal-1', whole.end.offset - 3);
  const before = await dead.files();
  const reader = await view(dead);
  assert.deepEqual(await collect(reader), written.slice(0, 2));
  assert.ok(reader.tornBytes > 300, `${reader.tornBytes} bytes torn`);
  assert.deepEqual(await dead.files(), before);
  await whole.close();
  await reader.close();
});

for (const [where, index] of [['a closed segment', 0], ['the last segment', -1]] as const) {
  inMemory(`damage in ${where} does not hide the entries before it, and is reported behind them`, async (storage) => {
    const manager = new HoardingManager();
    const log = await storage.open({ manager });
    const written = await appendAll(log, 28);
    const dead = await storage.crash();
    const sound = await view(dead);
    const segment = sound.segments.at(index);
    assert.ok(segment !== undefined && sound.segments.length > 1);
    const extents: EntryExtent[] = [];
    for await (const { segment: { segmentId }, extent } of sound) if (segmentId === segment.segmentId) extents.push(extent);
    const [first, second] = extents;
    await dead.damage(segment.name, second.start + 50);
    const reader = await view(dead);
    const seen: number[] = [];
    await assert.rejects(async () => {
      for await (const { id } of reader) seen.push(id);
    }, (error: unknown) => {
      assert.ok(error instanceof WalError);
      assert.deepEqual([error.code, error.segmentId, error.offset], ['WAL_CORRUPT', segment.segmentId, first.end]);
      return true;
    });
    assert.deepEqual(seen, written.map(({ id }) => id).filter((id) => id <= first.id));
    await sound.close();
    await reader.close();
    manager.letGo();
  });
}

for (const where of ['a closed segment', 'the last segment']) {
  inMemory(`no part is shown of a batch in ${where} that is not whole`, async (storage) => {
    const manager = new HoardingManager();
    const log = await storage.open({ manager });
    await log.append('before');
    const batch = await log.appendBatch(['one', 'two', 'three']);
    const { position } = batch[2].chunks[0];
    if (where === 'a closed segment') await fillSegment(log);
    const dead = await storage.crash();
    await dead.damage('wal-1', position.offset + 6);
    const reader = await view(dead);
    const seen: number[] = [];
    const reading = async (): Promise<void> => {
      for await (const { id } of reader) seen.push(id);
    };
    if (where === 'a closed segment') await assert.rejects(reading(), hasCode('WAL_CORRUPT'));
    else await reading();
    assert.deepEqual(seen, [1]);
    await reader.close();
    manager.letGo();
  });
}

inMemory('entries that were cut off at the end are not shown again', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const written = await appendAll(log, 30);
  const reader = await view(storage);
  await log.truncateAfter(12);
  await reader.refresh();
  assert.deepEqual(await collect(reader), written.slice(0, 12));
  const { id } = await log.append('instead');
  await reader.refresh();
  assert.deepEqual((await collect(reader)).at(-1), { id, chunks: ['instead'] });
  assert.equal((await collect(reader)).length, 13);
  await reader.close();
  manager.letGo();
});

inMemory('a segment that is missing in the middle is not passed over', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await appendAll(log, 40);
  const dead = await storage.crash();
  await dead.remove((await dead.liveNames()).sort((a, b) => a.length - b.length || a.localeCompare(b))[1]);
  await assert.rejects(view(dead), hasCode('WAL_CORRUPT'));
  manager.letGo();
});

inMemory('for salvage, damage does not hide what is whole in other segments', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await appendAll(log, 60);
  const dead = await storage.crash();
  const names = (await dead.liveNames()).sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
  const whole = await view(dead);
  const idsBySegment = new Map<string, number[]>();
  for await (const { id, segment } of whole) {
    const name = `wal-${segment.segmentId}`;
    idsBySegment.set(name, [...idsBySegment.get(name) ?? [], id]);
  }
  await whole.close();
  assert.ok(names.length >= 6);
  await dead.damage(names[1], 500);
  await dead.damage(names[2], 2);
  await dead.remove(names[3]);
  const before = await dead.files();
  const damage: WalError[] = [];
  const reader = await WriteAheadLog.openReadOnly(dead.directory, {
    fileManager: readingOnly(dead.fileManager), onDamage: (error) => damage.push(error),
  });
  const kept = names.filter((_, i) => i !== 2 && i !== 3).flatMap((name) => {
    const ids = idsBySegment.get(name) ?? [];
    return name === names[1] ? ids.slice(0, 1) : ids;
  });
  assert.deepEqual((await collect(reader)).map(({ id }) => id), kept);
  assert.deepEqual(damage.map(({ code }) => code), ['WAL_CORRUPT', 'WAL_CORRUPT', 'WAL_CORRUPT']);
  assert.deepEqual(await dead.files(), before);
  await reader.close();
  manager.letGo();
});

inMemory('a reader that starts below the oldest entry is told so, and one above the newest gets nothing', async (storage) => {
  const log = await storage.open();
  const written = [...await fillSegment(log), ...await fillSegment(log)];
  await checkpointed(log);
  await log.append('newest');
  const reader = await view(storage);
  await assert.rejects(collect(reader, { from: 1 }), hasCode('WAL_POSITION_GONE'));
  assert.deepEqual((await collect(reader, { from: written.length + 1 })).map(({ id }) => id), [written.length + 1]);
  assert.deepEqual(await collect(reader, { from: written.length + 2 }), []);
  for (const from of [-1, 0.5, NaN]) await assert.rejects(collect(reader, { from }), RangeError);
  await assert.rejects(collect(reader, { from: '1' as unknown as number }), TypeError);
  await reader.close();
});

inMemory('reading that was given up ends with the reason of its signal', async (storage) => {
  await appendAll(await storage.open(), 3);
  const reader = await view(storage);
  const reason = new Error('enough');
  await assert.rejects(collect(reader, { signal: AbortSignal.abort(reason) }), reason);
  await reader.close();
});

inMemory('what a closed reader is asked for is WAL_CLOSED, and what it was reading is gone', async (storage) => {
  const log = await storage.open({ options: BLOCKS });
  await appendAll(log, 60);
  const reader = await view(storage);
  const entries = reader.entries();
  await entries.next();
  await reader.close();
  await reader.close();
  await assert.rejects(async () => { for await (const _ of entries); }, hasCode('WAL_POSITION_GONE'));
  await assert.rejects(collect(reader), hasCode('WAL_CLOSED'));
  await assert.rejects(reader.refresh(), hasCode('WAL_CLOSED'));
  await assert.rejects(reader.readAt(new LogPosition(1, 64)), hasCode('WAL_CLOSED'));
});

forEachFileManager('a position is read like by its owner, until it is not there any more', async (storage) => {
  const log = await storage.open();
  const reader = await view(storage);
  const { chunks: [chunk] } = await log.append('hello');
  await assert.rejects(reader.readAt(chunk.position), hasCode('WAL_POSITION_GONE'));
  await reader.refresh();
  assert.equal(text(await (await reader.readAt(chunk.position)).readAll()), 'hello');
  await assert.rejects(reader.readAt(new LogPosition(chunk.position.segmentId, chunk.position.offset + 1)), hasCode('WAL_CORRUPT'));
  await assert.rejects(reader.readAt({} as LogPosition), TypeError);
  await reader.close();
});

/** Checkpoints all that was held back, and writes until every file that is left over has been used again. */
async function recycle(log: WriteAheadLog, manager: HoardingManager): Promise<void> {
  manager.onCheckpoint = () => Promise.resolve();
  manager.letGo();
  await checkpointed(log);
  for (let i = 0; i < 6; i++) {
    await fillSegment(log, 3000);
    await checkpointed(log);
    await turns();
  }
}

forEachFileManager('a file that is used again under a reader gives it no bytes of another segment, and no damage', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager, options: BLOCKS });
  const large = pattern(20_000).toString('latin1');
  const { chunks: [first] } = await log.append([large, large]);
  const small = await appendAll(log, 150);
  const reader = await view(storage);
  const whole = await reader.readAt(first.position);
  const begun = reader.entries();
  const { value: entry } = await begun.next();
  assert.ok(entry !== undefined && reader.segments.length > 1);

  await recycle(log, manager);
  await assert.rejects(whole.readAll(), hasCode('WAL_POSITION_GONE'));
  await assert.rejects(entry.readAllChunks(), hasCode('WAL_POSITION_GONE'));
  await assert.rejects(async () => { for await (const _ of begun); }, hasCode('WAL_POSITION_GONE'));
  await assert.rejects(collect(reader), hasCode('WAL_POSITION_GONE'));
  await log.append('newest');
  await reader.refresh();
  const ids = (await collect(reader)).map(({ id }) => id);
  assert.ok(ids.length > 0 && ids.every((id) => id > small.length));
  await reader.close();
});

inMemory('a file that is cut back to be used again, and not yet more than that, is not taken for damaged', async (storage) => {
  const manager = new HoardingManager();
  const { storage: gated, faulty } = storage.withFaults();
  const gate = new Gate();
  const log = await gated.open({ manager, options: BLOCKS });
  await log.append(pattern(200_000));
  await log.append('in the next segment');
  const reader = await view(storage);
  assert.deepEqual([reader.segments.length, reader.segments[0].size > 200_000], [2, true]);
  faulty.after = ({ operation }) => (operation === 'truncate' ? gate.pass() : undefined);
  manager.onCheckpoint = () => Promise.resolve();
  manager.letGo();
  while (gate.arrivals === 0) await log.append(pattern(3000));
  await assert.rejects(collect(reader), hasCode('WAL_POSITION_GONE'));
  gate.open();
  await reader.close();
});

inMemory('a file that is cut back between its opening and the question for its size is not taken for damaged', async (storage) => {
  const manager = new HoardingManager();
  const { storage: gated, faulty: owner } = storage.withFaults();
  const cutBack = new Gate();
  owner.after = ({ operation }) => (operation === 'truncate' ? cutBack.pass() : undefined);
  const log = await gated.open({ manager, options: BLOCKS });
  await log.append(pattern(200_000));
  await log.append('in the next segment');
  const { faulty } = storage.withFaults();
  const sized = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'size' && name === 'wal-1' ? sized.pass() : undefined);
  const opening = WriteAheadLog.openReadOnly(storage.directory, { fileManager: faulty });
  await until(() => sized.arrivals === 1);
  manager.onCheckpoint = () => Promise.resolve();
  manager.letGo();
  while (cutBack.arrivals === 0) await log.append(pattern(3000));
  sized.open();
  const reader = await opening;
  await assert.rejects(collect(reader), hasCode('WAL_POSITION_GONE'));
  cutBack.open();
  await reader.close();
});

inMemory('a listing that misses a segment, as one can while names change, is not taken for damage', async (storage) => {
  const manager = new HoardingManager();
  const written = await appendAll(await storage.open({ manager }), 40);
  const names = (await storage.liveNames()).sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
  const { faulty } = storage.withFaults();
  const lists = [names, names.filter((_, i) => i !== 1), names];
  faulty.list = async () => lists.shift() ?? assert.fail('it was listed too often');
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: faulty });
  assert.deepEqual(await collect(reader), written);
  await reader.close();
  manager.letGo();
});

inMemory('a segment that is gone between the listing and the opening is not an error', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await appendAll(log, 20);
  const dead = await storage.crash();
  const { storage: moving, faulty } = dead.withFaults();
  let isFirst = true;
  faulty.before = async ({ operation, name }) => {
    if (operation !== 'open' || name !== 'wal-1' || !isFirst) return;
    isFirst = false;
    await dead.fileManager.rename(path.join(dead.directory, name), path.join(dead.directory, 'wal-1-cp'));
  };
  const reader = await WriteAheadLog.openReadOnly(moving.directory, { fileManager: faulty });
  assert.ok(reader.spares.includes('wal-1-cp'));
  await reader.close();
  assert.equal(faulty.openHandles, 0);
  manager.letGo();
});

inMemory('a directory that never stands still is given up, with no handle left open', async (storage) => {
  await appendAll(await storage.open(), 2);
  const { faulty } = storage.withFaults();
  faulty.before = ({ operation, name }) => {
    if (operation === 'read' && name === 'wal-1') throw new WalError('WAL_POSITION_GONE', 'gone');
  };
  await assert.rejects(WriteAheadLog.openReadOnly(storage.directory, { fileManager: faulty }), hasCode('WAL_IO'));
  assert.equal(faulty.openHandles, 0);
});

inMemory('an error of the storage is reported as one, and not tried for ever', async (storage) => {
  await appendAll(await storage.open(), 2);
  const { faulty } = storage.withFaults();
  faulty.before = ({ operation }) => {
    if (operation === 'read') throw systemError('EIO');
  };
  await assert.rejects(WriteAheadLog.openReadOnly(storage.directory, { fileManager: faulty }), hasCode('WAL_IO'));
  assert.equal(faulty.of('list').length, 2);
  await assert.rejects(WriteAheadLog.openReadOnly('/nowhere', { fileManager: faulty }), hasCode('WAL_IO'));
});

inMemory('a log that grows and rotates between any two reads is not taken for damaged', async (storage) => {
  const log = await storage.open({ options: BLOCKS });
  const written: SeenEntry[] = await appendAll(log, 5);
  const { faulty } = storage.withFaults();
  faulty.before = async ({ operation }) => {
    if (operation !== 'read' || written.length > 2000) return;
    const chunk = `number ${written.length}`.padEnd(500);
    written.push({ id: (await log.append(chunk)).id, chunks: [chunk] });
  };
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: faulty, bufferBytes: 4096 });
  let shown = 0;
  let overtaken = 0;
  while (shown < 500) {
    try {
      for (const entry of await collect(reader)) {
        assert.deepEqual(entry, written[entry.id - 1]);
        shown++;
      }
    } catch (error) {
      if (!hasCode('WAL_POSITION_GONE')(error)) throw error;
      overtaken++;
    }
    await reader.refresh();
  }
  assert.ok(overtaken > 0 || log.stats().segmentsRecycled > 0);
  await reader.close();
});

for (const name of ['small', 'segments', 'recycled', 'torn', 'large']) {
  test(`the predecessor's directory '${name}' is not shown otherwise than its own recovery showed it`, async () => {
    const lines = fs.readFileSync(`${FIXTURES}/${name}/expected.ndjson`, 'utf8').trim().split('\n');
    const expected = lines.filter((line) => !/"(error|aborted)"/.test(line))
      .map((line) => JSON.parse(line) as { entryId?: number; chunks: { length: number }[] })
      .filter(({ entryId }) => entryId !== undefined);
    const reader = await WriteAheadLog.openReadOnly(`${FIXTURES}/${name}/log`, { fileManager: readingOnly(new NodeFileManager()) });
    const seen = await collect(reader);
    assert.deepEqual(seen.map(({ id }) => id), expected.map(({ entryId }) => entryId));
    assert.deepEqual(seen.map(({ chunks }) => chunks.length), expected.map(({ chunks }) => chunks.length));
    assert.ok(reader.segments.every(({ formatVersion }) => formatVersion === 0));
    assert.equal(reader.provenId <= reader.lastId, true);
    await reader.close();
  });
}

inMemory('a repair that was interrupted is reported, and not done over', async (storage) => {
  const log = await storage.open();
  const written = await appendAll(log, 3);
  await log.shutdown();
  await storage.put('wal-tail', pattern(500));
  const before = await storage.files();
  const reader = await view(storage);
  assert.equal(reader.isRepairPending, true);
  assert.deepEqual(await collect(reader), written);
  assert.deepEqual(await storage.files(), before);
  await reader.close();
});

inMemory('an empty directory is an empty log, and no mistake', async (storage) => {
  await storage.fileManager.createDirectory(storage.directory);
  const reader = await view(storage);
  assert.deepEqual([await collect(reader), reader.segments, reader.lastId, reader.end.segmentId], [[], [], 0, 0]);
  await reader.close();
  await assert.rejects(WriteAheadLog.openReadOnly(''), RangeError);
  await assert.rejects(WriteAheadLog.openReadOnly(7 as unknown as string), TypeError);
});

inMemory('an onDamage that is no function, or a signal that is none, is a TypeError before it is needed', async (storage) => {
  await appendAll(await storage.open(), 1);
  for (const onDamage of [3, null, 'ignore', {}]) {
    const options = { fileManager: storage.fileManager, onDamage } as unknown as ReadOnlyOptions;
    await assert.rejects(WriteAheadLog.openReadOnly(storage.directory, options), { name: 'TypeError', message: /onDamage .* not / });
  }
  const reader = await view(storage);
  for (const signal of [5, null, {}]) {
    const options = { signal } as unknown as ReadOptions;
    await assert.rejects(collect(reader, options), { name: 'TypeError', message: /signal .* not / });
  }
  assert.equal((await collect(reader)).length, 1);
  await reader.close();
});

test('a log where nothing can be written is read all the same', { timeout: 60_000 }, async (context) => {
  await withTemporaryDirectory(async (directory) => {
    const place = path.join(directory, 'wal');
    const log = await WriteAheadLog.recover(place, new RecordingManager(), BLOCKS);
    await log.append('hello');
    await log.shutdown();
    fs.rmSync(path.join(place, 'LOCK'), { force: true });
    for (const name of fs.readdirSync(place)) fs.chmodSync(path.join(place, name), 0o444);
    fs.chmodSync(place, 0o555);
    const program = `import { WriteAheadLog } from ${JSON.stringify(LIBRARY)};
      for await (const entry of await WriteAheadLog.openReadOnly(${JSON.stringify(place)})) console.log(entry.id);`;
    const node = [process.execPath, '--input-type=module', '-e', program];
    // Modes do not bind root: there it takes a read-only mount.
    const mount = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', 'mount --bind "$0" "$0" && '
      + 'mount -o remount,ro,bind "$0" && ! touch "$0/x" 2>&1 && exec "$@"', place];
    const isRoot = process.getuid?.() === 0;
    if (isRoot && spawnSync(mount[0], [...mount.slice(1), 'true']).status !== 0) return context.skip('cannot mount');
    const [command, ...args] = isRoot ? [...mount, ...node] : node;
    const { stdout, stderr, status } = spawnSync(command, args, { encoding: 'utf8' });
    fs.chmodSync(place, 0o755);
    assert.equal(status, 0, stderr);
    return assert.match(stdout, /^1$/m);
  });
});

test('a reader beside a process that writes, rolls back, rotates and recycles sees only what was really written, in order', {
  timeout: 60_000,
}, async () => {
  await withTemporaryDirectory(async (directory) => {
    const place = path.join(directory, 'wal');
    const program = fileURLToPath(new URL('../tools/kill-child.js', import.meta.url));
    const writer = spawn(process.execPath, [program, place, path.join(directory, 'snapshot'), '1'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const rolledBack = new Set<number>();
    const acknowledged = new Map<number, string>();
    const lines = createInterface(writer.stdout);
    lines.on('line', (line) => {
      const [what, id, ...author] = line.split(' ');
      if (what === 'rolling-back') rolledBack.add(Number(id));
      if (what === 'acknowledged') acknowledged.set(Number(id), author.join(' '));
    });
    await once(lines, 'line');
    const seen = new Map<number, string>();
    const reader = await WriteAheadLog.openReadOnly(place, { fileManager: readingOnly(new NodeFileManager()) });
    let from: number | undefined;
    for (let overtaken = 0, rounds = 0; seen.size < 2000 || rounds < 40; rounds++) {
      try {
        for await (const entry of reader.entries(from === undefined ? {} : { from })) {
          assert.ok(entry.id >= (from ?? 1), 'in order');
          seen.set(entry.id, keyOf(authorOf(await entry.readAllChunks())));
          from = entry.id + 1;
        }
      } catch (error) {
        if (!hasCode('WAL_POSITION_GONE')(error)) throw error;
        overtaken++;
        from = undefined;
      }
      assert.ok(overtaken <= rounds + 1);
      await reader.refresh();
    }
    await reader.close();
    writer.kill('SIGKILL');
    await once(writer, 'close');
    for (const [id, author] of seen) {
      assert.ok(!rolledBack.has(id), `entry ${id} was rolled back`);
      assert.equal(acknowledged.get(id) ?? author, author, `entry ${id} is another's`);
    }
    assert.equal(new Set(seen.values()).size, seen.size, 'no entry was seen under two ids');
  });
});

inMemory('options that are inherited are not passed over', async (storage) => {
  const log = await storage.open();
  await log.append('one');
  const options = Object.create({ fileManager: storage.fileManager, bufferBytes: 4096 }) as ReadOnlyOptions;
  const reader = await WriteAheadLog.openReadOnly(storage.directory, options);
  assert.equal(reader.lastId, 1);
  await reader.close();
});
