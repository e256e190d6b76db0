import { posix } from 'node:path';
import type { CrashPoint, Fate } from './crash-point.js';
import { DIRECTORY, ModelledLog, type ModelledLogOptions, type Outcome } from './modelled-log.js';
import { entryOfPredecessor, segmentOfPredecessor } from './predecessor.js';
import type { Random } from './random.js';
import { ReferenceModel } from './reference-model.js';
import type { Settings } from './settings.js';
import { SimulatedDisk } from './simulated-disk.js';
import type { Step } from './workloads.js';

/** Carries out the steps of a workload, in one process after another, on one disk. */
export class Scenario {
  readonly model = new ReferenceModel();
  readonly #settings: Settings;
  readonly #random: Random;
  readonly #options: ModelledLogOptions;
  #log: ModelledLog;
  #written = 0;

  constructor(settings: Settings, random: Random, options: ModelledLogOptions = {}) {
    this.#settings = settings;
    this.#random = random;
    this.#options = options;
    this.#log = this.#process(new SimulatedDisk(settings.traits));
  }

  /** The process that runs now. */
  get process(): ModelledLog {
    return this.#log;
  }

  /** Opens the log, carries out the steps, and waits for what is in flight. Throws a Violation for what must not be. */
  async run(steps: readonly Step[]): Promise<void> {
    const [first] = steps;
    if (first?.do === 'take over from the predecessor') this.#writeAsPredecessor(first.segments);
    if (first?.do === 'create') this.model.beginsWith(first);
    await this.#log.open();
    for (const step of steps) await this.#carryOut(step);
    await this.#log.settle();
  }

  /** The end of this process: the next one starts on `disk`, and does not open the log by itself. */
  restart(disk: SimulatedDisk): ModelledLog {
    const { checkpoints } = this.#log;
    this.#log.kill();
    this.#log = this.#process(disk);
    if (checkpoints !== 'hang') this.#log.checkpoints = checkpoints;
    return this.#log;
  }

  #process(disk: SimulatedDisk): ModelledLog {
    return new ModelledLog(disk, this.model, this.#settings, this.#random.fork(), this.#options);
  }

  async #carryOut(step: Step): Promise<void> {
    // What was left in flight is somewhere on its way when the process or the power goes.
    const isEnd = step.do === 'end the process' || step.do === 'lose power' || step.do === 'shut down';
    if (isEnd) await this.#log.scheduler.advance(this.#random.below(6));
    switch (step.do) {
      case 'shut down': return this.#shutDown();
      case 'reopen': return this.#reopen(0);
      case 'reopen, abandoning': return this.#reopen(step.segments);
      case 'rename a segment': return this.#renameSegment(step.ahead);
      case 'take over from the predecessor': case 'create': return;
      case 'end the process': return this.#restartAndOpen(this.#crashPoint().processDeath(() => this.#random.oneIn(2)));
      case 'lose power': return this.#restartAndOpen(randomPowerLoss(this.#crashPoint(), this.#random));
      case 'checkpoints will': this.#log.checkpoints = step.behave; return;
      case 'settle': return this.#log.settle();
      case 'let time pass': return void this.#log.scheduler.fireNextTimer();
      default: return this.#use(step);
    }
  }

  /** The steps that need an open log. A log that could not be opened, as its storage failed, is tried again. */
  async #use(step: Step): Promise<void> {
    const log = this.#log;
    if (log.log === undefined && (await log.open()) !== 'ok') return;
    switch (step.do) {
      case 'append': return void (await log.append(step.lengths.map((length) => this.#bytes(length)), step.durable));
      case 'append many':
        for (let i = 0; i < step.count; i++) log.appendLater([this.#bytes(step.length)], step.durable);
        return;
      case 'append a batch': return log.appendBatchLater(step.lengths.map((length) => this.#bytes(length)), step.durable);
      case 'sync': return void (await log.sync());
      case 'truncate after': return void (await log.truncateAfter(step.dropped));
      case 'skip ids': return void (await log.skipIds(step.count));
      case 'skip ids and append': return void (await log.skipIds(step.count, this.#bytes(step.length)));
      case 'ask for the identity': return void (await log.askForIdentity());
      case 'truncate while reading':
        return log.truncateWhileReading(this.#several(3, 9000), step.dropped);
      case 'sync after appends':
        for (let i = 0; i < step.count; i++) log.appendLater([this.#bytes(step.length)], false);
        await log.scheduler.advance(this.#random.below(3));
        return void (await log.sync());
      case 'truncate at both ends': return log.truncateAtBothEnds(this.#several(4, 400), step.kept, step.dropped);
      case 'wait until durable':
        await log.append([this.#bytes(10)]);
        return void (await log.waitUntilDurable());
      case 'roll back what was flushed':
        log.appendLater([this.#bytes(20)]);
        await log.entry([this.#bytes(step.length)], 'rollback', true, true);
        return void (await log.append([this.#bytes(9)]));
      case 'truncate before': return void (await log.truncateBefore(step.kept));
      case 'hold': return void (await log.hold(false));
      case 'advance the hold': return void (await log.hold(true));
      case 'release the hold': return void (await log.releaseHold());
      case 'iterate':
        await log.iterate();
        await log.iterateBackwards();
        return void (await log.iterateFromMiddle());
      case 'follow': return log.follow();
      case 'append the same':
        for (let i = 0; i < step.count; i++) log.appendLater([new Uint8Array(step.length).fill(step.length)]);
        return;
      case 'append a copy of the log': return void (await log.append([this.#copyOfLog(step.length)]));
      case 'write': return void (await this.#write(step));
      case 'finish too early': return void (await log.shortChunk(step.length));
      case 'checkpoint the active segment': return void (await log.checkpointActive());
      case 'read back': return log.readBack();
      case 'hold a reader': return log.holdReader();
      case 'release readers': return log.releaseReaders();
    }
  }

  async #write(step: Step & { do: 'write' }): Promise<Outcome> {
    const chunks = step.lengths.map((length) => this.#bytes(length));
    const end = step.end === 'rollback' ? 'rollback' : 'commit';
    return this.#log.entry(chunks, end, step.isStreamed ?? false, step.end !== 'commit later', step.durable);
  }

  async #reopen(segmentsToAbandon: number): Promise<void> {
    await this.#shutDown();
    this.#log.segmentsToAbandon = segmentsToAbandon;
    await this.#log.open();
    this.#log.segmentsToAbandon = 0;
  }

  /** Gives the file of a live segment a name that a later one may be about to get. */
  async #renameSegment(ahead: number): Promise<void> {
    await this.#shutDown();
    const { disk } = this.#log;
    const names = disk.paths().filter((path) => /\/wal-\d+$/.test(path) && !isOfPredecessor(disk, path));
    const newName = `${DIRECTORY}/wal-${(this.model.liveIds().at(-1) ?? 0) + ahead}`;
    if (names.length > 0 && disk.lookup(newName) === undefined) {
      disk.rename(this.#random.pick(names), newName);
      disk.syncDirectory(DIRECTORY, disk.time);
    }
    await this.#log.open();
  }

  /** Writes the segments of a log as the predecessor leaves them, all of it durable. */
  #writeAsPredecessor(segments: readonly (readonly number[])[]): void {
    const { disk } = this.#log;
    disk.directories.add(DIRECTORY);
    const written: { readonly ordinal: number; readonly id: number }[] = [];
    let nextId = 1;
    for (const lengths of segments) {
      const name = `${DIRECTORY}/wal-${nextId}`;
      // It gives two segments no one name either.
      if (disk.lookup(name) !== undefined) nextId++;
      const inode = disk.create(`${DIRECTORY}/wal-${nextId}`);
      const entries = lengths.map((length) => {
        const bytes = this.#bytes(length);
        const ordinal = this.model.begin();
        this.model.wrote(ordinal, bytes);
        this.model.committing(ordinal);
        written.push({ ordinal, id: nextId });
        return entryOfPredecessor(nextId++, bytes);
      });
      disk.writeDurably(inode, 0, segmentOfPredecessor(entries));
    }
    disk.syncDirectory(DIRECTORY, disk.time);
    for (const { ordinal, id } of written) this.model.acknowledged(ordinal, id);
  }

  async #shutDown(): Promise<void> {
    // A checkpoint that hangs would keep the shutdown waiting: that is what it is documented to do.
    const cannotEnd = this.#log.hasHungCheckpoint || this.#log.checkpoints === 'hang';
    if (cannotEnd) this.restart(this.#crashPoint().processDeath(() => true));
    else await this.#log.shutdown();
  }

  async #restartAndOpen(disk: SimulatedDisk): Promise<void> {
    await this.restart(disk).open();
  }

  #crashPoint(): CrashPoint {
    return this.#log.disk.crashPoint();
  }

  /** Bytes that no other chunk has, as far as their length allows. */
  #bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const number = ++this.#written;
    for (let i = 0; i < length; i++) bytes[i] = number * 31 + i * 7 + (i >> 8);
    if (length >= 2) bytes[1] = number >> 8;
    if (length >= 1) bytes[0] = number;
    return bytes;
  }

  #several(count: number, length: number): Uint8Array[] {
    return Array.from({ length: count }, () => this.#bytes(length));
  }

  /** Bytes of one of the log's own files: records that are genuine, somewhere else. */
  #copyOfLog(length: number): Uint8Array {
    const paths = this.#log.disk.paths().filter((path) => posix.dirname(path) === DIRECTORY);
    if (paths.length === 0) return this.#bytes(length);
    const bytes = new Uint8Array(length);
    this.#log.disk.lookup(this.#random.pick(paths))?.read(bytes, this.#random.below(200));
    return bytes;
  }
}

function isOfPredecessor(disk: SimulatedDisk, path: string): boolean {
  const header = new Uint8Array(5);
  disk.lookup(path)?.read(header, 0);
  return header[3] === 0;
}

/** A disk after the power has gone. One time in ten it has kept everything, one in ten nothing. */
export function randomPowerLoss(point: CrashPoint, random: Random): SimulatedDisk {
  const kind = random.below(10);
  const fates = point.fragments.map((): Fate => {
    if (kind === 0) return 'kept';
    if (kind === 1) return 'lost';
    return random.pick(['kept', 'kept', 'kept', 'lost', 'lost', 'lost', 'torn', 'zeros', 'garbage']);
  });
  return point.powerLoss(fates, random.next());
}
