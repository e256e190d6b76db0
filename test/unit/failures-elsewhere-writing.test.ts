/** What went wrong in other logs while writing. Each of these happened somewhere. */
import assert from 'node:assert/strict';
import { WalError, type LogManager } from '../../src/index.js';
import { Gate, systemError, type FaultyFileManager } from '../tools/faulty-file-manager.js';
import {
  checkpointed, fillSegment, forEachFileManager, HoardingManager, inMemory, isSettled, pattern, ready,
  RecordingManager, Storage, TestEnvironment, until,
} from '../tools/helpers.js';

const ROOMY = { preallocateBytes: 64 * 1024, checkpointAfterBytes: 60 * 1024, bufferBytes: 4096 };
const failed = { name: 'WalError', code: 'WAL_FAILED' };

async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => 'resolved', (error: unknown) => (error instanceof WalError ? error.code : String(error)));
}

// 1
for (const where of ['was in memory', 'shared a flush with commits', 'had reached the disk'] as const) {
  forEachFileManager(`smaller commits behind a rolled-back entry that ${where} are not lost`, async (storage) => {
    const log = await storage.open({ options: ROOMY });
    const commits = [log.append('before')];
    if (where !== 'shared a flush with commits') await commits[0];
    const { flushes } = log.stats();
    const writer = await log.beginEntry();
    await writer.writeChunk(pattern(300));
    if (where === 'had reached the disk') {
      const chunk = await writer.beginChunk(9000);
      await chunk.write(pattern(8000));
      await until(() => log.stats().flushes > flushes);
    }
    await writer.rollback();
    for (const data of ['a', 'bb', 'ccc']) {
      commits.push(log.append(data));
      if (where !== 'shared a flush with commits') await commits.at(-1);
    }
    await Promise.all(commits);
    if (where === 'shared a flush with commits') assert.equal(log.stats().flushes, flushes + 1);
    const entries = await (await storage.crash()).contents(ROOMY);
    assert.deepEqual(entries.map(({ chunks }) => chunks), [['before'], ['a'], ['bb'], ['ccc']]);
  });
}

// 2
/**
 * Commits A, rolls back an entry whose payload holds `payload` where the entry after B would stand, and commits B.
 * The payload has reached the disk by then. Resolves with where B ends.
 */
async function rollBackPayload(storage: Storage, seed: number, payload: Buffer, thenCommitC: boolean): Promise<void> {
  const log = await storage.open({ options: ROOMY, environment: new TestEnvironment(seed) });
  await log.append('A');
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(20_000);
  const data = Buffer.alloc(20_000, 0xee);
  data.set(payload, END_OF_B - DATA_OF_ROLLED_BACK);
  const flushes = log.stats().flushes;
  await chunk.write(data);
  await until(() => log.stats().flushes > flushes && log.stats().pendingBytes === 0);
  await writer.rollback();
  await log.append('B');
  if (thenCommitC) await log.append('C');
}
/** Behind the header, the link and A with its mark; then comes a mark, an entry record and a chunk header. */
const DATA_OF_ROLLED_BACK = 62 + 37 + 13 + 9 + 5;
const END_OF_B = 62 + 37 + 37;

inMemory('payload of a rolled-back entry is never recovered as an entry, genuine frames included', async (storage) => {
  await rollBackPayload(storage, 1, Buffer.alloc(0), true);
  const genuine = (await storage.get('wal-1')).subarray(END_OF_B, END_OF_B + 37);
  const recoveredWith = async (seed: number): Promise<string[]> => {
    const trap = new Storage(storage.fileManager, `/trap-${seed}`);
    await rollBackPayload(trap, seed, genuine, false);
    const entries = await (await trap.crash()).contents(ROOMY);
    await trap.shutDown();
    return entries.flatMap(({ chunks }) => chunks);
  };
  // With the salt and the nonce that it was written with, the frame stands in its very place: the trap is set.
  assert.deepEqual(await recoveredWith(1), ['A', 'B', 'C']);
  for (const seed of [50, 60, 70]) assert.deepEqual(await recoveredWith(seed), ['A', 'B']);
});

inMemory('a genuine frame of the same segment is not recovered at another place', async (storage) => {
  const log = await storage.open({ options: ROOMY });
  await log.append('A');
  const [from, to] = [62, 62 + 37];
  const frame = (await storage.get('wal-1')).subarray(from, to);
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(20_000);
  const flushes = log.stats().flushes;
  // The frame, with and without its mark, at many alignments behind where the next entries will end.
  const frames = Array.from({ length: 900 }, (_, i) => (
    Buffer.concat([frame.subarray(i % 2 ? 0 : 13), Buffer.alloc(i % 3)])
  ));
  await chunk.write(Buffer.concat(frames).subarray(0, 19_999));
  await until(() => log.stats().flushes > flushes && log.stats().pendingBytes === 0);
  await writer.rollback();
  for (let i = 0; i < 40; i++) {
    await log.append('B'.repeat(i));
    const entries = await (await storage.crash()).contents(ROOMY);
    assert.equal(entries.length, i + 2);
  }
});

// 4
forEachFileManager('checkpointing an empty segment opens no file twice, and loses no commit or id', async (base) => {
  const { storage, faulty } = base.withFaults();
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  await ready(log);
  const handles = faulty.openHandles;
  for (let i = 0; i < 3; i++) await log.checkpointActive();
  assert.equal(faulty.openHandles, handles);
  assert.deepEqual(await storage.liveNames(), ['wal-1']);
  const ids: number[] = [];
  for (let i = 0; i < 4; i++) {
    ids.push((await log.append(`entry ${i}`)).id);
    await log.checkpointActive();
    await log.checkpointActive();
  }
  ids.push((await log.append('last')).id);
  assert.deepEqual(ids, [1, 2, 3, 4, 5]);
  await checkpointed(log);
  assert.deepEqual(manager.checkpoints.map(({ lastId }) => lastId), [1, 2, 3, 4]);
  assert.deepEqual((await (await storage.crash()).contents()).map(({ id }) => id), [5]);
});

// 5
for (const kind of ['once', 'for ever'] as const) {
  forEachFileManager(`a sync that fails ${kind} fails all commits from then on, and is not retried`, async (base) => {
    const { storage, faulty } = base.withFaults();
    const log = await storage.open();
    const failures: WalError[] = [];
    log.on('failed', (error) => failures.push(error));
    await log.append('safe');
    await ready(log);
    let hasFailed = false;
    const gate = new Gate();
    faulty.before = async ({ operation }) => {
      if (operation !== 'sync' || (hasFailed && kind === 'once')) return;
      await gate.pass();
      hasFailed = true;
      throw systemError('EIO');
    };
    const inFlight = log.append('in flight');
    await until(() => gate.arrivals === 1);
    const gathered = [log.append('gathered'), log.append('gathered too')];
    const writer = await log.beginEntry();
    const { position } = await writer.writeChunk('open');
    const reading = log.readAt(position);
    const queued = [log.beginEntry(), log.checkpointActive()];
    const waiting = [inFlight, ...gathered, reading, ...queued].map(outcomeOf);
    gate.open();
    assert.deepEqual(await Promise.all(waiting), Array.from(waiting, () => 'WAL_FAILED'));
    const calls = faulty.calls.length;
    await assert.rejects(log.append('later'), { ...failed, cause: failures[0].cause });
    await assert.rejects(writer.commit(), failed);
    await assert.rejects(log.beginEntry(), failed);
    await log.shutdown();
    assert.equal((failures[0].cause as { code?: string }).code, 'EIO');
    assert.equal(failures.length, 1);
    const after = faulty.calls.slice(calls).map(({ operation }) => operation);
    assert.ok(!after.includes('write') && !after.includes('sync') && !after.includes('rename'), after.join());
    faulty.before = () => undefined;
    const recovered = (await storage.contents()).flatMap(({ chunks }) => chunks);
    assert.equal(recovered[0], 'safe');
    assert.ok(!recovered.includes('open') && !recovered.includes('later'));
  });
}

// 6
forEachFileManager('a rollback during a sync does not acknowledge the next commit without its own', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ options: ROOMY });
  await ready(log);
  const gates = [new Gate(), new Gate()];
  let syncs = 0;
  faulty.before = async ({ operation, name }) => {
    if (operation === 'sync' && name === 'wal-1') await gates[syncs++]?.pass();
  };
  const first = log.append('first');
  await until(() => gates[0].arrivals === 1);
  const writer = await log.beginEntry();
  await writer.writeChunk('x'.repeat(500));
  await writer.rollback();
  const second = log.append('y');
  gates[0].open();
  await first;
  await until(() => gates[1].arrivals === 1);
  assert.equal(await isSettled(second), false);
  gates[1].open();
  await second;
  assert.equal(syncs, 2);
  const entries = await (await storage.crash()).contents(ROOMY);
  assert.deepEqual(entries.map(({ chunks }) => chunks), [['first'], ['y']]);
});

// 7
for (const how of ['throws', 'rejects'] as const) {
  forEachFileManager(`a checkpoint callback that ${how} ends neither checkpointing nor commits`, async (storage) => {
    const environment = new TestEnvironment();
    const recorder = new RecordingManager();
    const reported: number[] = [];
    let attempts = 0;
    const throws = (): void => {
      throw new Error(`attempt ${++attempts}`);
    };
    let checkpointTo: LogManager['checkpointTo'] = how === 'throws' ? throws : async () => throws();
    const manager: LogManager = { recover: () => undefined, checkpointTo: (...args) => checkpointTo(...args) };
    const log = await storage.open({ manager, environment });
    log.on('checkpointFailed', ({ attempt }) => reported.push(attempt));
    const ids = [...await fillSegment(log), ...await fillSegment(log)];
    await until(() => reported.length === 1);
    environment.fire();
    await until(() => reported.length === 2 && log.stats().segmentsToCheckpoint === 2);
    assert.match(log.stats().lastCheckpointError?.message ?? '', /attempt 2/);
    assert.deepEqual((await (await storage.crash()).contents()).map(({ id }) => id), ids, 'nothing was freed');

    checkpointTo = (...args) => recorder.checkpointTo(...args);
    environment.fire();
    await checkpointed(log);
    assert.equal(log.stats().lastCheckpointError, undefined);
    const handedOver = recorder.checkpoints.flatMap(({ entries }) => entries).map(({ id }) => id);
    const left = (await (await storage.crash()).contents()).map(({ id }) => id);
    assert.deepEqual([...handedOver, ...left], ids);
  });
}

// 8
forEachFileManager('an entry with a chunk cut short cannot be committed, and swallows nothing', async (storage) => {
  const log = await storage.open();
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(10);
  await chunk.write('short');
  await assert.rejects(chunk.finish(), RangeError);
  await assert.rejects(writer.commit(), TypeError);
  await assert.rejects(writer.writeChunk('more'), TypeError);
  await assert.rejects(writer.beginChunk(3), TypeError);
  await assert.rejects(chunk.write('more'), TypeError);
  const later = log.append('later');
  await writer.rollback();
  assert.equal((await later).id, 2);
  assert.deepEqual(await (await storage.crash()).contents(), [{ id: 2, chunks: ['later'] }]);
});

// 13
/** For every write to a segment: whether a directory sync begun after the file got its name has ended by then. */
function watchNames(faulty: FaultyFileManager): { unsafeWrites: string[] } {
  const pending = new Set<string>();
  const unsafeWrites: string[] = [];
  const covered: Set<string>[] = [];
  faulty.before = ({ operation, name }) => {
    if (operation === 'syncDirectory') covered.push(new Set(pending));
    // The header is written before the name is given; what comes behind it holds entries.
    if (operation === 'write' && pending.has(name)) unsafeWrites.push(name);
  };
  faulty.after = ({ operation, to }) => {
    if (operation === 'rename' && to !== undefined) pending.add(to);
    if (operation === 'syncDirectory') for (const name of covered.shift() ?? []) pending.delete(name);
  };
  return { unsafeWrites };
}

forEachFileManager('nothing is written into a new or recycled segment before its name is durable', async (base) => {
  const { storage, faulty } = base.withFaults();
  const { unsafeWrites } = watchNames(faulty);
  const log = await storage.open();
  while (log.stats().segmentsRecycled < 4) await fillSegment(log);
  const names = faulty.of('rename').map(({ to }) => to ?? '').filter((name) => !name.endsWith('-cp'));
  assert.ok(names.length >= 5, 'segments have been begun');
  names.pop();
  assert.ok(names.every((name) => faulty.of('write').some((call) => call.name === name)), 'and written to');
  assert.deepEqual(unsafeWrites, []);
});

// 14
forEachFileManager('a write that fails leaves nobody waiting for ever, and loses no commit', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await log.append('acknowledged');
  await ready(log);
  const gate = new Gate();
  faulty.before = async ({ operation, name }) => {
    if (operation !== 'write' || name !== 'wal-1') return;
    await gate.pass();
    throw systemError('EIO');
  };
  const writer = await log.beginEntry();
  await writer.writeChunk('never acknowledged');
  const queued = [log.append('a'), log.beginEntry(), log.checkpointActive(), log.append('b')].map(outcomeOf);
  const committed = outcomeOf(writer.commit());
  await until(() => gate.arrivals === 1);
  gate.open();
  assert.equal(await committed, 'WAL_FAILED');
  const outcomes = await Promise.all(queued);
  // The entry that was begun behind the failing one has the place; everybody else has been turned away.
  assert.deepEqual(outcomes, ['WAL_FAILED', 'resolved', 'WAL_FAILED', 'WAL_FAILED']);
  await log.shutdown();
  faulty.before = () => undefined;
  assert.deepEqual(await storage.contents(), [{ id: 1, chunks: ['acknowledged'] }]);
  const again = await storage.open({ manager: new HoardingManager() });
  assert.ok((await again.append('works again')).id > 1);
});
