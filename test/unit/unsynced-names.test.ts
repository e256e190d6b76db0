/**
 * A directory sync that failed, as the harshest of systems has it: the error is reported once, and what it concerned is
 * never made durable by a later sync. The log is opened again and used; then the power fails.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type WalOptions, WriteAheadLog } from '../../src/index.js';
import { SimulatedDisk, SimulatedFileManager } from '../support/index.js';
import { pattern, RecordingManager, SMALL, turns } from '../tools/helpers.js';
import { KeepingManager } from '../tools/iterating.js';

const DIRECTORY = '/log';

/** A FileManager whose directory sync with this number fails, and is never made up for. */
class ForgetfulFileManager extends SimulatedFileManager {
  syncs = 0;
  failing: number;

  constructor(disk: SimulatedDisk, failing = Infinity) {
    super(disk);
    this.failing = failing;
  }

  /** The sync after a rename to this name fails. */
  failsAfter: string | undefined;

  override async rename(from: string, to: string): Promise<void> {
    await super.rename(from, to);
    if (this.failsAfter !== undefined && to.endsWith(this.failsAfter)) this.failing = this.syncs + 1;
  }

  override async syncDirectory(directory: string): Promise<void> {
    if (++this.syncs !== this.failing) return super.syncDirectory(directory);
    this.disk.forgetNames(directory, this.disk.time);
    await turns(1);
    throw Object.assign(new Error('EIO: injected'), { code: 'EIO' });
  }
}

async function open(fileManager: SimulatedFileManager, manager: RecordingManager): Promise<WriteAheadLog> {
  const options: WalOptions = { ...SMALL, fileManager };
  const log = await WriteAheadLog.recover(DIRECTORY, manager, options);
  log.on('checkpointFailed', () => undefined);
  return log;
}

/** Rotates a few times, and notes the entries that are acknowledged. */
async function use(log: WriteAheadLog, rounds: number, acknowledged: number[]): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < 3; i++) acknowledged.push((await log.append(pattern(900))).id);
    if (round % 2 === 1) await log.checkpoint();
  }
}

/** The disk after a loss of power, which leaves nothing that is not durable. */
function withoutPower(disk: SimulatedDisk): SimulatedDisk {
  const point = disk.crashPoint();
  return point.powerLoss(point.fragments.map(() => 'lost'));
}

async function tryFailure(failing: number, rounds: number): Promise<number> {
  const disk = new SimulatedDisk();
  const acknowledged: number[] = [];
  const owners: RecordingManager[] = [];
  const first = new ForgetfulFileManager(disk, failing);
  const manager = new RecordingManager();
  owners.push(manager);
  await (async () => {
    const log = await open(first, manager);
    try {
      await use(log, 3, acknowledged);
      await turns(20);
    } finally {
      await log.shutdown();
    }
  })().catch(() => undefined);
  const second = new RecordingManager();
  owners.push(second);
  if (disk.locks.has(DIRECTORY)) disk.locks.clear();
  const log = await open(new SimulatedFileManager(disk), second);
  await use(log, rounds, acknowledged);
  const third = new RecordingManager();
  owners.push(third);
  const again = await open(new SimulatedFileManager(withoutPower(disk)), third);
  const stored = owners.flatMap(({ checkpoints }) => checkpoints.flatMap(({ entries }) => entries));
  const known = new Set([...stored, ...third.recovered].map(({ id }) => id));
  assert.deepEqual(acknowledged.filter((id) => !known.has(id)), []);
  await again.shutdown();
  return first.syncs;
}

test('names that a failed sync has left in the cache are relied on by the next opening', async () => {
  const bad: string[] = [];
  for (let rounds = 0; rounds < 6; rounds++) {
    for (let failing = 1; failing < 40; failing++) {
      const syncs = await tryFailure(failing, rounds).catch((error: Error) => {
        bad.push(`${failing}/${rounds}: ${error.message.slice(0, 150)}`);
        return Infinity;
      });
      if (syncs < failing) break;
    }
  }
  assert.deepEqual(bad, []);
});

/** Opens the log in one process after the other, the first of which fails at a directory sync while it does `what`. */
async function failAt(what: (log: WriteAheadLog) => Promise<unknown>, manager: RecordingManager): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const fileManager = new ForgetfulFileManager(disk);
  const log = await open(fileManager, manager);
  await use(log, 1, []);
  fileManager.failsAfter = 'wal-holds';
  await assert.rejects(what(log), { code: 'WAL_FAILED' });
  await log.shutdown();
  return disk;
}

test('the mark of a failed sync stays when all is durable, or goes before that', async () => {
  const disk = await failAt((log) => log.hold('replica', { from: 1 }), new KeepingManager());
  assert.ok(disk.paths().includes('/log/wal-unsynced'));
  const failing = new ForgetfulFileManager(disk, 1);
  await assert.rejects(open(failing, new KeepingManager()));
  assert.ok(disk.paths().includes('/log/wal-unsynced'), 'an opening that fails leaves it');
  await (await open(new SimulatedFileManager(disk), new KeepingManager())).shutdown();
  assert.ok(!disk.paths().includes('/log/wal-unsynced'));
});
