/** Chunks whose length is known only when they end, and streams written as chunks. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import type { ChunkData, EntryWriter, WriteAheadLog } from '../../src/index.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import { forEachFileManager, inMemory, pattern, ready, Storage, until } from '../tools/helpers.js';
import { KeepingManager, readEntries, readIds } from '../tools/iterating.js';

const TIGHT = { bufferBytes: 4096, maxPendingBytes: 8192 };

async function writePieces(writer: EntryWriter, pieces: readonly ChunkData[]) {
  const chunk = await writer.beginChunk();
  for (const piece of pieces) await chunk.write(piece);
  return chunk.finish();
}

async function bytesAt(log: WriteAheadLog, position: Parameters<WriteAheadLog['readAt']>[0]): Promise<Buffer> {
  const reader = await log.readAt(position);
  const bytes = Buffer.from(await reader.readAll());
  await reader.close();
  return bytes;
}

for (const pieces of [[], [0], [1], [0, 5, 0], [100, 1, 100], [4096], [4087], [3000, 3000], [8192], [30_000, 1, 20_000]]) {
  const length = pieces.reduce((sum, piece) => sum + piece, 0);
  forEachFileManager(`a chunk of unknown length, ${length} bytes in ${pieces.length} pieces, reads as it was written`, async (storage) => {
    const log = await storage.open({ manager: new KeepingManager(), options: TIGHT });
    const data = pieces.map((piece, i) => pattern(piece, i + 1));
    const writer = await log.beginEntry();
    const before = await writer.writeChunk('before');
    const written = await writePieces(writer, data);
    const behind = await writePieces(writer, ['beh', 'ind']);
    await writer.commit();
    assert.equal(written.length, length);
    const expected = Buffer.concat(data);
    assert.deepEqual(await bytesAt(log, written.position), expected);
    assert.equal(String(await bytesAt(log, before.position)), 'before');
    assert.equal(String(await bytesAt(log, behind.position)), 'behind');
    const chunks = ['before', expected.toString(), 'behind'];
    assert.deepEqual(await readEntries(log), [{ id: 1, chunks }]);
    await log.append('next');
    assert.deepEqual(await (await storage.crash()).contents(TIGHT), [{ id: 1, chunks }, { id: 2, chunks: ['next'] }]);
  });
}

inMemory('the bytes on the disk are those of a chunk whose length was known', async (storage) => {
  const other = new Storage(storage.fileManager, '/other');
  const [known, unknown] = [await storage.open(), await other.open()];
  const first = await known.append(pattern(1000));
  const writer = await unknown.beginEntry();
  const chunk = await writePieces(writer, [pattern(1000)]);
  await writer.commit();
  assert.deepEqual(chunk.position, first.chunks[0].position);
  const [{ offset }, a, b] = [chunk.position, await storage.get('wal-1'), await other.get('wal-1')];
  // But for the checksum, which begins with what is drawn at random for each segment.
  assert.deepEqual(a.subarray(offset, offset + 5 + 1000), b.subarray(offset, offset + 5 + 1000));
  await other.shutDown();
});

for (const kind of ['generator', 'Readable', 'ReadableStream'] as const) {
  forEachFileManager(`a ${kind} larger than a segment becomes one chunk`, async (storage) => {
    const log = await storage.open({ manager: new KeepingManager(), options: TIGHT });
    const pieces = Array.from({ length: 20 }, (_, i) => pattern(i * 150, i + 1));
    const sources = {
      generator: async function* () { yield* pieces; },
      Readable: () => Readable.from(pieces) as AsyncIterable<Buffer>,
      ReadableStream: () => ReadableStream.from(pieces),
    };
    const writer = await log.beginEntry();
    const chunk = await writer.writeChunk(sources[kind]());
    await writer.commit();
    assert.deepEqual(await bytesAt(log, chunk.position), Buffer.concat(pieces));
    const [entry] = await (await storage.crash()).contents(TIGHT);
    assert.deepEqual(entry.chunks, [Buffer.concat(pieces).toString()]);
  });
}

forEachFileManager('a stream that fails half-way leaves nothing of its entry, and the next goes on', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: TIGHT });
  await log.append('before');
  const failure = new Error('the source is gone');
  const writer = await log.beginEntry();
  await writer.writeChunk('kept until the rollback');
  await assert.rejects(writer.writeChunk((async function* () {
    for (let i = 0; i < 10; i++) yield pattern(3000);
    throw failure;
  })()), failure);
  await assert.rejects(writer.writeChunk('more'), TypeError);
  await assert.rejects(writer.commit(), TypeError);
  await writer.rollback();
  const { id } = await log.append('behind');
  assert.deepEqual((await readEntries(log)).map(({ chunks }) => chunks), [['before'], ['behind']]);
  assert.deepEqual((await (await storage.crash()).contents(TIGHT)).map((entry) => entry.id), [1, id]);
});

inMemory('a stream of what is no data is refused, and its source is told to end', async (storage) => {
  const log = await storage.open();
  let ended = false;
  const source = (async function* () {
    try {
      yield 'text';
      yield 5 as unknown as string;
      assert.fail('nobody takes more');
    } finally {
      ended = true;
    }
  })();
  const writer = await log.beginEntry();
  await assert.rejects(writer.writeChunk(source), TypeError);
  assert.equal(ended, true);
  await assert.rejects(writer.commit(), TypeError);
  await writer.rollback();
  assert.deepEqual(await readIds(log), []);
});

inMemory('a stream that has stalled keeps neither a rollback, nor a shutdown, nor a failure from ending its chunk', async (base) => {
  const { storage, faulty } = base.withFaults();
  const stalled = (): AsyncIterable<string> & { isTold: boolean } => {
    const source = {
      isTold: false,
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => {}),
        return: () => {
          source.isTold = true;
          return new Promise<never>(() => {});
        },
      }),
    };
    return source;
  };
  const log = await storage.open();
  const [first, second, third] = [stalled(), stalled(), stalled()];
  const writer = await log.beginEntry();
  const writing = writer.writeChunk(first);
  await Promise.all([assert.rejects(writing, TypeError), writer.rollback()]);
  const other = (await log.beginEntry()).writeChunk(second);
  await Promise.all([assert.rejects(other, { code: 'WAL_CLOSED' }), log.shutdown()]);

  const again = await storage.open();
  const last = (await again.beginEntry()).writeChunk(third);
  faulty.compromise(new Error('taken over'));
  await assert.rejects(last, { code: 'WAL_FAILED' });
  assert.ok(first.isTold && second.isTold && third.isTold);
});

inMemory('a stream is not asked for more once its entry has been rolled back, nor fails with nobody to hear it', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: { maxPendingBytes: 4096, bufferBytes: 4096 } });
  await ready(log);
  const gate = new Gate();
  faulty.before = (call) => (call.operation === 'write' ? gate.pass() : undefined);
  let asked = 0;
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: (): Promise<IteratorResult<Uint8Array>> => {
        asked++;
        return asked === 1 ? Promise.resolve({ done: false, value: pattern(1000) }) : Promise.reject(new Error('gone'));
      },
    }),
  };
  const writer = await log.beginEntry();
  const written = assert.rejects(writer.writeChunk(source), TypeError);
  await until(() => gate.arrivals > 0);
  const rolledBack = writer.rollback();
  gate.open();
  await rolledBack;
  await written;
  assert.equal(asked, 1);
});

inMemory('a source that breaks the rules of iteration leaves an entry that can only be rolled back', async (storage) => {
  const log = await storage.open();
  const sources = [
    { [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve(undefined) }) },
    { [Symbol.asyncIterator]: () => { throw new TypeError('locked'); } },
  ];
  for (const source of sources) {
    const writer = await log.beginEntry();
    await assert.rejects(writer.writeChunk(source as unknown as AsyncIterable<string>), TypeError);
    await assert.rejects(writer.commit(), /can only be rolled back/);
    await writer.rollback();
  }
});

forEachFileManager('a crash before the length is known leaves nothing of the entry', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager(), options: TIGHT });
  await log.append('before');
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk();
  for (let i = 0; i < 10; i++) await chunk.write(pattern(3000, i));
  const crashed = await storage.crash();
  assert.deepEqual((await crashed.contents(TIGHT)).map(({ id }) => id), [1]);
  await chunk.finish();
  assert.deepEqual((await (await storage.crash()).contents(TIGHT)).map(({ id }) => id), [1]);
  await writer.rollback();
});

inMemory('a log that fails or is shut down ends a chunk of unknown length', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: TIGHT });
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk();
  faulty.before = ({ operation }) => {
    if (operation === 'write') throw systemError('EIO');
  };
  await assert.rejects(async () => {
    for (;;) await chunk.write(pattern(3000));
  }, { name: 'WalError', code: 'WAL_FAILED' });
  await assert.rejects(chunk.finish(), { code: 'WAL_FAILED' });
  await writer.rollback();
  await log.shutdown();
  faulty.before = () => undefined;

  const second = await storage.open({ options: TIGHT });
  const open = await second.beginEntry();
  const other = await open.beginChunk();
  await other.write('some');
  await second.shutdown();
  await assert.rejects(other.write('more'));
  await assert.rejects(other.finish());
});

inMemory('nothing else is written to an entry while a chunk of unknown length is open', async (storage) => {
  const log = await storage.open();
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk();
  await assert.rejects(writer.beginChunk(), TypeError);
  await assert.rejects(writer.writeChunk('x'), TypeError);
  await assert.rejects(writer.commit(), TypeError);
  const first = chunk.write('x');
  await assert.rejects(chunk.write('y'), TypeError);
  await first;
  await assert.rejects(chunk.write(5 as unknown as string), TypeError);
  assert.equal(chunk.length, undefined);
  assert.equal((await chunk.finish()).length, 1);
  await assert.rejects(chunk.finish(), TypeError);
  await assert.rejects(chunk.write('z'), TypeError);
  await writer.commit();
  await assert.rejects(async () => writer.beginChunk(null as unknown as number), TypeError);
});
