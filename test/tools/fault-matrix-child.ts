/**
 * A process for the tests of the fault matrix, which they kill or stop, or start where storage or descriptors are
 * scarce: node dist/test/tools/fault-matrix-child.js MODE DIRECTORY. Says what came of it on its standard output.
 */
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { WriteAheadLog, type LogManager, type WalOptions } from '../../src/index.js';
import { KeepingManager, outcomeOf } from './fault-matrix-parts.js';
import { pattern, RecordingManager } from './helpers.js';

const KIB = 1024;
const OPTIONS: WalOptions = { preallocateBytes: 64 * KIB, checkpointAfterBytes: 40 * KIB, bufferBytes: 16 * KIB };

/** A file system may need more for a new file than a small segment has to give. */
const LARGER: WalOptions = { ...OPTIONS, preallocateBytes: 512 * KIB, checkpointAfterBytes: 256 * KIB };

const [mode, directory] = (workerData as string[] | null) ?? process.argv.slice(2);

/** What a mode has to tell. The tests know what it means. */
export interface FullDisk {
  readonly outcome: string;
  readonly withSpace: string;
  readonly acknowledged: number[];
  readonly recovered: number[];
}

export interface FullAfterCrash {
  /** Of the opening after the crash. */
  readonly opening: string;
  /** Of an entry that is appended after the first checkpoint. */
  readonly append: string;
  readonly acknowledged: number[];
  readonly recovered: number[];
}

export interface ReadOnly {
  readonly existing: string;
  readonly missing: string;
}

export interface FewDescriptors {
  readonly outcomes: string[];
  readonly leaked: number;
}

function open(
  where = directory, manager: LogManager = new KeepingManager(), options = OPTIONS,
): Promise<WriteAheadLog> {
  return WriteAheadLog.recover(where, manager, options);
}

async function recoveredIds(): Promise<number[]> {
  const manager = new RecordingManager();
  await (await open(directory, manager)).shutdown();
  return manager.recoveredIds;
}

/** Opens the log, says so, and keeps it open. */
async function hold(): Promise<'held'> {
  await open();
  setInterval(() => undefined, 60_000);
  return 'held';
}

/** Tries to open the log. */
async function tryToOpen(): Promise<string> {
  return outcomeOf(open());
}

/** Leaves so much space free on the file system of the directory; what takes the rest is in the file whose name it returns. */
function fill(freeBytes: number): string {
  const filler = path.join(directory, 'filler');
  const descriptor = fs.openSync(filler, 'w');
  for (const size of [64 * KIB, 4 * KIB]) {
    for (;;) {
      const { bavail, bsize } = fs.statfsSync(directory);
      if (bavail * bsize < freeBytes + size) break;
      fs.writeSync(descriptor, Buffer.alloc(size, 1));
      fs.fsyncSync(descriptor);
    }
  }
  fs.closeSync(descriptor);
  return filler;
}

/** Writes until there is no space for another segment, and goes on when there is. */
async function fullForNextSegment(): Promise<FullDisk> {
  const log = await open();
  const filler = fill(96 * KIB);
  const acknowledged: number[] = [];
  let outcome: string;
  do {
    outcome = await outcomeOf(log.append(pattern(3000)).then(({ id }) => acknowledged.push(id)));
  } while (outcome === 'resolved');
  fs.unlinkSync(filler);
  const withSpace = await outcomeOf(log.append(pattern(30_000)).then(({ id }) => acknowledged.push(id)));
  await log.shutdown();
  return { outcome, withSpace, acknowledged, recovered: await recoveredIds() };
}

/** Writes an entry that outgrows its segment and finds no space. */
async function fullInMidEntry(): Promise<FullDisk> {
  const log = await open();
  const filler = fill(200 * KIB);
  const acknowledged = [(await log.append('before')).id];
  const outcome = await outcomeOf(log.append(pattern(4 * 1024 * KIB)));
  const behind = await outcomeOf(log.append('behind'));
  await log.shutdown();
  fs.unlinkSync(filler);
  const again = await open();
  const withSpace = await outcomeOf(again.append('again').then(({ id }) => acknowledged.push(id)));
  await again.shutdown();
  return { outcome: `${outcome}, ${behind}`, withSpace, acknowledged, recovered: await recoveredIds() };
}

/** Takes what is left of the disk, to the last block. */
function fillUp(): void {
  const { bavail, bsize } = fs.statfsSync(directory);
  for (let size = bavail * bsize; size >= 512; size = Math.floor(size / 2)) {
    const filler = path.join(directory, `filler-${fs.readdirSync(directory).length}`);
    while (spawnSync('fallocate', ['-l', String(size), '--offset', String(sizeOf(filler)), filler]).status === 0);
  }
}

function sizeOf(file: string): number {
  return fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** Fills the disk with a log of which nothing is checkpointed, says which entries it has taken, and is killed. */
async function fillAndDie(): Promise<void> {
  const log = await open(directory, new KeepingManager(), LARGER);
  const acknowledged: number[] = [];
  const fill = async (): Promise<void> => {
    for (let outcome = 'resolved'; outcome === 'resolved';) {
      outcome = await outcomeOf(log.append(pattern(9000)).then(({ id }) => acknowledged.push(id)));
    }
  };
  while (fs.readdirSync(directory).length < 8) await log.append(pattern(9000)).then(({ id }) => acknowledged.push(id));
  fillUp();
  await fill();
  fillUp();
  await fill();
  fs.writeSync(1, JSON.stringify(acknowledged));
  process.kill(process.pid, 'SIGKILL');
}

/** Opens a log that was killed on a full disk, and continues. `prepare` comes between the two. */
async function fullAfterCrash(prepare = (): void => undefined): Promise<FullAfterCrash> {
  const { stdout } = spawnSync(process.execPath, [process.argv[1], 'fillAndDie', directory], { encoding: 'utf8' });
  const acknowledged = JSON.parse(stdout) as number[];
  prepare();
  const manager = new RecordingManager();
  const opening = open(directory, manager, LARGER);
  const outcome = await outcomeOf(opening);
  let append = outcome;
  if (outcome === 'resolved') {
    const log = await opening;
    if (manager.checkpoints.length === 0) await once(log, 'checkpoint');
    append = await outcomeOf(log.append('again'));
    await log.shutdown();
  }
  return { opening: outcome, append, acknowledged, recovered: manager.recoveredIds };
}

/** The same, without what the log keeps in reserve. */
async function fullWithoutReserve(): Promise<FullAfterCrash> {
  return fullAfterCrash(() => {
    for (const name of ['wal-tail-new', 'wal-0-cp']) fs.rmSync(path.join(directory, name), { force: true });
    fillUp();
  });
}

/** Makes the file system read-only and opens a log that is there, and one that is not. */
async function readOnly(): Promise<ReadOnly> {
  const log = await open();
  await log.append('entry');
  await log.shutdown();
  execFileSync('mount', ['-o', 'remount,ro', directory]);
  return { existing: await outcomeOf(open()), missing: await outcomeOf(open(path.join(directory, 'missing'))) };
}

function descriptors(): number {
  return fs.readdirSync('/proc/self/fd').length;
}

/** Opens the log with ever more descriptors left, until it can be opened; `ulimit -n` has set their number. */
async function fewDescriptors(): Promise<FewDescriptors> {
  // Whatever is loaded or opened once is: only what opening the log leaves behind counts.
  await (await open()).shutdown();
  const before = descriptors();
  const taken: number[] = [];
  const outcomes: string[] = [];
  try {
    for (;;) taken.push(fs.openSync('/dev/null', 'r'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error;
  }
  for (;;) {
    const opening = open();
    const outcome = await outcomeOf(opening);
    outcomes.push(outcome);
    if (outcome === 'resolved') {
      await (await opening).shutdown();
      break;
    }
    fs.closeSync(taken.pop() ?? -1);
  }
  for (const descriptor of taken) fs.closeSync(descriptor);
  return { outcomes, leaked: descriptors() - before };
}

/** Opens the log as somebody who may not. */
/** Opens the log as a user that may do nothing in particular. Says "unreachable" if it cannot get to the directory. */
async function asNobody(): Promise<string> {
  // The user may be unable to read this checkout, so everything that an opening loads is loaded before.
  const before = await WriteAheadLog.recover(fs.mkdtempSync(`${directory}-before-`), new KeepingManager(), OPTIONS);
  await before.shutdown();
  process.setgroups?.([]);
  process.setgid?.(65_534);
  process.setuid?.(65_534);
  try {
    fs.statSync(path.join(directory, '.'));
  } catch {
    return 'unreachable';
  }
  return outcomeOf(open());
}

const MODES: Readonly<Record<string, () => Promise<unknown>>> = {
  hold, tryToOpen, fullForNextSegment, fullInMidEntry, fillAndDie, fullAfterCrash, fullWithoutReserve,
  readOnly, fewDescriptors, asNobody,
};

// Other modules import the types alone; a thread or a process that was started with a mode carries it out.
if (mode in MODES) {
  const answer = await MODES[mode]();
  if (parentPort !== null) parentPort.postMessage(answer);
  else console.log(JSON.stringify(answer));
}
