import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FileHandle } from '../../src/files/file-manager.js';
import type { CrashPoint, Fate } from '../support/crash-point.js';
import type { DiskTraits } from '../support/disk-content.js';
import { fileManagerSuite } from '../support/file-manager-suite.js';
import { Random } from '../support/random.js';
import { HangError, Scheduler } from '../support/scheduler.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import {
  faultAtCall,
  SimulatedFileManager,
  type SimulatedFileManagerOptions,
} from '../support/simulated-file-manager.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

/** A manager with an open, durable, file `/a` holding `content`. */
async function fileHolding(
  content: string,
  traits: Partial<DiskTraits> = {},
  options: SimulatedFileManagerOptions = {},
): Promise<{ manager: SimulatedFileManager; disk: SimulatedDisk; file: FileHandle }> {
  const disk = new SimulatedDisk(traits);
  const manager = new SimulatedFileManager(disk, options);
  const file = await manager.open('/a', { access: 'create' });
  if (content.length > 0) await file.write([bytes(content)], 0);
  await file.sync();
  await manager.syncDirectory('/');
  return { manager, disk, file };
}

function contentOf(disk: SimulatedDisk, path = '/a'): string | undefined {
  const inode = disk.lookup(path);
  return inode && Buffer.from(inode.share()).toString();
}

/** Every content `/a` can have after a power loss in which each fragment is kept or lost. */
function survivors(point: CrashPoint, path = '/a'): Set<string | undefined> {
  const found = new Set<string | undefined>();
  for (let mask = 0; mask < 2 ** point.fragments.length; mask++) {
    const fates = point.fragments.map((_, i): Fate => (mask & (1 << i) ? 'kept' : 'lost'));
    found.add(contentOf(point.powerLoss(fates), path));
  }
  return found;
}

const all = (point: CrashPoint, fate: Fate): SimulatedDisk => point.powerLoss(point.fragments.map(() => fate));

describe('what a power loss leaves', () => {
  test('bytes and size that were never synced survive apart from each other', async () => {
    const { disk, file } = await fileHolding('');
    await file.write([bytes('data')], 0);
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['', '\0\0\0\0', 'data']));
  });

  test('synced bytes cannot be lost', async () => {
    const { disk, file } = await fileHolding('');
    await file.write([bytes('da'), bytes('ta')], 0);
    await file.sync();
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['data']));
  });

  test('a file whose name was never synced is gone, although its bytes were', async () => {
    const disk = new SimulatedDisk();
    const manager = new SimulatedFileManager(disk);
    const file = await manager.open('/a', { access: 'create' });
    await file.write([bytes('data')], 0);
    await file.sync();
    assert.deepEqual(survivors(disk.crashPoint()), new Set([undefined, 'data']));
    await manager.syncDirectory('/');
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['data']));
  });

  test('each sector of a write survives or not', async () => {
    const { disk, file } = await fileHolding('aaaaaaaa', { sectorBytes: 4 });
    await file.write([bytes('BBBB')], 2);
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['aaaaaaaa', 'aaBBaaaa', 'aaaaBBaa', 'aaBBBBaa']));
  });

  test('the older of two writes may be lost and the newer one kept', async () => {
    const { disk, file } = await fileHolding('....');
    await file.write([bytes('a')], 0);
    await file.write([bytes('b')], 3);
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['....', 'a...', '...b', 'a..b']));
  });

  test('a sync covers only the writes that had finished when it was asked for', async () => {
    const { disk, manager } = await fileHolding('....');
    const one = await manager.open('/a', { access: 'write' });
    const two = await manager.open('/a', { access: 'write' });
    await one.write([bytes('a')], 0);
    await Promise.all([one.sync(), two.write([bytes('b')], 3)]);
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['a...', 'a..b']));
  });

  test('a write in progress may be absent or there, and nobody can read it yet', async () => {
    const { disk, file } = await fileHolding('....');
    const writing = file.write([bytes('ab')], 1);
    assert.equal(contentOf(disk), '....');
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['....', '.ab.']));
    await writing;
    assert.equal(contentOf(disk), '.ab.');
  });

  test('a torn write ends at any byte', async () => {
    const { disk, file } = await fileHolding('....');
    await file.write([bytes('abc')], 0);
    const point = disk.crashPoint();
    const found = new Set(Array.from({ length: 50 }, (_, seed) => contentOf(point.powerLoss(['torn'], seed))));
    assert.deepEqual(found, new Set(['....', 'a...', 'ab..']));
  });

  test('damage stays within the bytes being changed, those being written, or their sectors, as asked for', async () => {
    const spared = { changed: [0, 1, 2, 5, 6, 7, 8], written: [0, 1, 5, 6, 7, 8], sector: [8] };
    for (const damage of ['changed', 'written', 'sector'] as const) {
      const { disk, file } = await fileHolding('aaaaaaaaa', { sectorBytes: 8, damage });
      await file.write([bytes('aBB')], 2);
      const content = contentOf(disk.crashPoint().powerLoss(['zeros'])) ?? '';
      assert.deepEqual([...content].flatMap((c, i) => (c === 'a' ? [i] : [])), spared[damage], damage);
    }
  });

  test('a rename in strict mode can leave both names or none', async () => {
    const { manager, disk } = await fileHolding('data');
    await manager.rename('/a', '/b');
    const point = disk.crashPoint();
    const names = [['lost', 'lost'], ['kept', 'lost'], ['kept', 'kept'], ['lost', 'kept']] as const;
    assert.deepEqual(names.map((fates) => point.powerLoss(fates).paths().sort()), [['/a'], ['/a', '/b'], ['/b'], []]);
    await manager.syncDirectory('/');
    assert.deepEqual(all(disk.crashPoint(), 'lost').paths(), ['/b']);
  });

  test('in ordered mode a rename is whole, and names and sizes survive in order', async () => {
    const { manager, file, disk } = await fileHolding('data', { mode: 'ordered' });
    await manager.rename('/a', '/b');
    await file.truncate(2);
    const point = disk.crashPoint();
    const outcome = (fates: readonly Fate[]): unknown => {
      const after = point.powerLoss(fates);
      return after.paths().map((path) => [path, contentOf(after, path)]);
    };
    assert.deepEqual(outcome(['lost', 'kept', 'kept']), [['/a', 'data']]);
    assert.deepEqual(outcome(['kept', 'lost', 'kept']), [['/b', 'da']]);
    assert.deepEqual(outcome(['kept', 'kept', 'lost']), [['/b', 'data']]);
  });

  test('in ordered mode a sync of any file makes names durable, in strict mode it does not', async () => {
    for (const mode of ['ordered', 'strict'] as const) {
      const { manager, disk, file } = await fileHolding('data', { mode });
      await manager.open('/b', { access: 'create' });
      await file.sync();
      assert.equal(all(disk.crashPoint(), 'lost').paths().includes('/b'), mode === 'ordered');
    }
  });

  test('a removed file is back unless the directory was synced', async () => {
    const { manager, disk } = await fileHolding('data');
    await manager.remove('/a');
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['data', undefined]));
    await manager.syncDirectory('/');
    assert.deepEqual(survivors(disk.crashPoint()), new Set([undefined]));
  });

  test('what a truncation cut off is zero when the file grows again', async () => {
    const { disk, file } = await fileHolding('abcd');
    await file.truncate(1);
    await file.truncate(4);
    assert.equal(contentOf(disk), 'a\0\0\0');
    assert.equal(contentOf(all(disk.crashPoint(), 'kept')), 'a\0\0\0');
  });

  test('a crash point is not changed by what happens after it', async () => {
    const { disk, file } = await fileHolding('....');
    const point = disk.crashPoint();
    await file.write([bytes('ab')], 0);
    await file.sync();
    assert.equal(contentOf(all(point, 'kept')), '....');
    assert.equal(contentOf(point.processDeath(() => true)), '....');
  });
});

describe('a handle with durable writes', () => {
  test('a write is durable when it resolves, with the size it needs, and no other write is', async () => {
    const { disk, manager, file } = await fileHolding('....');
    const durable = await manager.open('/a', { access: 'write', durableWrites: true });
    await file.write([bytes('a')], 0);
    await durable.write([bytes('b')], 5);
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['....\0b', 'a...\0b']));
  });

  test('an older write that is still pending does not overwrite it', async () => {
    const { disk, manager, file } = await fileHolding('....');
    const durable = await manager.open('/a', { access: 'write', durableWrites: true });
    await file.write([bytes('aaa')], 0);
    await durable.write([bytes('b')], 1);
    assert.deepEqual(survivors(disk.crashPoint()), new Set(['.b..', 'ab..', '.ba.', 'aba.']));
  });

  test('is not granted when the manager is told so', async () => {
    const { disk, manager } = await fileHolding('....', {}, { durableWrites: false });
    const file = await manager.open('/a', { access: 'write', durableWrites: true });
    assert.equal(file.durableWrites, false);
    await file.write([bytes('b')], 0);
    assert.equal(contentOf(all(disk.crashPoint(), 'lost')), '....');
  });

  test('a failing write can be read but is lost, and a later sync does not bring it back', async () => {
    const { disk, manager } = await fileHolding('....', {}, { faultAt: faultAtCall(5, 'EIO'), survives: () => false });
    const file = await manager.open('/a', { access: 'write', durableWrites: true });
    await assert.rejects(file.write([bytes('lost')], 0), { code: 'EIO' });
    assert.equal(contentOf(disk), 'lost');
    await file.sync();
    assert.equal(contentOf(all(disk.crashPoint(), 'kept')), '....');
  });
});

describe('faults', () => {
  test('a failing sync marks pages clean: the next one succeeds and saves nothing', async () => {
    const { disk, file } = await fileHolding('....', {}, { faultAt: faultAtCall(5, 'EIO'), survives: () => false });
    await file.write([bytes('lost')], 0);
    await assert.rejects(file.sync(), { code: 'EIO' });
    await file.sync();
    assert.equal(contentOf(disk), 'lost');
    assert.equal(contentOf(all(disk.crashPoint(), 'kept')), '....');
    await file.write([bytes('back')], 0);
    await file.sync();
    assert.equal(contentOf(all(disk.crashPoint(), 'lost')), 'back');
  });

  test('a failing directory sync leaves the names pending', async () => {
    const { disk, manager } = await fileHolding('', {}, { faultAt: faultAtCall(4, 'EIO') });
    await manager.open('/b', { access: 'create' });
    await assert.rejects(manager.syncDirectory('/'), { code: 'EIO' });
    assert.deepEqual(all(disk.crashPoint(), 'lost').paths(), ['/a']);
    await manager.syncDirectory('/');
    assert.deepEqual(all(disk.crashPoint(), 'lost').paths(), ['/a', '/b']);
  });

  test('a short write takes a part and says so', async () => {
    const { disk, file } = await fileHolding('', {}, { faultAt: faultAtCall(3, 'short') });
    assert.equal(await file.write([bytes('ab'), bytes('cd')], 0), 2);
    assert.equal(contentOf(disk), 'ab');
  });

  test('a persistent fault stays, one that does not apply to a call lets it pass', async () => {
    const { manager, file } = await fileHolding('', {}, { faultAt: faultAtCall(3, 'ENOSPC', true) });
    await assert.rejects(file.write([bytes('a')], 0), { code: 'ENOSPC' });
    await file.sync();
    await assert.rejects(file.write([bytes('a')], 0), { code: 'ENOSPC' });
    await assert.rejects(manager.open('/b', { access: 'create' }), { code: 'ENOSPC' });
  });
});

describe('the end of a process', () => {
  test('leaves the cache as it is, and what was pending can still be lost', async () => {
    const { disk, file } = await fileHolding('....');
    await file.write([bytes('ab')], 0);
    const next = disk.crashPoint().processDeath(() => false);
    assert.equal(contentOf(next), 'ab..');
    assert.equal(contentOf(all(next.crashPoint(), 'lost')), '....');
    const manager = new SimulatedFileManager(next);
    const reopened = await manager.open('/a', { access: 'write' });
    await reopened.sync();
    assert.equal(contentOf(all(next.crashPoint(), 'lost')), 'ab..');
  });

  test('frees the lock, and nothing that was in progress settles or takes effect', async () => {
    const { disk, manager, file } = await fileHolding('....');
    await manager.lock('/', () => {});
    await assert.rejects(new SimulatedFileManager(disk).lock('/', () => {}), { code: 'WAL_LOCKED' });
    const writing = file.write([bytes('ab')], 0);
    const next = disk.crashPoint().processDeath((fragment) => fragment.isInProgress);
    manager.kill();
    await assert.rejects(manager.scheduler.settled(writing, 'a write'), HangError);
    assert.equal(contentOf(disk), '....');
    assert.equal(contentOf(next), 'ab..');
    await new SimulatedFileManager(next).lock('/', () => {});
  });
});

describe('the scheduler', () => {
  test('lets operations side by side finish in any order, the same for the same seed', async () => {
    const orderFor = async (seed: number): Promise<string> => {
      const scheduler = new Scheduler(new Random(seed));
      const manager = new SimulatedFileManager(new SimulatedDisk(), { scheduler });
      const order: string[] = [];
      const names = ['a', 'b', 'c', 'd'];
      const openings = names.map((name) => manager.open(`/${name}`, { access: 'create' }));
      await Promise.all(openings.map((opening, i) => opening.then(() => order.push(names[i]))));
      return order.join('');
    };
    const orders = await Promise.all(Array.from({ length: 40 }, (_, seed) => orderFor(seed)));
    assert.ok(new Set(orders).size > 10, `only ${new Set(orders).size} orders`);
    assert.equal(await orderFor(7), orders[7]);
  });

  test('fires timers in order once nothing else can happen, and calls a hang a hang', async () => {
    const scheduler = new Scheduler();
    const fired: string[] = [];
    scheduler.setTimer(() => fired.push('late'), 2_000);
    scheduler.setTimer(() => fired.push('cancelled'), 1_500)();
    const early = new Promise<void>((resolve) => {
      scheduler.setTimer(() => resolve(void fired.push('early')), 1_000);
    });
    await scheduler.settled(early, 'the early timer');
    assert.equal(scheduler.now, 1_000);
    await assert.rejects(scheduler.settled(new Promise(() => {}), 'nothing'), /nothing never settled/);
    assert.deepEqual(fired, ['early', 'late']);
  });
});

describe('the simulated file manager as a witness', () => {
  test('notes overlapping writes, changed bytes and a close beside another operation', async () => {
    const { manager, file } = await fileHolding('....');
    const changing = bytes('ab');
    const writes = [file.write([changing], 0), file.write([bytes('c')], 1)];
    changing[0] = 0;
    const closing = file.close();
    await Promise.all([...writes, closing]);
    assert.deepEqual(manager.breaches, [
      'overlapping writes: /a',
      'a close beside another operation: /a',
      'bytes changed while they were being written: /a',
    ]);
    await assert.rejects(file.size(), { code: 'EBADF' });
  });
});

describe('the contract of FileManager', () => {
  const options: SimulatedFileManagerOptions[] = [{}, { durableWrites: false }];
  for (const option of options) {
    for (const { name, run } of fileManagerSuite) {
      test(`${name} (${option.durableWrites === false ? 'without' : 'with'} durable writes)`, async () => {
        const scheduler = new Scheduler(new Random(1));
        await run(new SimulatedFileManager(new SimulatedDisk(), { ...option, scheduler }), '/suite');
      });
    }
  }
});
