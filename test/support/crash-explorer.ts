import { withoutItsWaiters } from '../../src/base/keep-alive.js';
import { someCrashChoices } from './crash-choices.js';
import type { CrashPoint, Fate } from './crash-point.js';
import { Random } from './random.js';
import { checkRecovery } from './recovery-check.js';
import { Violation, type ReferenceModel } from './reference-model.js';
import { randomPowerLoss, Scenario } from './scenario.js';
import { settingsFor, type Settings } from './settings.js';
import type { SimulatedDisk } from './simulated-disk.js';
import { applies, faultAtCall, type Call, type Fault } from './simulated-file-manager.js';
import { damageChunk, damageHolds } from './damage-check.js';
import type { Situation } from './situations.js';
import { randomWorkload, type Step, type Workload } from './workloads.js';

/** What was tried, and what was found. */
export interface Exploration {
  /** Crash states opened and compared with the model. */
  states: number;
  /** Runs of a workload. */
  runs: number;
  /** How often the runs came to each. */
  readonly situations: Partial<Record<Situation, number>>;
  readonly failures: Failure[];
  /** Where it is: after a failure, where that was found. */
  place: Place;
}

/** A part of an exploration that can be tried by itself, with the same outcome. */
export interface Place {
  readonly seed: number;
  /** Of the moments of a run, of the faults, or of the disks that a first crash has left. */
  readonly number: number;
}

/** A case that went wrong, and how to see it again. */
export interface Failure {
  readonly name: string;
  readonly seed: number;
  /** The moment and the crash, in words. */
  readonly step: string;
  readonly message: string;
  readonly steps: readonly Step[];
}

export interface ExploreOptions {
  /** Crashes tried at one moment at most. Default: all. */
  readonly choicesPerMoment?: number;
  /** Which moments are crashed. Default: every one. */
  readonly isWanted?: (number: number) => boolean;
}

export function newExploration(): Exploration {
  return { states: 0, runs: 0, situations: {}, failures: [], place: { seed: 0, number: 0 } };
}

/** A moment of a run at which it could have crashed, and what was owed then. */
interface Moment {
  readonly call: Call | undefined;
  readonly point: CrashPoint;
  readonly model: ReferenceModel;
}

/** Crashes `workload` at every call it makes of the file manager, in every way that `crashChoices` knows. */
export async function exploreCrashes(
  exploration: Exploration, workload: Workload, seed: number, options: ExploreOptions = {},
): Promise<void> {
  const { choicesPerMoment = Infinity, isWanted = () => true } = options;
  await noteFailure(exploration, workload, seed, async (at) => {
    const settings = settingsFor(seed, workload.sync);
    const random = new Random(seed);
    const moments: Moment[] = [];
    const scenario = new Scenario(settings, random.fork(), { onStep: (call) => remember(call) });
    const remember = (call: Call | undefined): void => {
      const [point, model] = [scenario.process.disk.crashPoint(), scenario.model.snapshot()];
      // Many a call, as one that reads, changes nothing of what a crash can leave.
      const last = moments.at(-1);
      if (last?.point !== point || last.model !== model) moments.push({ call, point, model });
    };
    scenario.model.onChange = () => remember(undefined);
    exploration.runs++;
    await scenario.run(workload.steps);
    const seen = new Set<string>();
    const crashes = new Crashes(exploration, settings, seen, at);
    for (const [number, moment] of moments.entries()) {
      // Drawn for each moment apart, so that it can be tried without the others.
      const draws = random.fork();
      if (!isWanted(number)) continue;
      exploration.place = { seed, number };
      await crashes.tryAll(moment, draws, choicesPerMoment);
    }
  });
}

/** Makes every call fail in every way it can, once and from then on, and looks at what is left. */
export async function exploreFaults(
  exploration: Exploration, workload: Workload, seed: number, isWanted: (run: number) => boolean = () => true,
): Promise<void> {
  const calls: Call[] = [];
  const onStep = (call: Call): void => void (calls[call.index] ??= call);
  await new Scenario(settingsFor(seed, workload.sync), new Random(seed).fork(), { onStep }).run(workload.steps).catch(() => {});
  let run = 0;
  for (const call of calls) {
    for (const fault of ['EIO', 'ENOSPC', 'short'] as const) {
      if (!applies(fault, call.kind)) continue;
      for (const isPersistent of [false, true]) {
        const number = run++;
        if (!isWanted(number)) continue;
        exploration.place = { seed, number };
        await tryFault(exploration, workload, seed, call, fault, isPersistent);
      }
    }
  }
}

/** Runs a workload made up from `seed`, with a fault or without, and crashes it at moments chosen by chance. */
export async function exploreRandomly(exploration: Exploration, seed: number, steps?: readonly Step[]): Promise<void> {
  const workload = steps === undefined ? randomWorkload(new Random(seed)) : { name: 'random', steps };
  exploration.place = { seed, number: 0 };
  await noteFailure(exploration, workload, seed, async (at) => {
    const settings = settingsFor(seed, workload.sync);
    const random = new Random(seed);
    const faults = randomFaults(random);
    const run = new FaultedRun(exploration, settings, random, faults.faultAt);
    at(faults.description);
    await run.carryOut(workload.steps, random.pick([0, 3, 30]));
    if (faults.description === NO_FAULTS && workload.steps.every(isDamageable)) await run.damage(at);
    await run.crash(at, 12);
    await run.recoverInPlace(at);
  });
}

/** Removes steps from a failing workload for as long as it still fails; `tryAgain` runs one and returns its failure. */
export async function shrink(
  failure: Failure, tryAgain: (steps: readonly Step[]) => Promise<Failure | undefined> = runAgain(failure.seed),
): Promise<Failure> {
  let smallest = failure;
  for (let length = Math.ceil(failure.steps.length / 2); length >= 1; length = Math.floor(length / 2)) {
    for (let from = 0; from < smallest.steps.length; ) {
      const smaller = await tryAgain(smallest.steps.filter((_, i) => i < from || i >= from + length));
      if (smaller === undefined) from += length;
      else smallest = smaller;
    }
  }
  return smallest;
}

function runAgain(seed: number): (steps: readonly Step[]) => Promise<Failure | undefined> {
  return async (steps) => {
    const exploration = newExploration();
    await exploreRandomly(exploration, seed, steps);
    return exploration.failures[0];
  };
}

async function tryFault(
  exploration: Exploration, workload: Workload, seed: number, call: Call, fault: Fault, isPersistent: boolean,
): Promise<void> {
  await noteFailure(exploration, workload, seed, async (at) => {
    at(`${fault} at call ${call.index} (${call.kind} ${call.path})${isPersistent ? ' and all later ones' : ''}`);
    // The same draws as in the run that counted the calls, so that they are the same calls.
    const faultAt = faultAtCall(call.index, fault, isPersistent);
    const run = new FaultedRun(exploration, settingsFor(seed, workload.sync), new Random(seed), faultAt, true);
    await run.carryOut(workload.steps, 8);
    await run.crash(at, 4);
    await run.recoverInPlace(at);
  });
}

/** Notes where a run is, for the message of a failure. */
type At = (step: string) => void;

async function noteFailure(
  exploration: Exploration, { name, steps }: Workload, seed: number, run: (at: At) => Promise<void>,
): Promise<void> {
  let step = 'the run itself';
  try {
    await withoutItsWaiters(() => run((where) => (step = where)));
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    exploration.failures.push({ name, seed, step, message: error.message, steps });
  }
}

/** Crashes moments, and checks what each crash leaves unless it was checked before. */
class Crashes {
  readonly #exploration: Exploration;
  readonly #settings: Settings;
  readonly #seen: Set<string>;
  readonly #at: At;
  readonly #models = new Map<ReferenceModel, number>();

  constructor(exploration: Exploration, settings: Settings, seen: Set<string>, at: At) {
    this.#exploration = exploration;
    this.#settings = settings;
    this.#seen = seen;
    this.#at = at;
  }

  async tryAll(moment: Moment, random: Random, limit: number): Promise<void> {
    for (const fates of someCrashChoices(moment.point, random, limit)) await this.#losePower(moment, fates, random.next());
    for (const happened of [true, false]) await this.#endProcess(moment, happened, random.next());
  }

  async #losePower(moment: Moment, fates: readonly Fate[], seed: number): Promise<void> {
    const disk = moment.point.powerLoss(fates, seed);
    this.#at(`${describeMoment(moment)}, power lost, fragments ${describeFates(moment.point, fates)}`);
    await this.#check(moment, disk, seed);
  }

  async #endProcess(moment: Moment, happened: boolean, seed: number): Promise<void> {
    const disk = moment.point.processDeath(() => happened);
    this.#at(`${describeMoment(moment)}, process ended, what was in progress ${happened ? 'done' : 'not done'}`);
    await this.#check(moment, disk, seed);
  }

  async #check(moment: Moment, disk: SimulatedDisk, seed: number): Promise<void> {
    const model = this.#models.get(moment.model) ?? this.#models.size;
    this.#models.set(moment.model, model);
    const key = `${model} ${disk.fingerprint()}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#exploration.states += await checkRecovery(disk, moment.model.clone(), this.#settings, seed);
  }
}

/** A run in which calls may fail, and what it leaves. */
class FaultedRun {
  readonly #exploration: Exploration;
  readonly #settings: Settings;
  readonly #random: Random;
  readonly #scenario: Scenario;
  readonly #moments: Moment[] = [];
  #hasFaults = true;
  #faultsSeen = 0;
  /** One moment in so many is kept: 0 for none. */
  #oneIn = 0;

  constructor(
    exploration: Exploration, settings: Settings, random: Random, faultAt: (call: Call) => Fault | undefined,
    keepsMomentsBehindFault = false,
  ) {
    this.#exploration = exploration;
    this.#settings = settings;
    this.#random = random;
    let calls = 0;
    this.#scenario = new Scenario(settings, random.fork(), {
      expectsErrors: true,
      onSituation: (situation) => this.#note(situation),
      survives: () => random.oneIn(3),
      // Calls are counted over all processes of the run.
      faultAt: (call) => {
        const fault = this.#hasFaults ? faultAt({ ...call, index: calls++ }) : undefined;
        if (fault !== undefined) this.#faultsSeen++;
        return fault;
      },
      onStep: (call) => {
        if (keepsMomentsBehindFault && this.#faultsSeen === 0) return;
        this.#remember(call);
      },
    });
  }

  async carryOut(steps: readonly Step[], momentOneIn: number): Promise<void> {
    this.#oneIn = momentOneIn;
    this.#exploration.runs++;
    await this.#scenario.run(steps);
    this.#oneIn = 1;
    this.#remember(undefined);
    this.#oneIn = 0;
  }

  /** Damages what the run has left: the log must say so, instead of taking it for its end. */
  async damage(at: At): Promise<void> {
    const { process, model } = this.#scenario;
    const ended = (): SimulatedDisk => process.disk.crashPoint().processDeath(() => true);
    at('damage in a chunk');
    const before = await damageChunk(ended(), model.clone(), this.#settings, this.#random);
    if (before !== undefined) this.#exploration.states++;
    if (before?.isPartlyFlushed === true) this.#note('damage before an entry that was partly flushed and rolled back');
    at('damage in the holds file');
    if (!(await damageHolds(ended(), model.clone(), this.#settings, this.#random))) return;
    this.#exploration.states++;
    this.#note('a damaged holds file');
  }

  /** Loses power, or the process, at moments that were kept, the last of them among them. */
  async crash(at: At, count: number): Promise<void> {
    const last = this.#moments.at(-1) as Moment;
    const chosen = [last, ...Array.from({ length: count - 1 }, () => this.#random.pick(this.#moments))];
    for (const moment of chosen) {
      const [kind, seed] = [this.#random.below(5), this.#random.next()];
      const { point } = moment;
      at(`${describeMoment(moment)}, then ${kind === 0 ? 'the process ended' : 'the power went'}`);
      const disk = kind === 0 ? point.processDeath(() => this.#random.oneIn(2))
        : kind === 1 ? point.powerLoss(point.fragments.map(() => 'lost'))
        : randomPowerLoss(point, this.#random);
      this.#exploration.states += await checkRecovery(disk, moment.model.clone(), this.#settings, seed);
    }
  }

  /** The storage works again: the log must shut down, open, and keep what it then shows. */
  async recoverInPlace(at: At): Promise<void> {
    at('shutting down and reopening without a fault');
    this.#hasFaults = false;
    const { process } = this.#scenario;
    process.expectsErrors = false;
    if (process.hasHungCheckpoint) return;
    await process.shutdown();
    await process.open();
    await process.append([this.#random.bytes(9)]);
    await process.readBack(3);
    const disk = process.disk.crashPoint().powerLoss(process.disk.crashPoint().fragments.map(() => 'lost'));
    process.kill();
    const model = this.#scenario.model.clone();
    this.#exploration.states += 1 + (await checkRecovery(disk, model, this.#settings, this.#random.next()));
  }

  #note(situation: Situation): void {
    const { situations } = this.#exploration;
    situations[situation] = (situations[situation] ?? 0) + 1;
  }

  #remember(call: Call | undefined): void {
    if (this.#oneIn === 0 || !this.#random.oneIn(this.#oneIn)) return;
    const { process, model } = this.#scenario;
    this.#moments.push({ call, point: process.disk.crashPoint(), model: model.snapshot() });
  }
}

const NO_FAULTS = 'no faults';

/** Segments with names of other ids, and those that were given up, are not where damage is looked for. */
function isDamageable({ do: what }: Step): boolean {
  return what !== 'take over from the predecessor' && what !== 'rename a segment' && what !== 'reopen, abandoning';
}

function randomFaults(random: Random): { faultAt: (call: Call) => Fault | undefined; description: string } {
  if (random.oneIn(2)) return { faultAt: () => undefined, description: NO_FAULTS };
  const index = random.below(random.pick([30, 100, 300]));
  const fault = random.pick(['EIO', 'EIO', 'ENOSPC', 'short', 'EROFS', 'EMFILE'] as const);
  const isPersistent = random.oneIn(3);
  return {
    faultAt: faultAtCall(index, fault, isPersistent),
    description: `${fault} at call ${index}${isPersistent ? ' and all later ones' : ''}`,
  };
}

function describeMoment({ call }: Moment): string {
  return call === undefined ? 'after an answer' : `at call ${call.index} (${call.kind} ${call.path})`;
}

function describeFates(point: CrashPoint, fates: readonly Fate[]): string {
  const described = point.fragments.map(({ change }, i) => {
    const where = 'path' in change ? change.path : change.kind === 'size' ? `${change.size}` : `@${change.position}`;
    return `${change.kind} ${where} ${fates[i]}`;
  });
  return `[${described.join(', ')}]`;
}
