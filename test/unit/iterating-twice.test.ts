/** Everything that can be iterated, iterated again: every loop gets all there is, or says that it cannot. */
import assert from 'node:assert/strict';
import {
  WriteAheadLog, type Entry, type EntryChunk, type LogManager, type SegmentReader,
} from '../../src/index.js';
import { forEachFileManager, pattern, text, until, type Storage } from '../tools/helpers.js';
import { KeepingManager, nextEntry, range, seen } from '../tools/iterating.js';

const BLOCK_BYTES = 4096;
const WIDE = { preallocateBytes: 32 * 1024, checkpointAfterBytes: 30 * 1024, bufferBytes: BLOCK_BYTES };

interface Read {
  readonly id: number;
  readonly chunks: readonly string[];
}

/** Small entries, and some that are larger than the blocks they are read in. */
const WRITTEN: readonly Read[] = range(1, 12).map((id) => (
  { id, chunks: [`entry ${id}`, pattern(id % 5 === 0 ? BLOCK_BYTES + id : 300, id).toString('hex')] }
));

async function readAll(entries: AsyncIterable<Entry>): Promise<Read[]> {
  const read: Read[] = [];
  for await (const entry of entries) read.push(await seen(entry));
  return read;
}

/** Has a segment with `WRITTEN` checkpointed. Resolves with what `use` comes to when the checkpoint is done. */
async function checkpointWith<T>(storage: Storage, use: (entries: SegmentReader) => Promise<T>): Promise<T> {
  const results: T[] = [];
  const manager: LogManager = {
    recover: () => undefined,
    checkpointTo: async (_lastId, entries) => void results.push(await use(entries)),
  };
  const log = await storage.open({ manager, options: WIDE });
  const failures: Error[] = [];
  log.on('checkpointFailed', ({ error }) => failures.push(error));
  for (const { chunks } of WRITTEN) await log.append(chunks);
  await log.checkpointActive();
  await until(() => failures.length > 0 || log.stats().segmentsToCheckpoint === 0);
  assert.deepEqual(failures, []);
  assert.equal(results.length, 1);
  return results[0];
}

async function openWritten(storage: Storage): Promise<WriteAheadLog> {
  const log = await storage.open({ manager: new KeepingManager(), options: WIDE });
  for (const { chunks } of WRITTEN) await log.append(chunks);
  return log;
}

function openReader({ directory, fileManager }: Storage) {
  return WriteAheadLog.openReadOnly(directory, { fileManager, bufferBytes: BLOCK_BYTES });
}

forEachFileManager('a checkpoint that reads its entries a second time gets all of them again', async (storage) => {
  const [first, second] = await checkpointWith(storage, async (entries) => [
    await readAll(entries), await readAll(entries),
  ]);
  assert.deepEqual(first, WRITTEN);
  assert.deepEqual(second, WRITTEN, 'a manager that validates, then stores, would have stored nothing');
});

forEachFileManager('two loops at once over the entries of a checkpoint do not disturb one another', async (storage) => {
  const loops = await checkpointWith(storage, (entries) => Promise.all([
    readAll(entries), readAll(entries), readAll(entries),
  ]));
  assert.deepEqual(loops, [WRITTEN, WRITTEN, WRITTEN]);
});

forEachFileManager('a loop over the entries of a checkpoint after one that was left early begins at the first', async (storage) => {
  const again = await checkpointWith(storage, async (entries) => {
    for await (const entry of entries) if (entry.id === 6) break;
    for await (const entry of entries) {
      const within: number[] = [];
      for await (const { id } of entries) within.push(id);
      assert.deepEqual(within, range(1, 12), `a loop within the loop, at entry ${entry.id}`);
      if (entry.id === 2) break;
    }
    return readAll(entries);
  });
  assert.deepEqual(again, WRITTEN);
});

forEachFileManager('after its checkpoint no loop shows an entry, neither one under way nor a new one', async (storage) => {
  const { entries, underWay } = await checkpointWith(storage, async (given) => {
    const iterator = given[Symbol.asyncIterator]();
    await iterator.next();
    return { entries: given, underWay: iterator };
  });
  await assert.rejects(underWay.next(), { code: 'WAL_POSITION_GONE' });
  await assert.rejects(readAll(entries), { code: 'WAL_POSITION_GONE' });
  await assert.rejects(readAll(entries), { code: 'WAL_POSITION_GONE' });
});

forEachFileManager('an entry kept beyond its checkpoint says that it is gone when its file is used again', async (storage) => {
  const kept = await checkpointWith(storage, async (entries) => {
    const all: Entry[] = [];
    for await (const entry of entries) all.push(entry);
    return all;
  });
  for (const entry of kept) {
    // What is still in memory may be shown, but nothing else, and never less without a word.
    await seen(entry).then(
      (read) => assert.deepEqual(read, WRITTEN[entry.id - 1]),
      ({ code }: { code: string }) => assert.equal(code, 'WAL_POSITION_GONE'),
    );
  }
});

forEachFileManager('a second loop over what entries() returned is refused, not silently empty', async (storage) => {
  const log = await openWritten(storage);
  const reader = await openReader(storage);
  for (const entries of [log.entries(), log.entries({ from: 3, follow: true }), reader.entries()]) {
    for await (const { id } of entries) if (id === 5) break;
    await assert.rejects(readAll(entries), { name: 'TypeError', message: /entries\(\)/ });
  }
  const whole = reader.entries();
  assert.deepEqual(await readAll(whole), WRITTEN);
  await assert.rejects(readAll(whole), TypeError);
  await reader.close();
});

forEachFileManager('two loops over one iterator do not share its entries: the second is refused', async (storage) => {
  const log = await openWritten(storage);
  const reader = await openReader(storage);
  for (const entries of [log.entries(), reader.entries()]) {
    const [first, second] = await Promise.allSettled([readAll(entries), readAll(entries)]);
    assert.deepEqual(first, { status: 'fulfilled', value: WRITTEN });
    assert.equal(second.status, 'rejected');
  }
  await reader.close();
});

forEachFileManager('a loop over an iterator that was asked by hand before continues where that was', async (storage) => {
  const log = await openWritten(storage);
  const reader = await openReader(storage);
  for (const entries of [log.entries(), reader.entries()]) {
    assert.equal((await nextEntry(entries as AsyncIterator<Entry, undefined>))?.id, 1);
    assert.deepEqual(await readAll(entries), WRITTEN.slice(1));
  }
  await reader.close();
});

forEachFileManager('a log and a reader can be iterated as often as anybody likes, also at once', async (storage) => {
  const log = await openWritten(storage);
  const reader = await openReader(storage);
  const loops = await Promise.all([log.entries(), log.entries(), reader, reader, reader.entries()].map(readAll));
  for (const loop of loops) assert.deepEqual(loop, WRITTEN);
  assert.deepEqual(await readAll(reader), WRITTEN);
  await reader.close();
});

async function chunksOf(entry: Entry): Promise<string[]> {
  const chunks: string[] = [];
  for await (const chunk of entry) chunks.push(text(await chunk.readAll()));
  return chunks;
}

async function piecesOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const read: Uint8Array[] = [];
  for await (const piece of pieces) read.push(piece);
  return text(Buffer.concat(read));
}

forEachFileManager('the chunks of an entry, and their pieces, are there for every loop, also at once', async (storage) => {
  const log = await openWritten(storage);
  const reader = await openReader(storage);
  for (const entries of [log.entries(), reader.entries()]) {
    for await (const entry of entries) {
      const { chunks } = WRITTEN[entry.id - 1];
      assert.deepEqual(await chunksOf(entry), chunks);
      assert.deepEqual(await Promise.all([chunksOf(entry), chunksOf(entry)]), [chunks, chunks]);
      const found: EntryChunk[] = [];
      for await (const chunk of entry) found.push(chunk);
      for (const [i, chunk] of found.entries()) {
        assert.equal(await piecesOf(chunk), chunks[i]);
        assert.deepEqual(await Promise.all([piecesOf(chunk), piecesOf(chunk)]), [chunks[i], chunks[i]]);
      }
    }
  }
  await reader.close();
});

forEachFileManager('a chunk reader gives all pieces to one loop, and refuses a second', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: WIDE });
  const data = pattern(700 * 1024).toString('latin1');
  const { chunks: [{ position }] } = await log.append(Buffer.from(data, 'latin1'));
  const reader = await log.readAt(position);
  const pieces: Uint8Array[] = [];
  for await (const piece of reader) {
    pieces.push(piece);
    if (pieces.length === 1) await assert.rejects(piecesOf(reader), TypeError, 'in the middle of the first loop');
  }
  assert.equal(Buffer.concat(pieces).toString('latin1'), data);
  await assert.rejects(piecesOf(reader), TypeError, 'after the first loop');
});

forEachFileManager('an entry damaged since it was verified does not look like one with fewer chunks', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: WIDE });
  const large = pattern(BLOCK_BYTES);
  const { chunks } = await log.append([large, large, 'last']);
  const entry = await nextEntry(log.entries());
  assert.ok(entry !== undefined);
  await storage.damage('wal-1', chunks[1].position.offset);
  await assert.rejects(chunksOf(entry), { code: 'WAL_CORRUPT', offset: chunks[1].position.offset });
  await assert.rejects(entry.readAllChunks(), { code: 'WAL_CORRUPT' });
});
