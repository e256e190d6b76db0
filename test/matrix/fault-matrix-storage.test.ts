/** The fault matrix, rows 1, 3 to 6, 10, 18, 20, 34 and 35: storage that fails, is full, or is slow. */
import assert from 'node:assert/strict';
import type { WriteAheadLog } from '../../src/index.js';
import { KeepingManager, openWithFaults, outcomeOf, ROOMY } from '../tools/fault-matrix-parts.js';
import { Gate, systemError, type FaultyFileManager, type FileCall } from '../tools/faulty-file-manager.js';
import { fillSegment, inMemory, pattern, RecordingManager, SMALL, Storage, turns, until, type SeenEntry } from '../tools/helpers.js';

/** What a crash now leaves begins with `expected`; behind it stand entries that were tried, in order, and no others. */
async function assertLeft(storage: Storage, expected: readonly string[], tried: readonly string[] = []): Promise<void> {
  const copy = await storage.crash();
  const entries = (await copy.contents(ROOMY)).map(({ chunks }) => chunks.join());
  assert.deepEqual(entries.slice(0, expected.length), expected);
  assert.deepEqual(entries.slice(expected.length), tried.slice(0, entries.length - expected.length));
}

for (const nth of [1, 2, 5]) {
  for (const kind of ['once', 'for ever'] as const) {
    for (const [durableWrites, what] of [[false, 'sync'], [true, 'durable write']] as const) {
      inMemory(`row 1: ${what} ${nth} fails ${kind}: nothing pending or later is acknowledged, and none is tried again`, async (base) => {
        const { log, faulty, storage } = await openWithFaults(base);
        faulty.durableWrites = durableWrites;
        let count = 0;
        let isFailing = false;
        faulty.before = ({ operation, name }) => {
          if (operation !== (durableWrites ? 'write' : 'sync') || name !== 'wal-1') return;
          if (++count < nth || (isFailing && kind === 'once')) return;
          isFailing = true;
          throw systemError('EIO');
        };
        const acknowledged = Array.from({ length: nth - 1 }, (_, i) => `acknowledged ${i}`);
        for (const data of acknowledged) await log.append(data);
        const writer = await log.beginEntry();
        await writer.writeChunk('first to fail');
        const pending = [writer.commit(), log.append('second'), log.append('third')];
        assert.deepEqual(await Promise.all(pending.map(outcomeOf)), Array.from(pending, () => 'WAL_FAILED EIO'));
        const calls = faulty.calls.length;
        assert.equal(await outcomeOf(log.append('later')), 'WAL_FAILED EIO');
        assert.equal(await outcomeOf(log.beginEntry()), 'WAL_FAILED EIO');
        assert.equal(await outcomeOf(log.shutdown()), 'resolved');
        const later = new Set(faulty.calls.slice(calls).map(({ operation }) => operation));
        assert.deepEqual([...later].filter((operation) => operation !== 'close' && operation !== 'release'), []);
        faulty.before = () => undefined;
        await assertLeft(storage, acknowledged, ['first to fail', 'second', 'third']);
      });
    }
  }
}

for (const [taken, length] of [[1, 50], [7, 500], [4095, 10_000]]) {
  inMemory(`row 3: writes that take only ${taken} bytes each leave no gap`, async (base) => {
    const { log, faulty, storage } = await openWithFaults(base);
    faulty.shorten = ({ length }) => Math.min(taken, length ?? 0);
    const data = Array.from({ length: 5 }, (_, i) => pattern(length + i, i).toString('hex'));
    await Promise.all(data.map((text) => log.append([text, 'and', text])));
    assert.ok(faulty.of('write').length > (5 * length) / taken);
    await assertLeft(storage, data.map((text) => [text, 'and', text].join()));
  });
}

for (const [what, shortBefore] of [['an error', false], ['a short write, then an error', true]] as const) {
  inMemory(`row 3: ${what} leaves no gap, and the log goes on where it ended once it is recovered`, async (base) => {
    for (const nth of [1, 2, 3]) {
      const inner = new Storage(base.fileManager, `/write-${nth}`);
      const { log, faulty, storage } = await openWithFaults(inner);
      let writes = 0;
      faulty.shorten = ({ length = 0, name }) => (shortBefore && name === 'wal-1' && writes === nth ? length >> 1 : length);
      faulty.before = ({ operation, name }) => {
        if (operation === 'write' && name === 'wal-1' && ++writes >= nth + (shortBefore ? 1 : 0)) throw systemError('EIO');
      };
      const outcomes: string[] = [];
      for (const data of ['a', 'b', 'c', 'd']) outcomes.push(await outcomeOf(log.append(data.repeat(50))));
      const good = ['a', 'b', 'c', 'd'].slice(0, nth - 1);
      assert.deepEqual(outcomes, ['a', 'b', 'c', 'd'].map((data) => (good.includes(data) ? 'resolved' : 'WAL_FAILED EIO')));
      await log.shutdown();
      const again = await inner.open({ options: ROOMY });
      await again.append('z');
      await assertLeft(inner, [...good.map((data) => data.repeat(50)), 'z']);
      await storage.shutDown();
    }
  });
}

/** Appends until the log rejects; resolves with what was acknowledged and the outcome of the last one. */
async function appendUntilRejected(log: WriteAheadLog): Promise<{ ids: number[]; outcome: string }> {
  const ids: number[] = [];
  for (let i = 0; ; i++) {
    assert.ok(i < 1000, 'the log never rejects');
    const appended = log.append(pattern(100, i));
    const outcome = await outcomeOf(appended);
    if (outcome !== 'resolved') return { ids, outcome };
    ids.push((await appended).id);
  }
}

inMemory('row 4: without space for a new segment the commit that needs it rejects, and the log works again once there is space', async (base) => {
  const { log, faulty, storage } = await openWithFaults(base, SMALL);
  let isFull = true;
  faulty.shorten = ({ name, length = 0 }) => (isFull && name === 'wal-0-cp' ? length >> 2 : length);
  faulty.before = ({ operation, name, position = 0 }) => {
    if (isFull && operation === 'write' && name === 'wal-0-cp' && position > 0) throw systemError('ENOSPC');
  };
  const ids: number[] = [];
  for (let round = 0; round < 3; round++) {
    isFull = true;
    const full = await appendUntilRejected(log);
    assert.equal(full.outcome, 'WAL_NO_SPACE ENOSPC');
    assert.equal(await outcomeOf(log.append(pattern(2000))), 'WAL_NO_SPACE ENOSPC');
    await turns();
    assert.ok(![...(await base.files()).keys()].includes('wal-0-cp'), 'what could be allocated was given back');
    isFull = false;
    ids.push(...full.ids, (await log.append(pattern(2000))).id);
  }
  const copy = await storage.crash();
  assert.deepEqual((await copy.contents()).map(({ id }) => id), ids);
});

inMemory('row 4: without space for the first segment opening rejects, and works once there is space', async (base) => {
  const { storage, faulty } = base.withFaults();
  faulty.before = ({ operation }) => {
    if (operation === 'write') throw systemError('ENOSPC');
  };
  assert.equal(await outcomeOf(storage.open()), 'WAL_NO_SPACE ENOSPC');
  assert.equal(faulty.openHandles, 0);
  faulty.before = () => undefined;
  const log = await storage.open();
  assert.equal((await log.append('now')).id, 1);
});

for (const [what, isPartial] of [['at once', false], ['after a part of it', true]] as const) {
  inMemory(`row 5: an entry that outgrows its segment and finds no space ${what} rejects, and nothing is written behind it`, async (base) => {
    const { log, faulty, storage } = await openWithFaults(base, SMALL);
    const { preallocateBytes = 0 } = SMALL;
    const beyond = ({ position = 0, length = 0 }: FileCall): boolean => position + length > preallocateBytes;
    faulty.shorten = (call) => {
      const left = preallocateBytes - (call.position ?? 0);
      return isPartial && beyond(call) && left > 0 ? left : call.length ?? 0;
    };
    faulty.before = (call) => {
      const isRefused = isPartial ? (call.position ?? 0) >= preallocateBytes : beyond(call);
      if (call.operation === 'write' && isRefused) throw systemError('ENOSPC');
    };
    await log.append('before');
    const large = log.append(pattern(20_000));
    const behind = log.append('behind');
    assert.equal(await outcomeOf(large), 'WAL_FAILED ENOSPC');
    assert.equal(await outcomeOf(behind), 'WAL_FAILED ENOSPC');
    const written = faulty.of('write').length;
    assert.equal(await outcomeOf(log.append('later')), 'WAL_FAILED ENOSPC');
    await log.shutdown();
    assert.equal(faulty.of('write').length, written);
    faulty.before = () => undefined;
    const again = await storage.open({ manager: new KeepingManager() });
    await again.append('again');
    await assertLeft(storage, ['before', 'again']);
  });
}

const CODES = { EMFILE: 'WAL_IO EMFILE', EACCES: 'WAL_IO EACCES', EROFS: 'WAL_READ_ONLY EROFS' } as const;

for (const [errno, expected] of Object.entries(CODES)) {
  for (const operation of ['createDirectory', 'lock', 'list', 'open', 'rename'] as const) {
    inMemory(`row 6: ${errno} when opening (${operation}) has its code and leaks no descriptor`, async (base) => {
      const { storage, faulty } = base.withFaults();
      for (let nth = 1; ; nth++) {
        let count = 0;
        faulty.before = (call) => {
          if (call.operation === operation && ++count === nth) throw systemError(errno);
        };
        const opening = storage.open();
        const outcome = await outcomeOf(opening);
        faulty.before = () => undefined;
        if (count < nth) {
          assert.ok(nth > 1, 'the fault was injected');
          break;
        }
        // The last open of all, that of a spare file in the background, is nobody's opening.
        if (outcome === 'resolved') await (await opening).shutdown();
        else assert.equal(outcome, expected);
        assert.ok(nth > 1 || outcome === expected);
        assert.equal(faulty.openHandles, 0);
        await storage.remove('wal-1').catch(() => undefined);
      }
    });
  }

  for (const operation of ['open', 'rename'] as const) {
    inMemory(`row 6: ${errno} at a rotation (${operation}) has its code, leaks no descriptor and loses nothing`, async (base) => {
      const { log, faulty, storage } = await openWithFaults(base, SMALL);
      const handles = faulty.openHandles;
      faulty.before = (call) => {
        if (call.operation === operation) throw systemError(errno);
      };
      const { ids, outcome } = await appendUntilRejected(log);
      assert.equal(outcome, expected);
      await turns();
      assert.equal(faulty.openHandles, handles);
      faulty.before = () => undefined;
      ids.push((await log.append(pattern(2000))).id, ...await fillSegment(log));
      assert.deepEqual((await (await storage.crash()).contents()).map(({ id }) => id), ids);
    });
  }
}

inMemory('row 10: a directory sync that fails at a rotation fails every commit that waits, and is not tried again', async (base) => {
  const { log, faulty, storage } = await openWithFaults(base, { ...ROOMY, checkpointAfterBytes: 1000 });
  await log.append('before');
  const gate = new Gate();
  faulty.before = ({ operation, name }) => {
    if (operation === 'syncDirectory') throw systemError('EIO');
    return operation === 'sync' && name === 'wal-1' ? gate.pass() : undefined;
  };
  const large = 'large'.repeat(300);
  const pending = [log.append(large), log.append('gathered'), log.checkpointActive(), log.append('behind')].map(outcomeOf);
  assert.deepEqual(await Promise.all(pending), Array.from(pending, () => 'WAL_FAILED EIO'));
  const syncs = faulty.of('syncDirectory').length;
  gate.open();
  assert.equal(await outcomeOf(log.append('later')), 'WAL_FAILED EIO');
  assert.equal(await outcomeOf(log.shutdown()), 'resolved');
  assert.equal(faulty.of('syncDirectory').length, syncs);
  faulty.before = () => undefined;
  await assertLeft(storage, ['before'], [large, 'gathered']);
});

inMemory('row 10: a directory sync that fails when a segment is let go fails the log, and the segment is handed over again', async (base) => {
  const { storage, faulty } = base.withFaults();
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  await turns();
  const ids = [(await log.append('one')).id];
  manager.onCheckpoint = () => {
    faulty.before = ({ operation }) => {
      if (operation === 'syncDirectory') throw systemError('EIO');
    };
  };
  const failed = new Promise((resolve) => log.once('failed', resolve));
  await log.checkpointActive();
  await failed;
  assert.equal(await outcomeOf(log.append('later')), 'WAL_FAILED EIO');
  await log.shutdown();
  faulty.before = () => undefined;
  // The rename may survive a power loss or not: this is the disk on which it did not.
  const copy = await storage.crash();
  const bytes = await copy.get('wal-1-cp');
  await copy.remove('wal-1-cp');
  await copy.put('wal-1', bytes);
  assert.deepEqual((await copy.contents()).map(({ id }) => id), ids);
});

/** A log of several segments as a crash leaves it, with a torn tail, and what it holds. */
async function crashedLog(base: Storage): Promise<{ files: Map<string, Buffer>; entries: SeenEntry[] }> {
  const log = await base.open({ manager: new KeepingManager() });
  for (let i = 0; i < 2; i++) await fillSegment(log);
  for (let i = 0; i < 3; i++) await log.append(`last ${i}`);
  const copy = await base.crash();
  const entries = await (await base.crash()).contents();
  for (const [name, bytes] of await copy.files()) {
    const at = bytes.indexOf('last 2');
    // The end of the last entry never got there.
    if (at >= 0) await copy.damage(name, at + 'last 2'.length + 4);
  }
  return { files: await copy.files(), entries: entries.slice(0, -1) };
}

/** Opens a copy of `files` once for each call of `operation`, or of any, with an error at that call. */
async function failAtEveryCall(
  base: Storage, files: Map<string, Buffer>, isConcerned: (call: FileCall) => boolean,
  then: (copy: Storage, outcome: string, faulty: FaultyFileManager, recovered: readonly SeenEntry[]) => Promise<void>,
): Promise<number> {
  for (let nth = 1; ; nth++) {
    const copy = new Storage(base.fileManager, `/copy-${nth}`);
    for (const [name, bytes] of files) await copy.put(name, bytes);
    const { storage, faulty } = copy.withFaults();
    let count = 0;
    let isOpen = false;
    faulty.before = (call) => {
      if (!isOpen && isConcerned(call) && ++count === nth) throw systemError('EIO');
    };
    const manager = new RecordingManager();
    const opening = storage.open({ manager });
    const outcome = await outcomeOf(opening);
    isOpen = true;
    if (outcome === 'resolved') await (await opening).shutdown();
    if (count < nth) return nth - 1;
    await then(copy, outcome, faulty, manager.recovered);
  }
}

inMemory('row 18: a read that fails during recovery is an error, never taken for the end of the log', async (base) => {
  const { files, entries } = await crashedLog(base);
  let rejections = 0;
  await failAtEveryCall(base, files, ({ operation }) => operation === 'read', async (copy, outcome, faulty, recovered) => {
    // The first checkpoint reads too, and begins before the opening has ended.
    if (outcome === 'resolved') return assert.deepEqual(recovered, entries);
    rejections++;
    assert.equal(outcome, 'WAL_IO EIO');
    assert.equal(faulty.openHandles, 0);
    return assert.deepEqual(await copy.contents(), entries);
  });
  assert.ok(rejections >= 10, `only ${rejections} reads`);
});

inMemory('row 20: an error at any call of recovery is a clean rejection, and the next opening works', async (base) => {
  const { files, entries } = await crashedLog(base);
  let rejections = 0;
  await failAtEveryCall(base, files, () => true, async (copy, outcome, faulty, recovered) => {
    if (outcome === 'resolved') return assert.deepEqual(recovered, entries);
    rejections++;
    assert.match(outcome, /^WAL_(IO|FAILED) EIO$/);
    assert.equal(faulty.openHandles, 0);
    const again = new RecordingManager();
    const log = await copy.open({ manager: again });
    assert.deepEqual(again.recovered, entries);
    assert.ok((await log.append('works')).id > entries[entries.length - 1].id);
    return log.shutdown();
  });
  assert.ok(rejections >= 25, `only ${rejections} calls`);
});

inMemory('row 34: a sync that takes very long stops neither the event loop nor the order, and the queue stays bounded', async (base) => {
  const maxPendingBytes = 64 * 1024;
  const options = { preallocateBytes: 4 * 1024 * 1024, checkpointAfterBytes: 3 * 1024 * 1024, maxPendingBytes };
  const { log, faulty } = await openWithFaults(base, options);
  let gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'sync' && name === 'wal-1' ? gate.pass() : undefined);
  const settled: number[] = [];
  const appended = Array.from({ length: 1000 }, async (_, i) => {
    const { id } = await log.append(pattern(1000, i));
    settled.push(id);
  });
  for (let syncs = 1; settled.length < 1000; syncs++) {
    await until(() => gate.arrivals > 0);
    // The disk is busy, and the program runs on.
    for (let turn = 0; turn < 10; turn++) {
      await turns(1);
      assert.ok(log.stats().pendingBytes <= maxPendingBytes, `${log.stats().pendingBytes} bytes are pending`);
    }
    assert.ok(settled.length < 1000 && syncs < 1000);
    const [done, before] = [gate, settled.length];
    gate = new Gate();
    done.open();
    await until(() => settled.length > before);
  }
  await Promise.all(appended);
  assert.deepEqual(settled, Array.from({ length: 1000 }, (_, i) => i + 1));
  gate.open();
});

inMemory('row 35: of 100,000 commits pending at once, one failure rejects every one, in bounded memory, and none is left unhandled', async (base, context) => {
  const COUNT = 100_000;
  const maxPendingBytes = 1024 * 1024;
  const { log, faulty } = await openWithFaults(base, { ...ROOMY, bufferBytes: 64 * 1024, maxPendingBytes });
  const gate = new Gate();
  faulty.before = async ({ operation, name }) => {
    if (operation !== 'sync' || name !== 'wal-1') return;
    await gate.pass();
    throw systemError('EIO');
  };
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  const data = pattern(200);
  const before = process.memoryUsage().arrayBuffers;
  const outcomes = new Map<string, number>();
  const commits = Array.from({ length: COUNT }, () => {
    return outcomeOf(log.append(data)).then((outcome) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1));
  });
  await until(() => gate.arrivals > 0);
  assert.ok(log.stats().pendingBytes <= maxPendingBytes);
  assert.ok(log.stats().waitingWriters > COUNT / 2, 'the others wait in line');
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 8 * maxPendingBytes, `${grown} bytes more are in buffers`);
  gate.open();
  await Promise.all(commits);
  assert.deepEqual([...outcomes], [['WAL_FAILED EIO', COUNT]]);
  await log.shutdown();
  await turns();
  process.off('unhandledRejection', onUnhandled);
  assert.deepEqual(unhandled, []);
  context.diagnostic(`${grown} bytes of buffers for ${COUNT} commits`);
});
