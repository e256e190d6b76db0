/** Entries that are written chunk by chunk. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import type { EntryWriter } from '../../src/index.js';
import { Gate } from '../tools/faulty-file-manager.js';
import {
  forEachFileManager, inMemory, isSettled, pattern, ready, RecordingManager, text, turns, until,
} from '../tools/helpers.js';

const ROOMY = {
  preallocateBytes: 256 * 1024, checkpointAfterBytes: 200 * 1024, bufferBytes: 4096, maxPendingBytes: 16 * 1024,
};

forEachFileManager('one entry is written at a time; who waits has a turn in the order of coming', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const order: string[] = [];
  const first = await log.beginEntry();
  const second = log.beginEntry().then(async (writer) => {
    order.push('second');
    await writer.writeChunk('second');
    return writer.commit();
  });
  const third = log.append('third').then(({ id }) => {
    order.push('third');
    return id;
  });
  const fourth = log.beginEntry().then(async (writer) => {
    order.push('fourth');
    await writer.rollback();
    return writer.id;
  });
  await turns();
  assert.deepEqual(order, []);
  assert.equal(log.stats().waitingWriters, 3);
  await first.writeChunk('first');
  await first.commit();
  assert.deepEqual(await Promise.all([second, third, fourth]), [2, 3, 4]);
  assert.deepEqual(new Set(order), new Set(['second', 'third', 'fourth']));
  const entries = await (await storage.crash()).contents(ROOMY);
  assert.deepEqual(entries.map(({ chunks }) => chunks[0]), ['first', 'second', 'third']);
});

forEachFileManager('the next writer begins when commit is called, not when it is durable', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'sync' ? gate.pass() : undefined);
  const first = await log.beginEntry();
  const waiting = log.beginEntry();
  await first.writeChunk('first');
  const committed = first.commit();
  const second = await waiting;
  await second.writeChunk('second');
  const also = second.commit();
  assert.equal(await isSettled(Promise.race([committed, also])), false);
  gate.open();
  assert.deepEqual(await Promise.all([committed, also]), [1, 2]);
});

forEachFileManager('an aborted signal gives up the place in line, and the next in line has it', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const holder = await log.beginEntry();
  const controller = new AbortController();
  const aborted = log.beginEntry({ signal: controller.signal });
  const next = log.beginEntry({ signal: new AbortController().signal });
  const reason = new Error('changed my mind');
  controller.abort(reason);
  await assert.rejects(aborted, (error) => error === reason);
  assert.equal(await isSettled(next), false);
  await holder.rollback();
  const writer = await next;
  assert.equal(writer.id, 2, 'no id was spent on the one who left');
  await writer.writeChunk('kept');
  await writer.commit();
  assert.deepEqual(await (await storage.crash()).contents(ROOMY), [{ id: 2, chunks: ['kept'] }]);
});

inMemory('a signal aborted before gets no place, and one aborted too late changes nothing', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  await assert.rejects(log.beginEntry({ signal: AbortSignal.abort('no') }), (error) => error === 'no');
  const controller = new AbortController();
  const writer = await log.beginEntry({ signal: controller.signal });
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  controller.abort();
  await writer.writeChunk('data');
  assert.equal(await writer.commit(), 1);
});

inMemory('a hundred aborted places do not pile up, nor keep a shutdown waiting', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const holder = await log.beginEntry();
  const controllers = Array.from({ length: 100 }, () => new AbortController());
  const aborted = controllers.map(({ signal }) => log.beginEntry({ signal }));
  const outcomes = Promise.allSettled(aborted);
  for (const controller of controllers) controller.abort();
  assert.ok((await outcomes).every(({ status }) => status === 'rejected'));
  await holder.writeChunk('x');
  await holder.commit();
  assert.equal(log.stats().waitingWriters, 0);
  await log.shutdown();
});

forEachFileManager('a rolled-back entry is never recovered, and its id is not given again', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const writer = await log.beginEntry();
  await writer.writeChunk('gone');
  await Promise.all([writer.rollback(), writer.rollback()]);
  await writer.rollback();
  assert.equal((await log.append('kept')).id, 2);
  const last = await log.beginEntry();
  await last.writeChunk('gone too');
  await last.rollback();
  await log.shutdown();
  const manager = new RecordingManager();
  const again = await storage.open({ manager, options: ROOMY });
  assert.deepEqual(manager.recovered, [{ id: 2, chunks: ['kept'] }]);
  assert.equal((await again.append('next')).id, 4);
});

/** What `await using` does. */
async function scope(writer: EntryWriter, body: (writer: EntryWriter) => Promise<unknown>): Promise<void> {
  try {
    await body(writer);
  } finally {
    await writer[Symbol.asyncDispose]();
  }
}

forEachFileManager('leaving the scope of an entry rolls it back, unless it was committed', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  await scope(await log.beginEntry(), (writer) => writer.writeChunk('left open'));
  await assert.rejects(scope(await log.beginEntry(), async (writer) => {
    await writer.writeChunk('left by an error');
    throw new Error('mine');
  }), /mine/);
  await scope(await log.beginEntry(), async (writer) => {
    await writer.writeChunk('committed');
    await writer.commit();
  });
  await assert.rejects(scope(await log.beginEntry(), async (writer) => {
    const chunk = await writer.beginChunk(5);
    await chunk.finish();
  }), RangeError);
  await scope(await log.beginEntry(), (writer) => writer.beginChunk(5));
  assert.equal((await log.append('last')).id, 6);
  const entries = await (await storage.crash()).contents(ROOMY);
  assert.deepEqual(entries.map(({ chunks }) => chunks), [['committed'], ['last']]);
});

forEachFileManager('the position of a chunk is final at once, and readable when durable', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const writer = await log.beginEntry();
  const records = [await writer.writeChunk('one'), await writer.writeChunk(pattern(9000)), await writer.writeChunk('')];
  const chunk = await writer.beginChunk(6);
  await chunk.write('str');
  await chunk.write('');
  await chunk.write(Buffer.from('eam'));
  records.push(await chunk.finish());
  await writer.commit();
  const found: Uint8Array[] = [];
  for (const { position, length } of records) {
    const reader = await log.readAt(position);
    assert.equal(reader.length, length);
    found.push(await reader.readAll());
    await reader.close();
  }
  assert.deepEqual(found.map(text), ['one', text(pattern(9000)), '', 'stream']);
  assert.ok(Buffer.from(found[1]).equals(pattern(9000)));
});

forEachFileManager('a streamed chunk is like one written at once, however its pieces are cut', async (storage) => {
  const data = pattern(30_000);
  const log = await storage.open({ options: ROOMY });
  for (const piece of [1000, 4095, 4096, 4097, 16_384, 30_000]) {
    const writer = await log.beginEntry();
    const chunk = await writer.beginChunk(data.length);
    for (let at = 0; at < data.length; at += piece) await chunk.write(data.subarray(at, at + piece));
    const { position } = await chunk.finish();
    await writer.commit();
    const reader = await log.readAt(position);
    assert.ok(Buffer.from(await reader.readAll()).equals(data), `pieces of ${piece}`);
    await reader.close();
  }
  const ids: number[] = [];
  const manager = new RecordingManager();
  manager.onRecover = async (entry) => {
    assert.ok(Buffer.concat(await entry.readAllChunks()).equals(data));
    ids.push(entry.id);
  };
  await (await storage.crash()).open({ manager, options: ROOMY });
  assert.deepEqual(ids, [1, 2, 3, 4, 5, 6]);
});

inMemory('a streamed chunk waits for the disk instead of filling the memory', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const gate = new Gate();
  faulty.before = ({ operation }) => (operation === 'write' ? gate.pass() : undefined);
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(100_000);
  let written = 0;
  const writing = (async () => {
    for (; written < 100_000; written += 2000) await chunk.write(pattern(2000));
    await chunk.finish();
    return writer.commit();
  })();
  assert.equal(await isSettled(writing), false);
  assert.ok(written <= ROOMY.maxPendingBytes, `${written} bytes were taken`);
  assert.ok(log.stats().pendingBytes <= ROOMY.maxPendingBytes);
  gate.open();
  assert.equal(await writing, 1);
});

forEachFileManager('an entry that reached the disk in several flushes is recovered whole', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const writer = await log.beginEntry();
  const chunks: string[] = [];
  for (let i = 0; i < 10; i++) {
    chunks.push(`${i}`.repeat(3000));
    const chunk = await writer.beginChunk(3000);
    const { flushes } = log.stats();
    await chunk.write(chunks[i].slice(0, 2900));
    if (i % 2 === 1) await until(() => log.stats().flushes > flushes || log.stats().pendingBytes < 4096);
    await chunk.write(chunks[i].slice(2900));
    await chunk.finish();
  }
  await writer.commit();
  assert.ok(log.stats().flushes > 3);
  assert.deepEqual(await (await storage.crash()).contents(ROOMY), [{ id: 1, chunks }]);
});

inMemory('who gave up waiting is not counted among those who wait', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  const holder = await log.beginEntry();
  const controllers = [new AbortController(), new AbortController(), new AbortController()];
  const waiting = controllers.map(({ signal }) => log.beginEntry({ signal }));
  const [first, second, third] = waiting;
  assert.equal(log.stats().waitingWriters, 3);
  controllers[1].abort();
  await assert.rejects(second, { name: 'AbortError' });
  assert.equal(log.stats().waitingWriters, 2);
  await holder.rollback();
  await (await first).rollback();
  await (await third).rollback();
  assert.equal(log.stats().waitingWriters, 0);
});
