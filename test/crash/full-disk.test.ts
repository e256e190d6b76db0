/** A disk that has no byte free when the log is opened after a crash: the log must not be shut in by its own size. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { someCrashChoices } from '../support/crash-choices.js';
import type { CrashPoint } from '../support/crash-point.js';
import { ModelledLog } from '../support/modelled-log.js';
import { Random } from '../support/random.js';
import { ReferenceModel, Violation } from '../support/reference-model.js';
import { randomPowerLoss } from '../support/scenario.js';
import { settingsFor, type Settings } from '../support/settings.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { faultAtCall } from '../support/simulated-file-manager.js';

const KIB = 1024;
const RESERVE = '/log/wal-tail-new';

interface Moment {
  readonly point: CrashPoint;
  readonly model: ReferenceModel;
  readonly segments: number;
}

/** The segments there are, in whatever state. */
function segmentsOn(disk: SimulatedDisk): string[] {
  return disk.paths().filter((path) => /wal-[1-9]\d*$/.test(path));
}

function spareFilesOn(disk: SimulatedDisk): string[] {
  return disk.paths().filter((path) => path.endsWith('-cp'));
}

/** Fills a disk with a log whose checkpoints fail. Resolves with the moments at which it could crash. */
async function fillDisk(settings: Settings, seed: number, capacityBytes: number): Promise<Moment[]> {
  const random = new Random(seed);
  const disk = new SimulatedDisk(settings.traits);
  disk.capacityBytes = capacityBytes;
  const moments: Moment[] = [];
  let isOpen = false;
  const log: ModelledLog = new ModelledLog(disk, new ReferenceModel(), settings, random.fork(), {
    expectsErrors: true,
    onStep: () => {
      if (!isOpen) return;
      moments.push({ point: disk.crashPoint(), model: log.model.snapshot(), segments: segmentsOn(disk).length });
    },
  });
  log.checkpoints = 'reject';
  await log.open();
  await log.settle();
  isOpen = true;
  let refusals = 0;
  while (refusals < 3) {
    for (let i = random.below(3); i > 0; i--) log.appendLater([random.bytes(random.pick([5, 200, 500]))]);
    if (await log.append([random.bytes(random.pick([0, 40, 300, 700]))]) === 'WAL_NO_SPACE') refusals++;
  }
  log.kill();
  return moments;
}

/** Opens the log on a disk without a free byte. It must become usable by itself. Returns the disk after that. */
async function openFull(
  disk: SimulatedDisk, model: ReferenceModel, settings: Settings, random: Random,
  { capacityBytes = disk.usedBytes, segmentsToAbandon = 0, onStep = (): void => undefined } = {},
): Promise<SimulatedDisk> {
  disk.capacityBytes = capacityBytes;
  model.processEnded();
  const log = new ModelledLog(disk, model, settings, random.fork(), { onStep });
  log.segmentsToAbandon = segmentsToAbandon;
  await log.open();
  await log.settle();
  const append = (): Promise<unknown> => log.append([random.bytes(random.pick([0, 9, 60]))]);
  log.expectsErrors = true;
  // The first may come before there is space again.
  await append();
  await log.settle();
  log.expectsErrors = false;
  for (let i = 0; i < 3; i++) await append();
  const spares = spareFilesOn(disk).length;
  const left = segmentsOn(disk).length;
  if (left > 3 && spares === 0) throw new Violation(`${left} segments are left, and no space was given back`);
  await log.shutdown();
  return disk;
}

interface Crashing {
  /** At how many of the calls, and which: one in so many, by chance. */
  readonly oneIn: number;
  /** How often the opening after that crashes as well. */
  readonly again: number;
  readonly segmentsToAbandon?: number;
}

/** Crashes openings at some of their calls, and opens what that leaves. No byte is ever free. */
async function crashOpenings(
  from: SimulatedDisk, model: ReferenceModel, settings: Settings, random: Random,
  { oneIn, again, segmentsToAbandon = 0 }: Crashing = { oneIn: 6, again: 0 },
): Promise<number> {
  const moments: { point: CrashPoint; model: ReferenceModel }[] = [];
  const disk = from.crashPoint().processDeath(() => true);
  disk.hasLostPower = from.hasLostPower;
  disk.capacityBytes = disk.usedBytes;
  const first = model.clone();
  first.processEnded();
  const log: ModelledLog = new ModelledLog(disk, first, settings, random.fork(), {
    onStep: () => void moments.push({ point: disk.crashPoint(), model: log.model.snapshot() }),
  });
  log.segmentsToAbandon = segmentsToAbandon;
  await log.open();
  log.kill();
  let states = 0;
  for (const moment of moments) {
    if (!random.oneIn(oneIn)) continue;
    const [isProcess, isDone] = [random.oneIn(2), random.oneIn(2)];
    const left = isProcess ? moment.point.processDeath(() => isDone) : randomPowerLoss(moment.point, random);
    if (again > 0) states += await crashOpenings(left, moment.model, settings, random, { oneIn, again: again - 1 });
    await openFull(left, moment.model.clone(), settings, random);
    states++;
  }
  return states;
}

/** Lets every call of an opening on a full disk find no space, once or forever. The next opening must work. */
async function refuseCalls(from: SimulatedDisk, model: ReferenceModel, settings: Settings, random: Random): Promise<number> {
  for (let call = 0; ; call++) {
    let calls = 0;
    for (const isPersistent of [false, true]) {
      const disk = from.crashPoint().processDeath(() => true);
      disk.capacityBytes = disk.usedBytes;
      const owed = model.clone();
      owed.processEnded();
      const faultAt = faultAtCall(call, 'ENOSPC', isPersistent);
      const log = new ModelledLog(disk, owed, settings, random.fork(), {
        expectsErrors: true,
        faultAt: (made) => faultAt({ ...made, index: calls++ }),
      });
      const outcome = await log.open();
      assert.ok(['ok', 'WAL_NO_SPACE', 'WAL_FAILED'].includes(outcome), outcome);
      log.kill();
      await openFull(disk.crashPoint().processDeath(() => true), owed, settings, random, disk);
    }
    if (call >= calls) return call;
  }
}

for (const seed of [1, 3, 5, 7]) {
  test(`after a crash on a disk that is full to its last byte a log cannot be opened, or never takes an entry again (seed ${seed})`, async (context) => {
    const settings = settingsFor(seed);
    let states = 0;
    let full = 0;
    for (const segments of [3, 5]) {
      const random = new Random(seed);
      const moments = await fillDisk(settings, seed, (segments * 4 + 5) * KIB);
      for (const { point, model, segments: there } of moments) {
        if (!random.oneIn(16)) continue;
        if (there >= segments) full++;
        const isDone = random.oneIn(2);
        const crashed = [point.processDeath(() => isDone)];
        for (const fates of someCrashChoices(point, random, 2)) crashed.push(point.powerLoss(fates, random.next()));
        for (const disk of crashed) {
          disk.capacityBytes = disk.usedBytes;
          if (random.oneIn(4)) states += await crashOpenings(disk, model, settings, random);
          await openFull(disk, model.clone(), settings, random);
          states++;
        }
      }
    }
    assert.ok(states > 150 && full > 2, `only ${states} states, ${full} of a log at its largest`);
    context.diagnostic(`${states} crash states, ${full} of a log at its largest`);
  });
}

test('a call of an opening finds no space on a full disk, and the next opening cannot continue', async (context) => {
  const settings = settingsFor(1);
  const random = new Random(1);
  let calls = 0;
  for (const { point, model } of await fillDisk(settings, 1, 25 * KIB)) {
    if (random.oneIn(60)) calls += await refuseCalls(point.processDeath(() => true), model, settings, random);
  }
  assert.ok(calls > 50, `only ${calls} calls`);
  context.diagnostic(`${calls} calls`);
});

/** The disk without what the log keeps in reserve, and without spare files. */
function withoutReserve(disk: SimulatedDisk, spares = spareFilesOn(disk)): SimulatedDisk {
  for (const path of [RESERVE, ...spares]) if (disk.lookup(path) !== undefined) disk.remove(path);
  return disk;
}

// Where a sector is as large as a segment, a segment has nothing to give.
for (const seed of [0, 1, 2, 3]) {
  test(`a log whose reserve was lost cannot be opened on a full disk although its segments have room to give (seed ${seed})`, async (context) => {
    const settings = settingsFor(seed);
    const random = new Random(seed);
    let states = 0;
    for (const { point, model, segments } of await fillDisk(settings, seed, 25 * KIB)) {
      if (segments < 4 || !random.oneIn(2)) continue;
      const [isProcess, isDone] = [random.oneIn(2), random.oneIn(2)];
      const disk = withoutReserve(isProcess ? point.processDeath(() => isDone) : randomPowerLoss(point, random));
      disk.capacityBytes = disk.usedBytes;
      if (random.oneIn(10)) states += await crashOpenings(disk, model, settings, random);
      await openFull(disk, model.clone(), settings, random);
      states++;
    }
    assert.ok(states > 50, `only ${states} states`);
    context.diagnostic(`${states} crash states`);
  });

  test(`a log of one segment whose reserve was lost cannot be opened on a full disk although the segment has room to give (seed ${seed})`, async () => {
    const settings = settingsFor(seed);
    const random = new Random(seed);
    const disk = new SimulatedDisk(settings.traits);
    const log = new ModelledLog(disk, new ReferenceModel(), settings, random.fork());
    await log.open();
    let states = 0;
    for (let i = 0; i < 8; i++) {
      await log.append([random.bytes(150)]);
      const left = withoutReserve(randomPowerLoss(disk.crashPoint(), random));
      left.capacityBytes = left.usedBytes;
      states += await crashOpenings(left, log.model, settings, random);
      await openFull(left, log.model.clone(), settings, random);
    }
    assert.ok(states > 20, `only ${states} states`);
    log.kill();
  });

  test(`a log that ends with an entry larger than a segment finds no space to continue, and cannot be opened (seed ${seed})`, async () => {
    const settings = settingsFor(seed);
    const random = new Random(seed);
    const disk = new SimulatedDisk(settings.traits);
    const log = new ModelledLog(disk, new ReferenceModel(), settings, random.fork());
    log.checkpoints = 'reject';
    await log.open();
    while (segmentsOn(disk).length < 4) await log.append([random.bytes(700)]);
    await log.checkpointActive();
    await log.settle();
    // The next segment cannot be had, and the entry takes what is left.
    withoutReserve(disk);
    disk.capacityBytes = disk.usedBytes + 3072;
    log.expectsErrors = true;
    assert.equal(await log.append([random.bytes(6049)]), 'ok');
    await log.settle();
    const left = withoutReserve(disk.crashPoint().processDeath(() => true));
    assert.ok(segmentsOn(left).some((path) => Number(left.lookup(path)?.size) > 6000));
    log.kill();
    await openFull(left, log.model, settings, random);
  });
}

test('a spare file is emptied while the disk may still know it by the name of its segment', async (context) => {
  const settings = settingsFor(0);
  const random = new Random(0);
  const disk = new SimulatedDisk(settings.traits);
  const moments: { point: CrashPoint; model: ReferenceModel }[] = [];
  const log: ModelledLog = new ModelledLog(disk, new ReferenceModel(), settings, random.fork(), {
    onStep: ({ kind }) => {
      // A segment has a spare's name, which is not durable yet.
      if (kind === 'syncDirectory' && spareFilesOn(disk).length > 0) moments.push({ point: disk.crashPoint(), model: log.model.snapshot() });
    },
  });
  await log.open();
  for (let i = 0; i < 40; i++) await log.append([random.bytes(700)]);
  let states = 0;
  for (const { point, model } of moments) {
    const left = withoutReserve(point.processDeath(() => true), []);
    left.capacityBytes = left.usedBytes;
    states += await crashOpenings(left, model, settings, random);
  }
  assert.ok(states > 50, `only ${states} states`);
  context.diagnostic(`${states} crash states`);
  log.kill();
});

test('the reserve is not on the disk yet when the first entry is taken', async () => {
  // In strict mode a sync is all that makes a size durable.
  const settings = settingsFor(0);
  const random = new Random(0);
  const disk = new SimulatedDisk(settings.traits);
  const log = new ModelledLog(disk, new ReferenceModel(), settings, random);
  await log.open();
  const point = disk.crashPoint();
  const left = point.powerLoss(point.fragments.map(() => 'lost'));
  assert.equal(left.lookup(RESERVE)?.size, 4096);
  log.kill();
});

for (const count of [1, 3]) {
  test(`a full disk keeps what is to be abandoned, because the log has nowhere to continue (all of ${count})`, async () => {
    const settings = settingsFor(1);
    const random = new Random(1);
    const moments = await fillDisk(settings, 1, (count + 1) * 4 * KIB);
    const { point, model, segments } = moments[moments.length - 1];
    const left = point.processDeath(() => true);
    assert.deepEqual([segments, spareFilesOn(left).length], [count, 0]);
    await crashOpenings(left, model, settings, random, { oneIn: 1, again: 0, segmentsToAbandon: count });
    await openFull(left, model.clone(), settings, random, { segmentsToAbandon: count });
  });
}

test('a log of one full segment never takes an entry again, because there is no space for another', async () => {
  const settings = settingsFor(1);
  const random = new Random(1);
  const moments = await fillDisk(settings, 1, 8 * KIB);
  const { point, model } = moments[moments.length - 1];
  const left = point.processDeath(() => true);
  assert.deepEqual(segmentsOn(left), ['/log/wal-1']);
  await crashOpenings(left, model, settings, random, { oneIn: 1, again: 0 });
  await openFull(left, model.clone(), settings, random);
});

/** Another program on a full disk: it takes every byte that becomes free. */
function greedy(disk: SimulatedDisk): { onStep(): void } {
  return { onStep: () => void (disk.capacityBytes = Math.min(disk.capacityBytes, disk.usedBytes)) };
}

for (const [what, preallocateBytes] of [['', 4096], [', smaller than segments are now,', 8192]] as const) {
  test(`a log cannot be opened on a full disk where its own space${what} goes to another program`, async (context) => {
    const settings = settingsFor(1);
    const random = new Random(1);
    const now = { ...settings, options: { ...settings.options, preallocateBytes } };
    let states = 0;
    for (const { point, model } of await fillDisk(settings, 1, 25 * KIB)) {
      if (!random.oneIn(8)) continue;
      const disk = point.processDeath(() => true);
      await openFull(disk, model.clone(), now, random, greedy(disk));
      states++;
    }
    assert.ok(states > 20, `only ${states} states`);
    context.diagnostic(`${states} crash states`);
  });
}
