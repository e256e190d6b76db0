/**
 * Exceptions between the beginning and the end of an entry: whatever a caller hands over, and wherever memory runs
 * out, that entry alone is refused. Nobody else's is touched, and nothing hangs.
 */
import assert from 'node:assert/strict';
import { BlockPool } from '../../src/segment/block-pool.js';
import type { ChunkData, CommittedEntry, WalOptions, WriteAheadLog } from '../../src/index.js';
import {
  forEachFileManager, HoardingManager, inMemory, pattern, RecordingManager, until, type Storage,
} from '../tools/helpers.js';

const ROOMY: WalOptions = {
  preallocateBytes: 1024 * 1024, checkpointAfterBytes: 1000 * 1024, bufferBytes: 4096, maxPendingBytes: 16 * 1024,
};

interface ResizableBuffer extends ArrayBuffer {
  resize(length: number): void;
}

function resizable(length: number): ResizableBuffer {
  const Resizable = ArrayBuffer as unknown as new (length: number, options: { maxByteLength: number }) => ResizableBuffer;
  return new Resizable(length, { maxByteLength: 4 * length });
}

function detach(view: Uint8Array): void {
  structuredClone(view, { transfer: [view.buffer as ArrayBuffer] });
}

/** Data that cannot be written, each from sound data of `length` bytes and what spoils it. */
const SPOILT: Record<string, (length: number) => { readonly data: Uint8Array; spoil(this: void): void }> = {
  detached(length) {
    const data = new Uint8Array(length).fill(1);
    return { data, spoil: () => detach(data) };
  },
  'out of bounds'(length) {
    const buffer = resizable(length);
    return { data: new Uint8Array(buffer, 0, length), spoil: () => buffer.resize(length - 1) };
  },
};

/** The ways in which data gets into the log. */
const WAYS: Record<string, (log: WriteAheadLog, data: ChunkData) => Promise<unknown>> = {
  append: (log, data) => log.append(data),
  'append of several chunks': (log, data) => log.append(['x', data, 'y']),
  appendBatch: (log, data) => log.appendBatch(['x', data, 'y']),
  'append of more than may be pending': (log, data) => log.append([pattern(20_000), data]),
  'append of very many chunks': (log, data) => log.append([...Array<string>(5000).fill('x'), data]),
  'appendBatch of very many entries': (log, data) => log.appendBatch([...Array<string>(5000).fill('x'), data]),
  writeChunk: (log, data) => inPieces(log, (writer) => writer.writeChunk(data)),
  'writeChunk of an iterable': (log, data) => inPieces(log, (writer) => writer.writeChunk((async function* () {
    yield 'x';
    yield data;
  })())),
  'a chunk in pieces': (log, data) => inPieces(log, async (writer) => {
    const chunk = await writer.beginChunk(16);
    await chunk.write(data);
    await chunk.finish();
  }),
};

async function inPieces(
  log: WriteAheadLog, write: (writer: Awaited<ReturnType<WriteAheadLog['beginEntry']>>) => Promise<unknown>,
): Promise<void> {
  const writer = await log.beginEntry();
  try {
    await writer.writeChunk('x');
    await write(writer);
    await writer.commit();
  } finally {
    await writer[Symbol.asyncDispose]();
  }
}

/** Every entry of the log after a crash at this moment, the first chunk of each. */
async function survivors(storage: Storage): Promise<string[]> {
  const entries = await (await storage.crash()).contents(ROOMY);
  return entries.map(({ chunks }) => chunks[0]);
}

for (const [way, write] of Object.entries(WAYS)) {
  for (const [fault, spoilt] of Object.entries(SPOILT)) {
    forEachFileManager(`data that is ${fault} takes acknowledged entries with it (${way})`, async (storage) => {
      const log = await storage.open({ manager: new HoardingManager(), options: ROOMY });
      const { data, spoil } = spoilt(16);
      spoil();
      const neighbours = [log.append('before')];
      const refused = assert.rejects(write(log, data));
      neighbours.push(log.append('beside'));
      await refused;
      neighbours.push(log.append('after'));
      await Promise.all(neighbours);
      assert.deepEqual(await survivors(storage), ['before', 'beside', 'after']);
      await log.shutdown();
      assert.deepEqual(await survivors(storage), ['before', 'beside', 'after']);
    });

    forEachFileManager(`data that is ${fault} while it waits hangs those in line after it (${way})`, async (storage) => {
      const log = await storage.open({ manager: new HoardingManager(), options: ROOMY });
      const writer = await log.beginEntry();
      await writer.writeChunk('before');
      const { data, spoil } = spoilt(16);
      const refused = assert.rejects(write(log, data));
      const beside = log.append('beside');
      spoil();
      await writer.commit();
      await refused;
      await beside;
      assert.deepEqual(await survivors(storage), ['before', 'beside']);
      await log.shutdown();
      assert.deepEqual(await survivors(storage), ['before', 'beside']);
    });
  }
}

for (const [fault, spoilt] of Object.entries(SPOILT)) {
  for (const length of [20_000, undefined] as const) {
    const kind = length === undefined ? 'unknown' : 'known';
    forEachFileManager(`data that is ${fault} between two pieces ends a chunk early (${kind} length)`, async (storage) => {
      const log = await storage.open({ manager: new HoardingManager(), options: ROOMY });
      const writer = await log.beginEntry();
      const chunk = await writer.beginChunk(length);
      const { data, spoil } = spoilt(20_000);
      const writing = chunk.write(data);
      spoil();
      await assert.rejects(writing);
      await assert.rejects(chunk.finish());
      await assert.rejects(writer.commit(), TypeError);
      await writer.rollback();
      await log.append('after');
      assert.deepEqual(await survivors(storage), ['after']);
    });
  }
}

inMemory('data whose length changes while it waits takes more room than it was given', async (storage) => {
  const log = await storage.open({ manager: new HoardingManager(), options: ROOMY });
  const writer = await log.beginEntry();
  await writer.writeChunk('before');
  const buffer = resizable(16);
  const grown = [log.append(new Uint8Array(buffer)), log.appendBatch(['x', new Uint8Array(buffer)])];
  const refused = Promise.all(grown.map((promise) => assert.rejects(promise, RangeError)));
  const beside = log.append('beside');
  buffer.resize(64);
  await writer.commit();
  await Promise.all([refused, beside]);
  assert.deepEqual(await survivors(storage), ['before', 'beside']);
  assert.equal((await beside).id, 2);
});

/** Lets the `n`-th block that is taken from now on, and no other, fail for want of memory. */
function failOnBlock(n: number): { readonly hasFailed: boolean; restore(): void } {
  const { acquire } = BlockPool.prototype as { acquire: (this: BlockPool) => Buffer };
  let taken = 0;
  BlockPool.prototype.acquire = function (this: BlockPool) {
    if (++taken === n) throw new RangeError('Array buffer allocation failed');
    return acquire.call(this);
  };
  return {
    get hasFailed() {
      return taken >= n;
    },
    restore() {
      BlockPool.prototype.acquire = acquire;
    },
  };
}

for (const [way, write] of Object.entries(WAYS)) {
  inMemory(`memory that runs out within an entry takes others with it (${way})`, async (base) => {
    await base.fileManager.createDirectory(base.directory);
    for (let n = 1, hasFailed = true; hasFailed && n < 12; n++) {
      const storage = await base.crash();
      const log = await storage.open({ manager: new HoardingManager(), options: ROOMY });
      await log.append(['before', pattern(4000)]);
      const fault = failOnBlock(n);
      const written = await write(log, pattern(16)).then(() => true, () => false);
      ({ hasFailed } = fault);
      fault.restore();
      assert.equal(written, !hasFailed, `block ${n}`);
      await log.append('after');
      const firsts = await survivors(storage);
      assert.deepEqual([firsts[0], firsts.at(-1)], ['before', 'after'], `block ${n}`);
      if (hasFailed) assert.equal(firsts.length, 2, `block ${n}`);
      await log.shutdown();
      assert.deepEqual(await survivors(storage), firsts, `block ${n}`);
    }
  });
}

inMemory('memory that runs out in a commit keeps the write slot for ever', async (storage) => {
  const log = await storage.open({ manager: new HoardingManager(), options: ROOMY });
  const writer = await log.beginEntry();
  // With the mark, the entry and the chunk the block is full.
  await writer.writeChunk(pattern(4096 - 13 - 9 - 9 - 2));
  const fault = failOnBlock(1);
  const next = log.append('next');
  await assert.rejects(writer.commit(), /allocation/);
  fault.restore();
  assert.equal(fault.hasFailed, true);
  await next;
  await writer.rollback();
  assert.deepEqual(await survivors(storage), ['next']);
});

forEachFileManager('memory that runs out at any block, also where a segment ends, takes others with it', async (storage) => {
  await storage.fileManager.createDirectory(storage.directory);
  for (let n = 1; n <= 60; n++) {
    const run = await storage.crash();
    const manager = new RecordingManager();
    manager.onCheckpoint = () => {
      throw new Error('keep them');
    };
    const log = await run.open({ manager });
    log.on('checkpointFailed', () => undefined);
    const fault = failOnBlock(n);
    const kept: string[] = [];
    for (let i = 0; i < 24; i++) {
      const data = `${i} ${'x'.repeat(400)}`;
      await log.append(data).then(() => kept.push(data), (error: unknown) => assert.match(String(error), /allocation/));
    }
    fault.restore();
    await log.append('after');
    assert.ok(kept.length >= 23, `block ${n}: only ${kept.length} were kept`);
    await log.shutdown();
    assert.deepEqual((await run.contents()).map(({ chunks }) => chunks[0]), [...kept, 'after'], `block ${n}`);
    if (!fault.hasFailed) return;
  }
});

/** Fills the memory of `shared` right after it has been copied, as another thread may do at any time. */
function changeAfterCopy(shared: Uint8Array): () => void {
  const prototype = Object.getPrototypeOf(Uint8Array.prototype) as { set: (source: ArrayLike<number>, at?: number) => void };
  const { set } = prototype;
  prototype.set = function (this: Uint8Array, source, at) {
    set.call(this, source, at);
    if ((source as Uint8Array).buffer === shared.buffer) shared.fill(7);
  };
  return () => {
    prototype.set = set;
  };
}

for (const length of [100, 2000, 9000]) {
  for (const [way, write] of Object.entries({
    append: (log, data) => log.append(data),
    'a chunk in pieces': async (log, data) => {
      const writer = await log.beginEntry();
      const chunk = await writer.beginChunk();
      await chunk.write(data);
      await chunk.finish();
      return writer.commit();
    },
  } satisfies Record<string, (log: WriteAheadLog, data: Uint8Array) => Promise<unknown>>)) {
    inMemory(`a checksum is of other bytes than those written when memory changes (${way}, ${length} bytes)`, async (storage) => {
      const log = await storage.open({ manager: new HoardingManager(), options: ROOMY });
      const shared = new Uint8Array(new SharedArrayBuffer(length)).fill(1);
      const restore = changeAfterCopy(shared);
      const writing = write(log, shared);
      restore();
      await writing;
      await log.append('after');
      const [first, last] = await survivors(storage);
      assert.equal(last, 'after');
      assert.equal(first.length, length);
    });
  }
}

inMemory('an append that is made while another is encoded ends up inside of it', async (storage) => {
  const log = await storage.open({ manager: new HoardingManager(), options: ROOMY });
  const inner: Promise<CommittedEntry>[] = [];
  class Eager extends Uint8Array {
    override get length(): number {
      // The first time is before the entry is begun.
      if (inner.length < 5) inner.push(log.append(`inner ${inner.length}`));
      return super.length;
    }
  }
  const outer = await log.append(new Eager(Buffer.from('outer')));
  assert.equal(inner.length, 5);
  const ids = (await Promise.all(inner)).map(({ id }) => id);
  assert.deepEqual([...ids, outer.id].sort(), [1, 2, 3, 4, 5, 6]);
  const firsts = await survivors(storage);
  assert.deepEqual(firsts.sort(), ['inner 0', 'inner 1', 'inner 2', 'inner 3', 'inner 4', 'outer']);
});

inMemory('a batch that is refused gives ids that nothing has, or takes those of others', async (storage) => {
  const log = await storage.open({ manager: new HoardingManager(), options: ROOMY });
  const data = new Uint8Array(16);
  detach(data);
  const [first, refused, second] = [log.append('first'), log.appendBatch(['x', 'y', data]), log.append('second')];
  await assert.rejects(refused, TypeError);
  assert.deepEqual([(await first).id, (await second).id], [1, 2]);
  await until(() => log.durableId === 2);
  assert.deepEqual(await survivors(storage), ['first', 'second']);
});
