import { withoutItsWaiters } from '../../src/base/keep-alive.js';
import type { FileManager } from '../../src/files/file-manager.js';
import { someCrashChoices } from './crash-choices.js';
import type { CrashPoint } from './crash-point.js';
import { Random } from './random.js';
import { randomPowerLoss } from './scenario.js';
import { Scheduler } from './scheduler.js';
import { settingsFor } from './settings.js';
import { SimulatedDisk } from './simulated-disk.js';
import { SimulatedFileManager } from './simulated-file-manager.js';

/**
 * A program of yours that stores its data with a write-ahead log, and whatever else it keeps on disk
 * (a snapshot, an index), all of it through one FileManager. `Store` is whatever you call it when it is open.
 */
export interface CrashTestSubject<Store> {
  /** Opens the store in `directory`, or creates it, and recovers what it holds. */
  open(fileManager: FileManager, directory: string): Promise<Store>;

  /** Makes the change with this number, counted from 0. When it resolves the change must survive. */
  change(store: Store, number: number): Promise<unknown>;

  /**
   * How many changes the store holds: it must hold those numbered below the result, whole, and nothing
   * of the others, of which `begun` have been begun. Throws if that can be said of no number.
   */
  count(store: Store, begun: number): number | Promise<number>;
}

/** How much is tried. */
export interface CrashTestOptions {
  /** Changes made in one run. Default: 20. */
  readonly changes?: number;
  /** One run for each. A seed decides the kind of disk and all that is left to chance. Default: 0 to 7. */
  readonly seeds?: readonly number[];
  /** Crashes tried at each moment, at most. Default: 12. */
  readonly choicesPerMoment?: number;
}

/** How much was tried. */
export interface CrashTestReport {
  /** Moments at which a run could crash: every call of the file manager, before and after. */
  readonly moments: number;
  /** Disks that a crash left, and that the store was opened on. */
  readonly states: number;
}

/** The store lost a change, made one up, or could not be opened. `message` says where, `cause` what. */
export class CrashTestFailure extends Error {
  /** Tells it from other errors where `instanceof` does not. */
  override readonly name = 'CrashTestFailure';
  /** Pass it as the only one of `seeds` to see the same failure again. */
  readonly seed: number;

  constructor(seed: number, moment: string, cause: unknown) {
    super(`seed ${seed}, ${moment}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.seed = seed;
  }
}

const DIRECTORY = '/store';

/**
 * Crash-tests a store. Opens it on a simulated disk and makes changes one after the other; crashes that
 * run at every call of the file manager in many ways; opens the store on what each crash left; and
 * checks that it holds every change that had resolved, that it opens again, that it can be
 * changed, and that another crash takes nothing away. Rejects with a CrashTestFailure for the first failure.
 *
 * @example
 * const { states } = await crashTest({
 *   async open(fileManager, directory) {
 *     const store = { count: 0, log: undefined as WriteAheadLog | undefined };
 *     const manager: LogManager = { recover: () => void store.count++, checkpointTo() {} };
 *     store.log = await WriteAheadLog.recover(directory, manager, { fileManager, preallocateBytes: 4096 });
 *     return store;
 *   },
 *   async change(store, number) { await store.log?.append(`change ${number}`); store.count++; },
 *   count: (store) => store.count,
 * }, { changes: 3, seeds: [0], choicesPerMoment: 2 });
 * console.log(states > 20); // true
 */
export function crashTest<Store>(
  subject: CrashTestSubject<Store>, options: CrashTestOptions = {},
): Promise<CrashTestReport> {
  return withoutItsWaiters(() => tryAllSeeds(subject, options));
}

async function tryAllSeeds<Store>(
  subject: CrashTestSubject<Store>, options: CrashTestOptions,
): Promise<CrashTestReport> {
  const report = { moments: 0, states: 0 };
  for (const seed of options.seeds ?? [0, 1, 2, 3, 4, 5, 6, 7]) {
    let where = 'without a crash';
    try {
      const moments = await recordMoments(subject, seed, options.changes ?? 20);
      report.moments += moments.length;
      const random = new Random(seed);
      const seen = new Set<string>();
      for (const [i, moment] of moments.entries()) {
        where = `crash at moment ${i} (${moment.what})`;
        report.states += await crashAt(subject, moment, seed, random, seen, options.choicesPerMoment ?? 12);
      }
    } catch (error) {
      throw new CrashTestFailure(seed, where, error);
    }
  }
  return report;
}

interface Moment {
  readonly what: string;
  readonly point: CrashPoint;
  readonly acknowledged: number;
  readonly begun: number;
}

async function recordMoments<Store>(
  subject: CrashTestSubject<Store>, seed: number, changes: number,
): Promise<Moment[]> {
  const moments: Moment[] = [];
  const disk = new SimulatedDisk(settingsFor(seed).traits);
  let acknowledged = 0;
  let begun = 0;
  const remember = (what: string): void => void moments.push({ what, point: disk.crashPoint(), acknowledged, begun });
  const process = startProcess(disk, seed, new Random(seed), ({ kind, path }) => remember(`${kind} ${path}`));
  const store = await process.settled(subject.open(process.files, DIRECTORY), 'open');
  for (let number = 0; number < changes; number++) {
    begun++;
    await process.settled(subject.change(store, number), `change ${number}`);
    acknowledged++;
    remember(`change ${number} had resolved`);
  }
  await process.scheduler.idle();
  process.files.kill();
  return moments;
}

/** Tries crashes at one moment; returns how many disks were opened. */
async function crashAt<Store>(
  subject: CrashTestSubject<Store>, moment: Moment, seed: number, random: Random, seen: Set<string>, limit: number,
): Promise<number> {
  let states = 0;
  const choices = someCrashChoices(moment.point, random, limit);
  const disks = choices.map((fates) => moment.point.powerLoss(fates, random.next()));
  disks.push(moment.point.processDeath(() => random.oneIn(2)));
  for (const disk of disks) {
    const key = `${moment.acknowledged} ${moment.begun} ${disk.fingerprint()}`;
    if (seen.has(key)) continue;
    seen.add(key);
    states += await openTwice(subject, disk, moment, seed, random);
  }
  return states;
}

/** Opens what a crash left, changes it, loses power, and opens it again. */
async function openTwice<Store>(
  subject: CrashTestSubject<Store>, disk: SimulatedDisk, moment: Moment, seed: number, random: Random,
): Promise<number> {
  const first = startProcess(disk, seed, random);
  const store = await first.settled(subject.open(first.files, DIRECTORY), 'open after a crash');
  const held = await countWithin(subject, store, moment.acknowledged, moment.begun);
  await first.settled(subject.change(store, held), `change ${held}, after a crash`);
  // One more is left in the middle.
  void subject.change(store, held + 1).catch(() => {});
  const after = randomPowerLoss(disk.crashPoint(), random);
  first.files.kill();
  const second = startProcess(after, seed, random);
  const again = await second.settled(subject.open(second.files, DIRECTORY), 'open after a second crash');
  await countWithin(subject, again, held + 1, held + 2);
  second.files.kill();
  return 2;
}

async function countWithin<Store>(
  subject: CrashTestSubject<Store>, store: Store, acknowledged: number, begun: number,
): Promise<number> {
  const count = await subject.count(store, begun);
  if (count < acknowledged) throw new Error(`${acknowledged} changes had resolved, but the store holds ${count}`);
  if (count > begun) throw new Error(`${begun} changes had been begun, but the store holds ${count}`);
  return count;
}

interface Process {
  readonly files: SimulatedFileManager;
  readonly scheduler: Scheduler;
  settled<T>(promise: Promise<T>, what: string): Promise<T>;
}

function startProcess(
  disk: SimulatedDisk, seed: number, random: Random, onStep?: (call: { kind: string; path: string }) => void,
): Process {
  const scheduler = new Scheduler(random.fork());
  const { durableWrites } = settingsFor(seed);
  const files = new SimulatedFileManager(disk, { scheduler, durableWrites, ...(onStep && { onStep }) });
  return { files, scheduler, settled: (promise, what) => scheduler.settled(promise, what) };
}
