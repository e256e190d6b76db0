/** Holds while something else goes on: a shutdown, a failure, a cut, a breaking, a disk that is full. */
import assert from 'node:assert/strict';
import type { HoldOptions, WriteAheadLog } from '../../src/index.js';
import { Gate, systemError, type FaultyFileManager, type FileCall, type Hook, type Operation } from '../tools/faulty-file-manager.js';
import { checkpointAll, fillSegment, forEachFileManager, inMemory, isSettled, ready, RecordingManager, turns, until, type Storage } from '../tools/helpers.js';
import { KeepingManager, range, readIds } from '../tools/iterating.js';

const CHANGES: readonly Operation[] = ['write', 'truncate', 'rename', 'remove'];

/** Whether a change to a hold comes to the point of no return: it is written, and not in force yet. */
function isStoring({ operation, name }: FileCall): boolean {
  return operation === 'sync' && name === 'wal-holds-new';
}

/** A log with holds that keep entries 1 and 2, and all that they may. */
async function openAtLimit(storage: Storage, names: readonly string[] = ['slow']) {
  const log = await storage.open();
  const holds = [];
  for (const name of names) holds.push(await log.hold(name, { from: 1, maxBytes: 2 * 4096 }));
  const broken: string[] = [];
  log.on('holdBroken', ({ name }) => broken.push(name));
  for (let i = 0; i < 2; i++) {
    await log.append('entry');
    await checkpointAll(log);
    await ready(log);
  }
  return { log, holds, broken };
}

/** Has the holds keep entry 3 as well. The hook is for what becomes of them. */
async function exceedLimit(log: WriteAheadLog, faulty: FaultyFileManager, hook: Hook): Promise<void> {
  log.once('checkpoint', () => (faulty.before = hook));
  await log.append('entry');
  await checkpointAll(log);
}

forEachFileManager('a hold of a log that was shut down changes nothing under the next owner', async (storage) => {
  const log = await storage.open();
  const old = await log.hold('old', { from: 1 });
  await log.append('one');
  await log.shutdown();
  const next = await storage.open();
  await next.hold('new', { from: 1 });
  await ready(next);
  const before = await storage.files();
  await assert.rejects(old.advance(2), { name: 'WalError', code: 'WAL_CLOSED' });
  await assert.rejects(old.release(), { name: 'WalError', code: 'WAL_CLOSED' });
  assert.deepEqual(await storage.files(), before);
});

for (const where of ['write', 'sync', 'rename', 'syncDirectory'] as const) {
  inMemory(`a shutdown does not overtake a hold that is being stored, at its ${where}`, async (base) => {
    const { storage, faulty } = base.withFaults();
    const log = await storage.open();
    const hold = await log.hold('replica', { from: 1 });
    await log.append('one');
    await ready(log);
    const gate = new Gate();
    faulty.before = ({ operation, name }) => {
      const isHolds = name === 'wal-holds-new' || (where === 'syncDirectory' && name === storage.directory);
      return operation === where && isHolds ? gate.pass() : undefined;
    };
    const moved = hold.advance(2).then(() => 2, () => 1);
    await until(() => gate.arrivals > 0);
    const shutdown = log.shutdown();
    assert.equal(await isSettled(shutdown), false);
    gate.open();
    await shutdown;
    assert.equal(faulty.calls.at(-1)?.operation, 'release', 'the lock is the last to go');
    const again = await storage.open();
    assert.equal((await again.hold('replica')).from, await moved, 'what the caller was told is what is stored');
  });
}

for (const how of ['lost its lock', 'failed']) {
  forEachFileManager(`a log that ${how} stores no hold, nor how far it is checkpointed`, async (base) => {
    const { storage, faulty } = base.withFaults();
    const manager = new RecordingManager();
    const gate = new Gate();
    manager.onCheckpoint = () => gate.pass();
    const log = await storage.open({ manager });
    const hold = await log.hold('replica', { from: 1 });
    await fillSegment(log);
    await until(() => gate.arrivals === 1);
    await ready(log);
    if (how === 'failed') {
      faulty.before = ({ operation, name }) => {
        if (operation === 'sync' && /^wal-\d+$/.test(name)) throw systemError('EIO');
      };
      await assert.rejects(log.append('two'), { code: 'WAL_FAILED' });
    } else {
      faulty.compromise(new Error('the lock is lost'));
    }
    const { length } = faulty.calls;
    gate.open();
    await assert.rejects(hold.advance(2), { name: 'WalError', code: 'WAL_FAILED' });
    await assert.rejects(hold.release(), { name: 'WalError', code: 'WAL_FAILED' });
    await log.shutdown();
    assert.deepEqual(faulty.calls.slice(length).filter(({ operation }) => CHANGES.includes(operation)), []);
  });
}

forEachFileManager('a hold that is being stored when the lock is lost is not put in the place of the next owner\'s', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const hold = await log.hold('replica', { from: 1 });
  await log.append('one');
  const gate = new Gate();
  faulty.before = (call) => (isStoring(call) ? gate.pass() : undefined);
  const moved = assert.rejects(hold.advance(2), { name: 'WalError', code: 'WAL_FAILED' });
  await until(() => gate.arrivals === 1);
  faulty.compromise(new Error('the lock is lost'));
  const { length } = faulty.calls;
  gate.open();
  await moved;
  assert.deepEqual(faulty.calls.slice(length).filter(({ operation }) => operation === 'rename'), []);
});

forEachFileManager('a crash before a hold is stored as broken finds it unbroken, with all that it keeps', async (base) => {
  const { storage, faulty } = base.withFaults();
  const { log, holds: [hold], broken } = await openAtLimit(storage);
  const gate = new Gate();
  await exceedLimit(log, faulty, (call) => (isStoring(call) ? gate.pass() : undefined));
  await until(() => gate.arrivals === 1);
  await turns();
  assert.deepEqual([broken, hold.isBroken, await readIds(log)], [[], false, [1, 2, 3]]);
  const again = await (await base.crash()).open({ manager: new KeepingManager() });
  assert.deepEqual(await readIds(again), [1, 2, 3]);
  assert.equal((await again.hold('slow')).from, 1);
  gate.open();
  await until(() => log.stats().segments.length === 1);
  assert.deepEqual([broken, hold.isBroken], [['slow'], true]);
});

inMemory('a hold that cannot be stored as broken goes on, until it can', async (base) => {
  const { storage, faulty } = base.withFaults();
  const { log, holds: [hold], broken } = await openAtLimit(storage);
  let attempts = 0;
  await exceedLimit(log, faulty, (call) => {
    if (isStoring(call) && attempts++ === 0) throw systemError('EIO');
  });
  await until(() => attempts === 1);
  await turns();
  assert.deepEqual([broken, hold.isBroken, await readIds(log)], [[], false, [1, 2, 3]]);
  await log.append('one more');
  await checkpointAll(log);
  await until(() => broken.length === 1);
  assert.equal(hold.isBroken, true);
});

inMemory('who asks for a hold while it is being broken is not given it, nor a new one', async (base) => {
  const { storage, faulty } = base.withFaults();
  const { log } = await openAtLimit(storage);
  const gate = new Gate();
  await exceedLimit(log, faulty, (call) => (isStoring(call) ? gate.pass() : undefined));
  await until(() => gate.arrivals === 1);
  const asked = log.hold('slow');
  gate.open();
  await assert.rejects(asked, { name: 'WalError', code: 'WAL_HOLD_BROKEN' });
  await assert.rejects(log.hold('slow'), { name: 'WalError', code: 'WAL_HOLD_BROKEN' });
});

inMemory('a hold that is asked for just before it comes to keep too much is broken all the same, and not begun anew', async (base) => {
  const { storage, faulty } = base.withFaults();
  const { log, broken } = await openAtLimit(storage);
  const gate = new Gate();
  // How far the log is checkpointed is stored before that is counted.
  faulty.before = (call) => (isStoring(call) ? gate.pass() : undefined);
  await log.append('entry');
  await log.checkpointActive();
  await until(() => gate.arrivals === 1);
  const asked = log.hold('slow');
  gate.open();
  assert.equal((await asked).from, 1);
  await until(() => broken.length === 1);
  await assert.rejects(log.hold('slow'), { name: 'WalError', code: 'WAL_HOLD_BROKEN' });
});

for (const move of ['a hold that moves on', 'a new hold']) {
  for (const first of ['cut', 'hold']) {
    inMemory(`a cut and ${move} do not both succeed if that would be behind the cut, while the ${first} is on its way`, async (base) => {
      const { storage, faulty } = base.withFaults();
      const log = await storage.open({ manager: new KeepingManager() });
      await log.appendBatch(range(1, 10).map(String));
      const hold = await log.hold('replica', { from: 1 });
      await ready(log);
      const gate = new Gate();
      faulty.before = (call) => {
        const isCutting = call.operation === 'sync' && call.name.endsWith('-cp');
        return (first === 'cut' ? isCutting : isStoring(call)) ? gate.pass() : undefined;
      };
      const begin = {
        cut: () => log.truncateAfter(5),
        hold: () => (move === 'a new hold' ? log.hold('new', { from: 11 }) : hold.advance(11)),
      };
      const done = begin[first as 'cut' | 'hold']();
      await until(() => gate.arrivals === 1);
      const refused = begin[first === 'cut' ? 'hold' : 'cut']();
      const told = assert.rejects(refused, { name: 'WalError', code: first === 'cut' ? 'WAL_OUT_OF_RANGE' : 'WAL_HELD' });
      await turns();
      gate.open();
      await Promise.all([done, told]);
      assert.ok(hold.from <= log.stats().nextId);
      await log.hold('new', { from: log.stats().nextId });
    });
  }
}

inMemory('a cut is not refused because of a hold that could not be moved past it', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(['one', 'two']);
  const hold = await log.hold('replica', { from: 1 });
  const gate = new Gate();
  faulty.before = async (call) => {
    if (!isStoring(call)) return;
    await gate.pass();
    throw systemError('EIO');
  };
  const moved = assert.rejects(hold.advance(3), { code: 'WAL_IO' });
  await until(() => gate.arrivals === 1);
  const cut = log.truncateAfter(1);
  gate.open();
  await Promise.all([cut, moved]);
  assert.deepEqual([hold.from, await readIds(log)], [1, [1]]);
});

inMemory('a segment that a new hold wants does not go while that is being stored', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  await log.append('one');
  const gate = new Gate();
  faulty.before = (call) => (isStoring(call) ? gate.pass() : undefined);
  const held = log.hold('replica', { from: 1 });
  await until(() => gate.arrivals === 1);
  await log.checkpointActive();
  await turns();
  gate.open();
  await held;
  await checkpointAll(log);
  assert.deepEqual(await readIds(log), [1]);
});

inMemory('a segment does not go because of a move that is not stored yet, and then fails', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const hold = await log.hold('replica', { from: 1 });
  const other = await log.hold('other', { from: 1 });
  await log.append('one');
  await checkpointAll(log);
  let stored = 0;
  faulty.before = (call) => {
    if (isStoring(call) && ++stored === 2) throw systemError('ENOSPC');
  };
  // When the first is stored it is looked for what can go, while the second is in line.
  const [first, second] = [other.advance(2), hold.advance(2)];
  await assert.rejects(second, { name: 'WalError', code: 'WAL_NO_SPACE' });
  await first;
  await turns();
  assert.deepEqual([hold.from, await readIds(log)], [1, [1]]);
});

inMemory('of two moves at once that both fail, neither has moved the hold', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const hold = await log.hold('replica', { from: 1 });
  await log.appendBatch(range(1, 10).map(String));
  await checkpointAll(log);
  let isFull = true;
  faulty.before = (call) => {
    if (isFull && isStoring(call)) throw systemError('ENOSPC');
  };
  const moves = [hold.advance(5), hold.advance(8)];
  for (const move of moves) await assert.rejects(move, { code: 'WAL_NO_SPACE' });
  assert.equal(hold.from, 1);
  isFull = false;
  await hold.advance(1);
  await turns();
  assert.equal((await readIds(log))[0], 1);
});

inMemory('of two moves at once, one that would go behind the other is refused', async (storage) => {
  const log = await storage.open();
  const hold = await log.hold('replica', { from: 1 });
  await log.appendBatch(range(1, 10).map(String));
  const [far, near] = [hold.advance(10), hold.advance(5)];
  await assert.rejects(near, RangeError);
  await far;
  assert.equal(hold.from, 10);
  await log.shutdown();
  assert.equal((await (await storage.open()).hold('replica')).from, 10);
});

inMemory('a hold that is begun below what truncateBefore is giving back is refused, and keeps it from nothing', async (storage) => {
  const manager = new RecordingManager();
  const never = new Gate();
  manager.onCheckpoint = () => never.pass();
  const log = await storage.open({ manager });
  await log.append('one');
  await log.checkpointActive();
  await until(() => never.arrivals === 1);
  const released = log.truncateBefore(2);
  await assert.rejects(log.hold('late', { from: 1 }), { name: 'WalError', code: 'WAL_POSITION_GONE' });
  await released;
  assert.equal((await log.hold('late')).from, 2, 'what was refused has left nothing behind');
  never.open();
});

/** A disk that has room for holds only where a file with any was removed, or written over. */
function fillDisk(faulty: FaultyFileManager): Hook {
  let [room, hasAny] = [0, true];
  faulty.after = ({ operation, name }) => {
    if (name !== 'wal-holds-new' || (operation !== 'remove' && operation !== 'rename')) return;
    if (hasAny) room++;
    hasAny = false;
  };
  return ({ operation, name }) => {
    if (operation !== 'write' || name !== 'wal-holds-new') return;
    hasAny = room > 0;
    if (!hasAny) throw systemError('ENOSPC');
    room--;
  };
}

inMemory('a full disk stays full because no hold can be moved or ended', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const options: HoldOptions = { from: 1 };
  const [moving, ending] = [await log.hold('moving', options), await log.hold('ending', options)];
  await log.append('one');
  await checkpointAll(log);
  await ready(log);
  faulty.before = fillDisk(faulty);
  await moving.advance(2);
  await ending.release();
  await until(() => log.stats().segments.length === 1);
  await moving.release();
});

inMemory('a full disk stays full because no hold can be broken that keeps too much', async (base) => {
  const { storage, faulty } = base.withFaults();
  const { log, broken } = await openAtLimit(storage, ['slow', 'slower']);
  faulty.before = fillDisk(faulty);
  await log.append('entry');
  await log.checkpointActive();
  await until(() => broken.length === 2);
  await until(() => log.stats().segments.length === 1);
});

function heldSegments(log: WriteAheadLog): number[] {
  return log.stats().segments.filter(({ state }) => state === 'held').map(({ segmentId }) => segmentId);
}

inMemory('a hold that could not be stored does not keep what another has let go', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const other = await log.hold('other', { from: 1 });
  await log.append('one');
  await checkpointAll(log);
  let stores = 0;
  faulty.before = (call) => {
    if (isStoring(call) && ++stores === 2) throw systemError('EIO');
  };
  const moved = other.advance(2);
  await assert.rejects(log.hold('replica', { from: 1 }), { code: 'WAL_IO' });
  await moved;
  await turns(200);
  assert.deepEqual(heldSegments(log), []);
});

inMemory('a hold that is asked for again, or moved, while it lets go keeps nothing of that', async (storage) => {
  const log = await storage.open();
  const hold = await log.hold('replica', { from: 1 });
  await log.append('one');
  await checkpointAll(log);
  await Promise.all([hold.advance(2), log.hold('replica')]);
  assert.equal(hold.from, 2);
  await turns(200);
  assert.deepEqual(heldSegments(log), []);

  await log.append('two');
  await checkpointAll(log);
  await Promise.allSettled([hold.release(), hold.advance(2)]);
  await turns(200);
  assert.deepEqual(heldSegments(log), []);
});

inMemory('a hold that begins where another ends does not promise entries that go while it is stored', async (base) => {
  const { storage, faulty } = base.withFaults();
  const log = await storage.open();
  const [other, hold] = [await log.hold('other', { from: 1 }), await log.hold('replica', { from: 1 })];
  for (let i = 0; i < 6; i++) {
    await log.append('entry');
    await checkpointAll(log);
    await ready(log);
  }
  await hold.advance(6);
  const [storing, retiring] = [new Gate(), new Gate()];
  let stores = 0;
  faulty.before = async (call) => {
    if (isStoring(call) && ++stores === 3) await storing.pass();
    if (call.operation === 'rename' && call.name === 'wal-1') await retiring.pass();
  };
  const released = [other.release(), hold.release()];
  const again = log.hold('replica');
  await until(() => storing.arrivals === 1);
  retiring.open();
  await turns(200);
  storing.open();
  await Promise.all(released);
  assert.equal((await readIds(log, { from: (await again).from }))[0], (await again).from);
});

inMemory('what is asked of a hold behind its release, or beside a cut that is refused, is judged by what then is', async (storage) => {
  const log = await storage.open({ manager: new KeepingManager() });
  await log.appendBatch(range(1, 5).map(String));
  const hold = await log.hold('replica', { from: 4 });
  const cut = assert.rejects(log.truncateAfter(1), { code: 'WAL_HELD' });
  assert.equal((await log.hold('replica')).from, 4);
  await cut;
  const [, again] = await Promise.all([hold.release(), log.hold('replica', { from: 1 })]);
  assert.equal(again.from, 1);
});

inMemory('a hold ahead of the log, after a loss of power, wants what comes instead in every later opening too', async (storage) => {
  const first = await storage.open({ manager: new KeepingManager(), options: { sync: 'manual' } });
  await first.append('one', { durable: true });
  const durable = await storage.files();
  await first.appendBatch(range(2, 10).map(String));
  await (await first.hold('replica', { from: 1 })).advance(11);
  await first.shutdown();
  // The hold was durable, the entries were not.
  const crashed = await storage.crash();
  for (const [name, bytes] of durable) await crashed.put(name, bytes);
  const second = await crashed.open({ manager: new KeepingManager() });
  assert.equal(second.stats().nextId, 2);
  await second.appendBatch(range(2, 20).map((id) => `new ${id}`));
  const third = await (await crashed.crash()).open({ manager: new KeepingManager() });
  assert.equal((await third.hold('replica')).from, 2);
});

inMemory('truncateBefore does not wait for a segment that was closed, and is held, only after it was called', async (base) => {
  const { storage, faulty } = base.withFaults();
  const manager = new RecordingManager();
  const never = new Gate();
  manager.onCheckpoint = () => never.pass();
  const log = await storage.open({ manager });
  await ready(log);
  for (const data of ['one', 'two']) {
    await log.append(data);
    await log.checkpointActive();
    await ready(log);
  }
  await log.append('three');
  const first = new Gate();
  faulty.before = (call) => (call.operation === 'rename' && call.name === 'wal-1' ? first.pass() : undefined);
  const released = log.truncateBefore(4);
  await until(() => first.arrivals === 1);
  await log.hold('late', { from: 3 });
  const rotated = log.checkpointActive();
  await turns(50);
  first.open();
  await rotated;
  await turns(200);
  assert.ok(await isSettled(released));
  never.open();
});
