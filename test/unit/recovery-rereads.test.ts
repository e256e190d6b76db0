/**
 * After a failed sync the page cache shows bytes that the disk does not have, and takes them for clean: it may drop them
 * at any moment, and from then on the file reads as the disk has it. An opening reads many bytes more than once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteAheadLog, type WalError } from '../../src/index.js';
import { decodeTailHeader, TAIL_CRC_LENGTH, TAIL_HEADER_LENGTH } from '../../src/format/tail-format.js';
import { HoardingManager, pattern, SMALL } from '../tools/helpers.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { SimulatedFileManager, type SimulatedFileManagerOptions } from '../support/simulated-file-manager.js';

/** What is read the second time is not what was read the first time, and the opening has noticed. */
const changed = { code: 'WAL_IO', message: /changed while it was read/ };

/** One disk, on which one process after the other opens the log. */
class Machine {
  disk: SimulatedDisk;
  readonly #durableWrites: boolean;
  #process: SimulatedFileManager | undefined;

  constructor(durableWrites: boolean, disk = new SimulatedDisk()) {
    this.#durableWrites = durableWrites;
    this.disk = disk;
  }

  /** Ends the process that has the log, and opens it in another one. What a failing sync should write is lost. */
  open(manager: HoardingManager, options: SimulatedFileManagerOptions = {}): Promise<WriteAheadLog> {
    this.#process?.kill();
    this.disk = this.disk.crashPoint().processDeath(() => true);
    const all = { durableWrites: this.#durableWrites, survives: () => false, ...options };
    this.#process = new SimulatedFileManager(this.disk, all);
    return WriteAheadLog.recover('/log', manager, { ...SMALL, fileManager: this.#process });
  }

  /** Opens the log and gives the ids that it shows; the one that is appended then must be new. */
  async ids(): Promise<number[]> {
    const manager = new HoardingManager();
    const log = await this.open(manager);
    const { id } = await log.append('next');
    assert.ok(manager.recoveredIds.every((known) => known < id), 'an id is given twice');
    return manager.recoveredIds;
  }

  /** The disk after a power loss, which leaves nothing that is not durable. */
  withoutPower(): Machine {
    const point = this.disk.crashPoint();
    return new Machine(this.#durableWrites, point.powerLoss(point.fragments.map(() => 'lost')));
  }

  /** Drops a file's pages from the cache, unless some of them are still to be written. */
  evict(path: string): void {
    const inode = this.disk.lookup(path);
    const { fragments } = this.disk.crashPoint();
    if (inode === undefined || fragments.some(({ change }) => change.kind === 'data' && change.inode === inode)) return;
    this.disk.evict(inode);
  }
}

interface Left {
  readonly machine: Machine;
  readonly acknowledged: number[];
}

/** A log that has failed because a write to `failing` did not reach the disk; the cache shows it all the same. */
async function failedLog(failing: RegExp, durableWrites: boolean): Promise<Left> {
  const machine = new Machine(durableWrites);
  const acknowledged: number[] = [];
  const log = await machine.open(new HoardingManager(), {
    faultAt: ({ kind, path }) => {
      const isHit = kind === (durableWrites ? 'write' : 'sync') && acknowledged.length > 1 && failing.test(path);
      return isHit ? 'EIO' : undefined;
    },
  });
  await assert.rejects(async () => {
    for (;;) acknowledged.push((await log.append(pattern(400))).id);
  }, { code: 'WAL_FAILED' });
  return { machine, acknowledged };
}

/** The newest segment's first link is in the cache only. */
const linkUnsynced = (durableWrites: boolean): Promise<Left> => failedLog(/wal-[2-9]$/, durableWrites);
/** The last entry of the only segment is in the cache only. */
const entryUnsynced = (durableWrites: boolean): Promise<Left> => failedLog(/wal-1$/, durableWrites);

/**
 * The log is durable; the copy of its tail, made by an opening that could not sync it, is in the cache only. Version
 * 0.1.0 left that under the name of a copy.
 */
async function copyUnsynced(durableWrites: boolean): Promise<Left> {
  const machine = new Machine(durableWrites);
  const log = await machine.open(new HoardingManager());
  const acknowledged = [(await log.append('one')).id, (await log.append('two')).id];
  const opening = machine.open(new HoardingManager(), {
    faultAt: ({ kind, path }) => (kind === 'sync' && path === '/log/wal-tail-new' ? 'EIO' : undefined),
  });
  await assert.rejects(opening, { code: 'WAL_IO' });
  const { disk } = machine;
  assert.equal(disk.lookup('/log/wal-tail'), undefined, 'a copy has its name only when it is durable');
  const reserve = disk.lookup('/log/wal-tail-new')?.share() ?? new Uint8Array();
  const length = TAIL_HEADER_LENGTH + (decodeTailHeader(reserve)?.length ?? 0) + TAIL_CRC_LENGTH;
  disk.remove('/log/wal-tail-new');
  const copy = disk.create('/log/wal-tail');
  disk.write(copy, 0, reserve.slice(0, length));
  disk.failSync(copy, disk.time, () => false);
  return { machine, acknowledged };
}

for (const durableWrites of [true, false]) {
  const how = durableWrites ? 'durable writes' : 'write and sync';

  test(`the newest segment's first link leaves the cache while older segments are shown: it is not taken for empty (${how})`, async () => {
    const { machine, acknowledged } = await linkUnsynced(durableWrites);
    const newest = machine.disk.paths().find((path) => /wal-[2-9]$/.test(path)) ?? '';
    const manager = new HoardingManager();
    manager.onRecover = () => machine.evict(newest);
    await assert.rejects(machine.open(manager), changed);
    assert.deepEqual(manager.recoveredIds, acknowledged);
    assert.deepEqual(await machine.ids(), acknowledged);
  });

  test(`a copy of the tail leaves the cache behind its check: it is not put over the tail (${how})`, async () => {
    const { machine, acknowledged } = await copyUnsynced(durableWrites);
    const durable = machine.disk.lookup('/log/wal-1')?.durable;
    const opening = machine.open(new HoardingManager(), {
      onStep: ({ kind, path }) => {
        if (kind === 'create' && path === '/log/wal-tail-new') machine.evict('/log/wal-tail');
      },
    });
    await assert.rejects(opening, changed);
    assert.deepEqual(machine.disk.lookup('/log/wal-1')?.durable, durable);
    assert.deepEqual(await machine.ids(), acknowledged);
  });

  for (const wanted of ['recover', 'abandon'] as const) {
    test(`the tail leaves the cache between its scan and its copy: the log does not go on behind the hole (${wanted}, ${how})`, async () => {
      const { machine, acknowledged } = await entryUnsynced(durableWrites);
      const manager = new HoardingManager();
      manager.onSegment = () => wanted;
      const opening = machine.open(manager, {
        onStep: ({ kind, path }) => {
          if (kind === 'open' && path === '/log/wal-tail-new') machine.evict('/log/wal-1');
        },
      });
      await assert.rejects(opening, changed);
      assert.deepEqual(manager.recoveredIds, wanted === 'recover' ? acknowledged : []);
      assert.deepEqual(await machine.ids(), acknowledged);
    });
  }

  for (const left of [linkUnsynced, copyUnsynced, entryUnsynced]) {
    test(`whenever the cache drops what it can during an opening, what was acknowledged or shown stays (${left.name}, ${how})`, async () => {
      const { machine: { disk }, acknowledged } = await left(durableWrites);
      let isReached = true;
      for (let moment = 0; isReached; moment++) {
        const machine = new Machine(durableWrites, disk.crashPoint().processDeath(() => true));
        let step = 0;
        const onStep = (): void => {
          if (step++ === moment) for (const path of machine.disk.paths()) machine.evict(path);
        };
        const manager = new HoardingManager();
        const log = await machine.open(manager, { onStep }).catch((error: WalError) => void assert.equal(error.code, 'WAL_IO'));
        isReached = step > moment;
        const owed = [...new Set([...acknowledged, ...manager.recoveredIds])];
        if (log !== undefined) owed.push((await log.append('more')).id);
        const found = await machine.withoutPower().ids();
        assert.deepEqual(found.filter((id) => owed.includes(id)), owed, `evicted at step ${moment}`);
      }
    });
  }
}
