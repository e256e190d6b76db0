/** Iterations that begin with an entry whose position is known, without what comes before it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LogPosition, LogVoid, WriteAheadLog, type Entry, type EntryId } from '../../src/index.js';
import {
  checkpointAll, forEachFileManager, inMemory, isSettled, pattern, quiet, text, until, type Storage,
} from '../tools/helpers.js';
import { KeepingManager, nextEntry } from '../tools/iterating.js';

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0', import.meta.url));
const hasCode = (code: string) => ({ name: 'WalError', code });

/** An entry as it was written or read: its id, and the positions of its chunks. */
interface Known {
  readonly id: EntryId;
  readonly positions: readonly LogPosition[];
}

async function idsFrom(entries: AsyncIterable<Entry>): Promise<EntryId[]> {
  const ids: EntryId[] = [];
  for await (const entry of entries) ids.push(entry.id);
  return ids;
}

async function knownEntries(log: WriteAheadLog): Promise<Known[]> {
  const known: Known[] = [];
  for await (const entry of log.entries()) {
    const positions: LogPosition[] = [];
    for await (const { position } of entry) positions.push(position);
    known.push({ id: entry.id, positions });
  }
  return known;
}

/** Entries of every kind, over several segments: with marks in all places where there can be one. */
async function writeAll(log: WriteAheadLog): Promise<void> {
  for (let round = 0; round < 4; round++) {
    await log.append(pattern(300, round));
    await log.append(['three', '', 'chunks']);
    await log.appendBatch(['a', ['b', 'c'], pattern(900), []]);
    const writer = await log.beginEntry();
    // More than the buffers hold: the entry is flushed, with marks, while it is being written.
    await writer.writeChunk(pattern(6000));
    await writer.writeChunk(pattern(6000));
    await writer.commit();
    const undone = await log.beginEntry();
    await undone.writeChunk(pattern(5000));
    await undone.rollback();
    await Promise.all(['x', 'y', 'z'].map((data) => log.append(data)));
  }
}

/** Every entry can be begun with by its first chunk, and by no other. */
async function expectFromEach(log: WriteAheadLog, storage: Storage): Promise<void> {
  const known = await knownEntries(log);
  const ids = known.map(({ id }) => id);
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  for (const [i, { id, positions: [first, ...others] }] of known.entries()) {
    if (first === undefined) continue;
    assert.deepEqual(await idsFrom(log.entries({ from: first })), ids.slice(i), `entry ${id}`);
    assert.deepEqual(await idsFrom(reader.entries({ from: first })), ids.slice(i), `entry ${id}, read-only`);
    for (const from of others) {
      const expected = { ...hasCode('WAL_NO_ENTRY'), segmentId: from.segmentId, offset: from.offset };
      await assert.rejects(log.entries({ from }).next(), expected);
      await assert.rejects(reader.entries({ from }).next(), expected);
    }
  }
  await reader.close();
}

forEachFileManager('an iteration cannot begin with the position of some entry, or misses what follows it', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await writeAll(log);
  await expectFromEach(log, storage);
  await log.shutdown();
  const again = await storage.open({ manager: new KeepingManager() });
  // Behind the link of an opening, and behind a truncation.
  await again.append(['after the opening', 'two']);
  const { id } = await again.append('last');
  await again.append('truncated');
  await again.truncateAfter(id);
  await again.append(['after the truncation', 'two']);
  await expectFromEach(again, storage);
  assert.equal(again.stats().readers, 0);
});

forEachFileManager("an iteration cannot begin with a position in the predecessor's log", async (storage) => {
  const directory = `${FIXTURES}/segments/log`;
  for (const file of readdirSync(directory)) await storage.put(file, readFileSync(`${directory}/${file}`));
  const log = await storage.open({ manager: new KeepingManager() });
  await log.append(['new', 'format']);
  await expectFromEach(log, storage);
});

inMemory('an iteration from a position reads what comes before it', async (base) => {
  const { storage, faulty } = base.withFaults();
  const options = { preallocateBytes: 1024 * 1024, checkpointAfterBytes: 900_000, bufferBytes: 4096 };
  const log = await storage.open({ options });
  for (let i = 0; i < 50; i++) await log.append(pattern(10_000, i));
  const { id, chunks: [{ position }] } = await log.append('here');
  await log.append('and here');
  await quiet(faulty);
  const before = faulty.calls.length;
  assert.deepEqual(await idsFrom(log.entries({ from: position })), [id, id + 1]);
  const reads = faulty.calls.slice(before).filter(({ operation }) => operation === 'read');
  assert.ok(reads.length <= 3, `${reads.length} reads`);
  for (const read of reads) assert.ok((read.position ?? 0) > position.offset - 1024, `a read at ${read.position}`);
});

forEachFileManager('a position that is none is begun with, or shows an entry that is not there', async (storage) => {
  const manager = new KeepingManager();
  const log = await storage.open({ manager, options: { preallocateBytes: 65536, checkpointAfterBytes: 32768 } });
  for (const from of ['1', {}, null, { segmentId: 1, offset: 99 }]) {
    assert.throws(() => log.entries({ from: from as never }), { name: 'TypeError', message: /entry id or a LogPosition/ });
  }
  const next = async (from: LogPosition): Promise<EntryId | undefined> => {
    const entries = log.entries({ from });
    try {
      return (await nextEntry(entries))?.id;
    } finally {
      await entries.return?.();
    }
  };
  // Data that looks like an entry's record, right before the next chunk.
  const [first, second] = (await log.append([Buffer.from([1, 5, 0, 0, 0, 0, 0, 0, 0]), 'second'])).chunks;
  const lookalike = await log.append([Buffer.concat([pattern(40), Buffer.from([1, 2, 0, 0, 0])]), 'second', pattern(30)]);
  await log.append('more');
  assert.equal(await next(first.position), 1);
  await assert.rejects(next(second.position), hasCode('WAL_NO_ENTRY'));
  await assert.rejects(next(lookalike.chunks[1].position), hasCode('WAL_NO_ENTRY'));
  const { offset } = lookalike.chunks[0].position;
  for (const at of [offset - 9, offset + 1, offset + 20]) {
    await assert.rejects(next(new LogPosition(1, at)), { ...hasCode('WAL_CORRUPT'), segmentId: 1, offset: at });
  }
  await assert.rejects(next(new LogPosition(1, 10)), hasCode('WAL_POSITION_GONE'));
  await assert.rejects(next(new LogPosition(1, 60_000)), hasCode('WAL_POSITION_GONE'));
  await assert.rejects(next(new LogPosition(7, 62)), hasCode('WAL_POSITION_GONE'));
  // Its own record, its data, its end, and the chain that it continues.
  for (const at of [offset - 8, offset + 6, offset - 12]) {
    await storage.damage('wal-1', at);
    await assert.rejects(next(lookalike.chunks[0].position), hasCode('WAL_CORRUPT'), `damage at ${at}`);
    await storage.damage('wal-1', at);
  }
  assert.equal(await next(lookalike.chunks[0].position), 2);
  assert.equal(log.stats().readers, 0);
});

forEachFileManager('an iteration from a position that is not durable yet shows it, or a follower does not wait', async (base) => {
  const { storage } = base.withFaults();
  const log = await storage.open({ options: { sync: 'manual' } });
  const { chunks: [{ position }] } = await log.append('not synced');
  await assert.rejects(log.entries({ from: position }).next(), { ...hasCode('WAL_NOT_DURABLE'), offset: position.offset });
  const follower = log.entries({ from: position, follow: true });
  assert.equal((await nextEntry(follower))?.id, 1);
  assert.equal(log.durableId, 1);
  const writer = await log.beginEntry();
  const { position: undone } = await writer.writeChunk('rolled back');
  const other = log.entries({ from: undone, follow: true }).next();
  assert.equal(await isSettled(other), false);
  await Promise.all([assert.rejects(other, hasCode('WAL_POSITION_GONE')), writer.rollback()]);
  await follower.return?.();
  const late = await log.beginEntry();
  const { position: open } = await late.writeChunk('committed late');
  const given = log.entries({ from: open, follow: true });
  const waiting = given.next();
  assert.equal(await isSettled(waiting), false);
  await given.return?.();
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.equal(log.stats().readers, 0);
  await late.commit();
});

forEachFileManager('an iteration from a position misses that its entry was checkpointed or truncated', async (storage) => {
  const log = await storage.open({ manager: LogVoid });
  const { chunks: [first] } = await log.append('checkpointed');
  await checkpointAll(log);
  await until(() => log.stats().segments.length === 1);
  await assert.rejects(log.entries({ from: first.position }).next(), hasCode('WAL_POSITION_GONE'));
  const { id } = await log.append('kept');
  const { chunks: [cut] } = await log.append('truncated');
  const entries = log.entries({ from: cut.position, follow: true });
  await log.truncateAfter(id);
  await log.append('in its place');
  await assert.rejects(entries.next(), hasCode('WAL_POSITION_GONE'));
  assert.equal(log.stats().readers, 0);
});

forEachFileManager('a read-only log shows entries from a position on although they are damaged later', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  const written: Known[] = [];
  for (let i = 0; i < 12; i++) {
    const { id, chunks } = await log.append(pattern(400, i));
    written.push({ id, positions: chunks.map(({ position }) => position) });
  }
  await log.shutdown();
  const [, second, third, fourth] = written;
  await storage.damage('wal-1', fourth.positions[0].offset + 9);
  const reader = await WriteAheadLog.openReadOnly(storage.directory, { fileManager: storage.fileManager });
  const shown: EntryId[] = [];
  const reading = (async () => {
    for await (const entry of reader.entries({ from: second.positions[0] })) {
      shown.push(entry.id);
      assert.equal(text((await entry.readAllChunks())[0]), text(pattern(400, entry.id - 1)));
    }
  })();
  await assert.rejects(reading, hasCode('WAL_CORRUPT'));
  assert.deepEqual(shown, [second.id, third.id]);
  await reader.close();
  await assert.rejects(reader.entries({ from: second.positions[0] }).next(), hasCode('WAL_CLOSED'));
});
