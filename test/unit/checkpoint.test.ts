/** Checkpointing full segments, and using their files again. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { LogVoid, type Entry, type LogManager, type SegmentReader, type WriteAheadLog } from '../../src/index.js';
import { deferred } from '../../src/base/async.js';
import { Gate, systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, isCheckpointed, isSettled,
  pattern, RecordingManager, SMALL, Storage, TestEnvironment, text, turns, until,
} from '../tools/helpers.js';

forEachFileManager('segments are handed over one at a time, whole, oldest first', async (storage) => {
  const manager = new RecordingManager();
  let running = 0;
  manager.onCheckpoint = async () => {
    running++;
    await turns(3);
    assert.equal(running, 1);
    running--;
  };
  const log = await storage.open({ manager });
  const ids: number[] = [];
  for (let i = 0; i < 6; i++) ids.push(...await fillSegment(log));
  await checkpointAll(log);
  const handedOver = manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id));
  assert.deepEqual(handedOver, ids);
  for (const { lastId, entries } of manager.checkpoints) assert.equal(lastId, entries.at(-1)?.id);
});

inMemory('a failing checkpoint is tried again after growing pauses, and reported each time', async (storage) => {
  const environment = new TestEnvironment();
  const manager = new RecordingManager();
  let fails = true;
  manager.onCheckpoint = () => {
    if (fails) throw new Error('no storage');
  };
  const log = await storage.open({ manager, environment });
  const reports: { attempt: number; retryInMs: number; segmentId: number; code: string }[] = [];
  log.on('checkpointFailed', ({ error, ...rest }) => reports.push({ ...rest, code: error.code }));
  await log.append('one');
  await log.checkpointActive();
  for (let i = 1; i <= 13; i++) {
    await until(() => environment.pauses.length === i);
    fails = i < 13;
    environment.fire();
  }
  await until(() => manager.checkpoints.length === 1);
  const pauses = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000, 30_000];
  assert.deepEqual(environment.pauses, pauses);
  assert.deepEqual(reports, pauses.map((retryInMs, i) => (
    { attempt: i + 1, retryInMs, segmentId: 1, code: 'WAL_LOG_MANAGER_FAILED' }
  )));
  assert.deepEqual(manager.checkpoints[0].entries, [{ id: 1, chunks: ['one'] }]);

  fails = true;
  await log.append('two');
  await log.checkpointActive();
  await until(() => environment.pauses.length === 14);
  assert.equal(environment.pauses[13], 100, 'after a success the pauses begin anew');
});

forEachFileManager('a checkpoint that hangs keeps no commit waiting, over twenty segments', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  const ids: number[] = [];
  for (let i = 0; i < 20; i++) ids.push(...await fillSegment(log));
  assert.ok(log.stats().segmentsToCheckpoint >= 19);
  assert.deepEqual(manager.checkpoints, []);
  assert.deepEqual((await (await storage.crash()).contents()).map(({ id }) => id), ids);
  manager.letGo();
  await checkpointed(log);
  const size = [...(await storage.files()).values()].reduce((sum, bytes) => sum + bytes.length, 0);
  assert.ok(size <= 6 * 4096, `${size} bytes are left of a burst`);
});

forEachFileManager('a file that outgrew its segment is cut back before it is used again', async (storage) => {
  const log = await storage.open();
  const sizeOf = async (name: string): Promise<number> => (await storage.get(name)).length;
  await log.append(pattern(30_000));
  assert.ok((await sizeOf('wal-1')) > 30_000);
  for (let i = 0; i < 6; i++) await fillSegment(log);
  await checkpointed(log);
  const tooLarge = async (): Promise<string[]> => {
    return [...await storage.files()].filter(([, bytes]) => bytes.length !== 4096).map(([name]) => name);
  };
  // Which of the spare files is used again next is not said.
  for (let i = 0; i < 50 && (await tooLarge()).length > 0; i++) await fillSegment(log);
  assert.deepEqual(await tooLarge(), []);
});

inMemory('a wait for checkpoints ends while the segment that was just closed is not sealed yet', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const gate = new Gate();
  faulty.before = ({ operation, name }) => (operation === 'write' && /^wal-[2-9]/.test(name) ? gate.pass() : undefined);
  await fillSegment(log);
  await until(() => gate.arrivals > 0);
  assert.equal(log.stats().segmentsToCheckpoint, 0, 'nothing to be checkpointed, as far as that tells');
  assert.equal(isCheckpointed(log), false);
  gate.open();
  await checkpointed(log);
  assert.deepEqual(log.stats().segments.map(({ state }) => state), ['active']);
});

forEachFileManager('checkpointActive resolves when the segment is queued, and hands it over', async (storage) => {
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await log.append(['a', 'b']);
  await log.checkpointActive();
  assert.equal(log.stats().segmentsToCheckpoint, 1);
  await log.checkpointActive();
  assert.equal(log.stats().segmentsToCheckpoint, 1, 'an empty segment is left as it is');
  manager.letGo();
  await checkpointed(log);
  assert.deepEqual(manager.checkpoints, [{ lastId: 1, entries: [{ id: 1, chunks: ['a', 'b'] }] }]);
});

inMemory('checkpointActive waits its turn behind an open entry, and takes it along', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  const writer = await log.beginEntry();
  await writer.writeChunk('open');
  const checkpointed = log.checkpointActive();
  const behind = log.append('behind');
  assert.equal(await isSettled(checkpointed), false);
  await writer.commit();
  await checkpointed;
  assert.equal((await behind).id, 2);
  await until(() => manager.checkpoints.length === 1);
  assert.equal(manager.checkpoints[0].lastId, 1);
});

inMemory('several calls of checkpointActive at once close the segment once', async (storage) => {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  await log.append('one');
  await Promise.all([log.checkpointActive(), log.checkpointActive(), log.checkpointActive()]);
  await log.append('two');
  await checkpointAll(log);
  assert.deepEqual(manager.checkpoints.map(({ lastId }) => lastId), [1, 2]);
});

inMemory('a checkpoint can read, write and ask for another checkpoint in the log it is given', async (storage) => {
  const read: string[] = [];
  const manager = new RecordingManager();
  const positions = new Map<number, Awaited<ReturnType<WriteAheadLog['append']>>['chunks'][0]['position']>();
  manager.onCheckpoint = async (lastId, given) => {
    assert.equal(given, log);
    const position = positions.get(lastId);
    if (position === undefined) return;
    const reader = await given.readAt(position);
    read.push(text(await reader.readAll()));
    await reader.close();
    await given.append('from within');
    await given.checkpointActive();
  };
  const log: WriteAheadLog = await storage.open({ manager });
  const { id, chunks } = await log.append('cold value');
  positions.set(id, chunks[0].position);
  await log.checkpointActive();
  await until(() => manager.checkpoints.length === 2);
  assert.deepEqual(read, ['cold value']);
  assert.deepEqual(manager.checkpoints[1].entries, [{ id: 2, chunks: ['from within'] }]);
});

inMemory('the entries of a checkpoint cannot be read after it has returned', async (storage) => {
  const kept: SegmentReader[] = [];
  const manager: LogManager = {
    recover: () => undefined,
    checkpointTo: (_lastId, entries) => void kept.push(entries),
  };
  const log = await storage.open({ manager });
  await log.append('one');
  await checkpointAll(log);
  const late = async (): Promise<void> => {
    for await (const entry of kept[0]) assert.fail(`entry ${entry.id} was read`);
  };
  await assert.rejects(late(), { name: 'WalError', code: 'WAL_POSITION_GONE' });
});

inMemory('a checkpoint need not read all entries, nor any', async (storage) => {
  const seen: Entry[] = [];
  const manager: LogManager = {
    recover: () => undefined,
    async checkpointTo(_lastId, entries) {
      const iterator = entries[Symbol.asyncIterator]();
      const { value } = await iterator.next();
      if (value !== undefined) seen.push(value);
      await iterator.return();
    },
  };
  const log = await storage.open({ manager });
  for (let i = 0; i < 5; i++) await fillSegment(log);
  await until(() => seen.length === 5);
  await checkpointed(log);
});

forEachFileManager('a segment damaged before its checkpoint is reported and kept, not freed', async (storage) => {
  const environment = new TestEnvironment();
  const manager = new RecordingManager();
  let hold = true;
  manager.onCheckpoint = () => {
    if (hold) throw new Error('not yet');
  };
  const log = await storage.open({ manager, environment });
  const codes: string[] = [];
  log.on('checkpointFailed', ({ error }) => codes.push((error.cause as { code?: string }).code ?? error.code));
  for (let i = 0; i < 5; i++) await log.append(`entry ${i}`);
  await log.checkpointActive();
  await until(() => codes.length === 1);
  const bytes = await storage.get('wal-1');
  await storage.damage('wal-1', 62 + 3 * (13 + 9 + 9 + 7 + 5) + 30);
  hold = false;
  environment.fire();
  await until(() => codes.length === 2);
  assert.equal(codes[1], 'WAL_CORRUPT');
  assert.equal(manager.checkpoints.length, 0);
  assert.ok((await storage.liveNames()).includes('wal-1'));
  await storage.put('wal-1', bytes);
  environment.fire();
  await until(() => manager.checkpoints.length === 1);
  assert.equal(manager.checkpoints[0].entries.length, 5);
});

forEachFileManager('no space for a segment fails the commits that need it, and no later ones', async (base) => {
  const { storage, faulty } = base.withFaults();
  let isFull = false;
  faulty.before = ({ operation, name, length = 0 }) => {
    const isAllocation = operation === 'write' && name === 'wal-0-cp' && length > 1000;
    if (isFull && isAllocation) throw systemError('ENOSPC');
  };
  const manager = new HoardingManager();
  const log = await storage.open({ manager });
  await until(() => log.stats().spareSegments === 1);
  isFull = true;
  const ids = await fillSegment(log);
  const append = () => log.append('x'.repeat(300));
  let error: { code?: string } | undefined;
  while (error === undefined) {
    await append().then(({ id }) => ids.push(id), (reason: { code?: string }) => {
      error = reason;
    });
  }
  assert.equal(error.code, 'WAL_NO_SPACE');
  await assert.rejects(append(), { name: 'WalError', code: 'WAL_NO_SPACE' });
  await assert.rejects(log.checkpointActive(), { code: 'WAL_NO_SPACE' });
  isFull = false;
  ids.push((await append()).id, (await append()).id);
  assert.deepEqual((await (await base.crash()).contents()).map(({ id }) => id), ids);
  manager.letGo();
});

inMemory('LogVoid takes everything, keeps nothing, and hands nothing back', async (storage) => {
  const log = await storage.open({ manager: LogVoid });
  for (let i = 0; i < 5; i++) await fillSegment(log);
  const { id } = await log.append('last');
  await checkpointed(log);
  await log.shutdown();
  const again = await storage.open({ manager: LogVoid, options: SMALL });
  assert.equal(again.recovery.entries, 0);
  assert.ok((await again.append('next')).id > id);
});

inMemory('a segment that nobody holds any more is kept while the checkpoint of a later one hangs', async (storage) => {
  let checkpoints = 0;
  let end = (): void => undefined;
  const hanging = new Promise<void>((resolve) => (end = resolve));
  const manager = { recover: () => undefined, checkpointTo: () => (checkpoints++ === 0 ? undefined : hanging) };
  const log = await storage.open({ manager });
  const hold = await log.hold('replica');
  const [first] = await fillSegment(log);
  await until(() => checkpoints === 1 && log.stats().segments[0].state === 'held');
  await fillSegment(log);
  await until(() => checkpoints === 2);
  await hold.release();
  await until(() => log.stats().segments[0].state !== 'held');
  await assert.rejects(log.entries({ from: first }).next(), { code: 'WAL_POSITION_GONE' });
  // Nor does the one that hangs keep anybody waiting who says that it is not needed.
  await log.truncateBefore(log.stats().nextId);
  assert.equal(log.stats().segmentsToCheckpoint, 0);
  end();
  await log.shutdown();
});

forEachFileManager('a checkpoint that says itself what is not needed any more does not wait for its own end', async (storage) => {
  const manager = new RecordingManager();
  manager.onCheckpoint = (lastId, log) => log.truncateBefore(lastId + 1);
  const log = await storage.open({ manager });
  const events: string[] = [];
  log.on('checkpoint', ({ lastId }) => events.push(`checkpoint ${lastId}`));
  log.on('checkpointFailed', ({ error }) => events.push(String(error)));
  for (let id = 1; id <= 2; id++) {
    await log.append('entry');
    await log.checkpointActive();
    await until(() => events.length === id);
  }
  assert.deepEqual(events, ['checkpoint 1', 'checkpoint 2']);
  await log.shutdown();
});

/** The process warnings of failed checkpoints that come of `action`. */
async function warningsOf(action: () => Promise<void>): Promise<readonly (Error & { code?: string })[]> {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  try {
    await action();
    // Node emits a warning in a later turn.
    await turns(3);
  } finally {
    process.off('warning', onWarning);
  }
  return warnings.filter((warning) => 'code' in warning && warning.code === 'WAL_CHECKPOINT_FAILED');
}

async function failThrice(storage: Storage, listen: (log: WriteAheadLog) => void): Promise<void> {
  const environment = new TestEnvironment();
  const manager = new RecordingManager();
  manager.onCheckpoint = () => {
    throw new Error('no storage');
  };
  const log = await storage.open({ manager, environment });
  listen(log);
  await log.append('one');
  await log.checkpointActive();
  for (let attempt = 1; attempt <= 3; attempt++) {
    await until(() => environment.pauses.length === attempt);
    environment.fire();
  }
}

inMemory('checkpoints that fail while nothing listens are one process warning, not silence and not many', async (storage) => {
  const warnings = await warningsOf(() => failThrice(storage, () => undefined));
  assert.equal(warnings.length, 1);
  assert.match(warnings[0].message, /^segment 1 of the log in \/wal cannot be checkpointed.*no storage.*'checkpointFailed'/);
});

inMemory('checkpoints that fail are no process warning where an event or a channel is listened to', async (storage) => {
  assert.deepEqual(await warningsOf(() => failThrice(storage, (log) => log.on('checkpointFailed', () => undefined))), []);
  const listener = () => undefined;
  const other = new Storage(storage.fileManager, '/other');
  subscribe('segmented-wal:checkpointFailed', listener);
  try {
    assert.deepEqual(await warningsOf(() => failThrice(other, () => undefined)), []);
  } finally {
    await other.shutDown();
    unsubscribe('segmented-wal:checkpointFailed', listener);
  }
});

inMemory('segments that are released do not wait for the pause after a file could not be let go', async (storage) => {
  const { storage: failing, faulty } = storage.withFaults();
  const environment = new TestEnvironment();
  const log = await failing.open({ environment });
  const hold = await log.hold('reader');
  await log.append('one');
  await log.checkpointActive();
  await until(() => isCheckpointed(log));
  faulty.before = ({ operation, to = '' }) => {
    if (operation === 'rename' && to.endsWith('-cp')) throw systemError('EIO');
  };
  await hold.release();
  await until(() => environment.pauses.length === 1);
  faulty.before = () => undefined;
  const freed = log.truncateBefore(2);
  freed.catch(() => undefined);
  await turns();
  assert.ok(await isSettled(freed));
  assert.equal(environment.pauses.length, 1);
});

forEachFileManager('a checkpoint that only waits keeps a shutdown waiting, or is reported as failed by it', async (storage) => {
  const manager = new RecordingManager();
  const signals: AbortSignal[] = [];
  manager.onCheckpoint = (_lastId, _log, signal) => new Promise((_resolve, reject) => {
    signals.push(signal);
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
  const log = await storage.open({ manager });
  const failures: unknown[] = [];
  log.on('checkpointFailed', ({ error }) => failures.push(error));
  await log.append('one');
  await log.checkpointActive();
  await until(() => signals.length === 1);
  await log.append('two');
  assert.equal(signals[0].aborted, false);
  await log.shutdown();
  await turns();
  assert.equal((signals[0].reason as { code?: string }).code, 'WAL_CLOSED');
  assert.deepEqual(failures, []);
  assert.deepEqual((await storage.contents()).map(({ chunks }) => chunks[0]), ['one', 'two']);
});

inMemory('a checkpoint that is told of a shutdown cannot finish its work, or fails without a word', async (storage) => {
  const outcomes = ['finishes', 'fails'] as const;
  for (const [i, outcome] of outcomes.entries()) {
    const manager = new RecordingManager();
    const done = deferred<void>();
    let isRunning = false;
    manager.onCheckpoint = async () => {
      isRunning = true;
      await done.promise;
      if (outcome === 'fails') throw new Error('no storage');
    };
    const log = await storage.open({ manager });
    const failures: string[] = [];
    log.on('checkpointFailed', ({ error }) => failures.push(error.code));
    await log.append(`entry ${i}`);
    await log.checkpointActive();
    await until(() => isRunning);
    const ended = log.shutdown();
    assert.equal(await isSettled(ended), false);
    done.resolve();
    await ended;
    await turns();
    assert.deepEqual(failures, outcome === 'fails' ? ['WAL_LOG_MANAGER_FAILED'] : []);
    assert.deepEqual(manager.checkpoints.length, outcome === 'fails' ? 0 : 1);
  }
});

inMemory('a checkpoint of entries that are released is not told, or keeps them', async (storage) => {
  const manager = new RecordingManager();
  let told: AbortSignal | undefined;
  manager.onCheckpoint = (_lastId, _log, signal) => {
    told = signal;
    return new Promise(() => undefined);
  };
  const log = await storage.open({ manager });
  await log.append('one');
  await log.checkpointActive();
  await until(() => told !== undefined);
  await log.truncateBefore(2);
  assert.equal(told?.aborted, true);
});
