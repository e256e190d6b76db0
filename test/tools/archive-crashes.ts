/**
 * A log on a simulated disk that is archived in a store which loses answers, carries requests out late and refuses
 * them. The process dies at any moment, the power fails, and another one goes on. What was confirmed must be in the
 * archive then, as the log has it.
 */
import { Archive } from '../../src/archive/index.js';
import type { ArchiveEnvironment } from '../../src/archive/archive.js';
import { WriteAheadLog, type LogManager } from '../../src/index.js';
import { withoutItsWaiters } from '../../src/base/keep-alive.js';
import { Random } from '../support/random.js';
import { randomPowerLoss } from '../support/scenario.js';
import { Scheduler } from '../support/scheduler.js';
import { settingsFor } from '../support/settings.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { SimulatedFileManager } from '../support/simulated-file-manager.js';
import { entriesIn } from './archived-entries.js';
import { FaultyStore } from './faulty-store.js';

const DIRECTORY = '/log';
const PREFIX = 'a';
/** It needs no entry, but does not abandon any when the log is opened, as `LogVoid` does. */
const MANAGER: LogManager = { recover: () => undefined, checkpointTo: () => undefined };

export interface ArchiveCrashReport {
  /** Times that a process died. */
  deaths: number;
  /** Entries that were confirmed. */
  confirmed: number;
}

/** What outlives the processes. */
class World {
  readonly random: Random;
  readonly objects = new Map<string, Uint8Array>();
  /** Requests of processes that are gone, which may still be carried out. */
  late: (() => void)[] = [];
  /** The text of every entry that was confirmed, by id. */
  readonly confirmed = new Map<number, string>();
  disk: SimulatedDisk;

  constructor(readonly seed: number) {
    this.random = new Random(seed);
    this.disk = new SimulatedDisk(settingsFor(seed % 8).traits);
  }
}

/** A process that writes, archives and waits for what it has written. */
class ArchivingProcess {
  readonly #world: World;
  readonly #scheduler: Scheduler;
  readonly #files: SimulatedFileManager;
  readonly #random: Random;
  readonly #store: FaultyStore;
  #isDead = false;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.random.fork();
    this.#scheduler = new Scheduler(this.#random.fork());
    const { durableWrites } = settingsFor(world.seed % 8);
    this.#files = new SimulatedFileManager(world.disk, { scheduler: this.#scheduler, durableWrites });
    this.#store = this.#newStore();
  }

  /** Works until it has no more to do, or dies after `steps` operations. Resolves with whether it had no more to do. */
  async run(steps: number): Promise<boolean> {
    let isDone = false;
    const work = this.#work().then(() => (isDone = true));
    const died = (async () => {
      // One that has nothing left to do but wait for a timer lets time pass.
      for (let quiet = 0; this.#scheduler.steps < steps && !isDone && quiet < 200;) {
        const before = this.#scheduler.steps;
        await new Promise((resolve) => setImmediate(resolve));
        if (this.#scheduler.steps !== before) quiet = 0;
        else if (++quiet % 4 === 0) this.#scheduler.fireNextTimer();
      }
    })();
    await Promise.race([work, died]);
    if (!isDone && this.#scheduler.steps < steps) throw new Error('the process waits for ever');
    this.#isDead = true;
    this.#files.kill();
    this.#scheduler.end();
    return isDone;
  }

  async #work(): Promise<void> {
    const { seed } = this.#world;
    const options = { ...settingsFor(seed % 8).options, fileManager: this.#files };
    const log = await WriteAheadLog.recover(DIRECTORY, MANAGER, options);
    const archive = await this.#openArchive(log);
    for (let i = this.#random.between(3, 12); i > 0; i--) {
      const texts = Array.from({ length: this.#random.pick([1, 1, 3]) }, () => this.#text());
      const committed = await log.appendBatch(texts);
      const confirm = async (): Promise<void> => {
        await archive.archived(committed[committed.length - 1].id);
        if (!this.#isDead) committed.forEach(({ id }, at) => this.#world.confirmed.set(id, texts[at]));
      };
      // Without a limit, it merges all there is and drops nothing.
      const { id: lastId } = committed[committed.length - 1];
      if (this.#random.oneIn(4)) archive.snapshot(lastId, stateOf(texts)).catch(() => undefined);
      if (this.#random.oneIn(2)) await confirm();
      else confirm().catch(() => undefined);
    }
    await archive.close();
    await log.shutdown();
  }

  /** The store may not answer for so long that an opening gives up. */
  async #openArchive(log: WriteAheadLog): Promise<Archive> {
    const options = { prefix: PREFIX, everyMs: this.#random.pick([0, 50]), maxBytes: 4096, timeoutMs: 1000 };
    for (;;) {
      try {
        return await Archive.openWith(this.#environment(), log, this.#store, options);
      } catch (error) {
        if (!(error instanceof Error) || !/Slow Down|reset|no answer/.test(error.message)) throw error;
      }
    }
  }

  /** Now and then one that is in more than one part. */
  #text(): string {
    return `${this.#random.next()} ${'x'.repeat(this.#random.oneIn(12) ? 6000 : this.#random.below(300))}`;
  }

  #environment(): ArchiveEnvironment {
    return {
      randomFill: (target) => target.set(this.#random.bytes(target.length)),
      callAfter: (milliseconds, callback) => this.#scheduler.setTimer(callback, milliseconds),
      now: () => this.#scheduler.now,
      date: () => this.#scheduler.now,
    };
  }

  /** A store whose requests take effect in any order, or whose answers are lost. */
  #newStore(): FaultyStore {
    const store = new FaultyStore(this.#world.objects);
    store.before = async () => {
      await this.#turn();
      if (this.#random.oneIn(12)) throw new Error('503 Slow Down');
      // Never answered: it counts as failed after a while.
      if (this.#random.oneIn(20)) await new Promise<void>((resolve) => this.#world.late.push(resolve));
    };
    store.after = async () => {
      if (this.#random.oneIn(12)) throw new Error('connection reset');
      await this.#turn();
    };
    return store;
  }

  /** Resolves at some later moment; after a death, when the world lets a late request be carried out. */
  #turn(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isDead) this.#world.late.push(resolve);
      else this.#scheduler.enqueue(resolve);
    });
  }
}

async function* stateOf(texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

/** Runs processes one after the other, and checks the archive after each. Throws for the first promise that is broken. */
export async function crashArchive(seed: number, deaths: number): Promise<ArchiveCrashReport> {
  return withoutItsWaiters(async () => {
    const world = new World(seed);
    const report = { deaths: 0, confirmed: 0 };
    for (let death = 0; death < deaths; death++) {
      const isDone = await new ArchivingProcess(world).run(world.random.between(20, 400));
      if (!isDone) report.deaths++;
      world.disk = isDone ? world.disk : randomPowerLoss(world.disk.crashPoint(), world.random);
      // What was on its way to the store may arrive now, later, or never.
      for (const arrive of world.late.splice(0)) {
        if (world.random.oneIn(2)) arrive();
        else if (world.random.oneIn(2)) world.late.push(arrive);
      }
      await check(world, `seed ${seed}, after death ${death}`);
    }
    report.confirmed = world.confirmed.size;
    return report;
  });
}

async function check(world: World, where: string): Promise<void> {
  const archived = new Map((await entriesIn(new FaultyStore(world.objects), PREFIX)).map(({ id, chunks }) => [id, chunks[0]]));
  for (const [id, text] of world.confirmed) {
    if (archived.get(id) === text) continue;
    const found = archived.get(id);
    throw new Error(`${where}: entry ${id} was confirmed as ${text.slice(0, 20)}, and the archive has ${found?.slice(0, 20)}`);
  }
  const fileManager = new SimulatedFileManager(world.disk.crashPoint().processDeath(() => true));
  const log = await WriteAheadLog.openReadOnly(DIRECTORY, { fileManager });
  for await (const entry of log.entries()) {
    const text = archived.get(entry.id);
    if (text === undefined || text === await entry.text()) continue;
    throw new Error(`${where}: entry ${entry.id} of the archive is not the log's`);
  }
  await log.close();
}
