import { someCrashChoices } from '../support/crash-choices.js';
import type { Exploration } from '../support/crash-explorer.js';
import type { CrashPoint } from '../support/crash-point.js';
import { ModelledLog } from '../support/modelled-log.js';
import { Random } from '../support/random.js';
import { checkRecovery } from '../support/recovery-check.js';
import { Violation, type ReferenceModel } from '../support/reference-model.js';
import { Scenario } from '../support/scenario.js';
import { settingsFor, type Settings } from '../support/settings.js';
import type { SimulatedDisk } from '../support/simulated-disk.js';
import type { CallKind } from '../support/simulated-file-manager.js';
import { WORKLOADS, type Step, type Workload } from '../support/workloads.js';

/** A segment is checkpointed only after the next opening, which finds everything proven durable and has nothing to rewrite. */
const LATE_CHECKPOINT: Workload = {
  name: 'a checkpoint after reopening',
  steps: [
    { do: 'checkpoints will', behave: 'reject' },
    ...[400, 400, 400, 30].map((length): Step => ({ do: 'append', lengths: [length] })),
    { do: 'settle' }, { do: 'shut down' }, { do: 'checkpoints will', behave: 'succeed' }, { do: 'reopen' }, { do: 'settle' },
  ],
};

/** The workloads to crash twice. */
export const TWICE_WORKLOADS: readonly Workload[] = [...WORKLOADS, LATE_CHECKPOINT];

/** The calls at which a first crash leaves more than a torn tail: names that may change back, files half written. */
const CALLS: ReadonlySet<CallKind> = new Set(['create', 'rename', 'remove', 'syncDirectory', 'sync', 'write']);

/** How many disks that a first crash can leave are continued from, and how often each of those is crashed. */
export const FIRST_CRASHES = 30;
const SECOND_CRASHES = 20;

/** A moment at which a run could have crashed, and what was owed then. */
interface Moment {
  readonly point: CrashPoint;
  readonly model: ReferenceModel;
}

/** A disk that a crash has left, and what it owes. */
interface Remains {
  readonly disk: SimulatedDisk;
  readonly model: ReferenceModel;
  readonly step: string;
}

/**
 * Crashes `workload`, opens what is left and goes on from there through a change of segments, and crashes
 * that too, at moments chosen by chance. A crash alone shows whether recovery reads what
 * it finds; a second one shows whether recovery itself left the disk fit for what comes behind it.
 */
export async function exploreCrashesTwice(
  exploration: Exploration, workload: Workload, seed: number, firstCrashes = FIRST_CRASHES,
  isWanted: (number: number) => boolean = () => true,
): Promise<void> {
  const settings = settingsFor(seed, workload.sync);
  const random = new Random(seed);
  const remains = await crashOnce(exploration, workload, settings, random);
  for (let i = 0; i < firstCrashes && exploration.failures.length === 0; i++) {
    const [chosen, draws] = [random.pick(remains[i % 2]), random.fork()];
    if (!isWanted(i)) continue;
    exploration.place = { seed, number: i };
    try {
      await crashAgain(exploration, chosen, settings, draws);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      const { message } = error;
      exploration.failures.push({ name: workload.name, seed, step: chosen.step, message, steps: workload.steps });
    }
  }
}

/**
 * Every distinct disk that a power loss at one of `CALLS` can leave, as far as a few choices for each go, and every
 * one that the end of the process can while names are pending: the disk may still know those of before.
 */
async function crashOnce(
  exploration: Exploration, workload: Workload, settings: Settings, random: Random,
): Promise<[Remains[], Remains[]]> {
  const moments: (Moment & { step: string })[] = [];
  const scenario: Scenario = new Scenario(settings, random.fork(), {
    onStep: ({ index, kind, path }) => {
      if (!CALLS.has(kind)) return;
      const step = `first crash at call ${index} (${kind} ${path})`;
      moments.push({ point: scenario.process.disk.crashPoint(), model: scenario.model.snapshot(), step });
    },
  });
  exploration.runs++;
  await scenario.run(workload.steps);
  const seen = new Set<string>();
  const isNew = ({ disk }: Remains): boolean => seen.size < seen.add(disk.fingerprint()).size;
  const losses = moments.flatMap(({ point, ...owed }) => someCrashChoices(point, random, 8).map((fates) => (
    { disk: point.powerLoss(fates, random.next()), ...owed }
  )));
  const ends = moments.filter(hasPendingNames).flatMap(({ point, ...owed }) => [true, false].map((happened) => (
    { disk: point.processDeath(() => happened), ...owed }
  )));
  return [losses.filter(isNew), ends.filter(isNew)];
}

/** Opens what a crash has left, fills a segment and a bit, and crashes at moments of that. */
async function crashAgain(
  exploration: Exploration, remains: Remains, settings: Settings, random: Random,
): Promise<void> {
  const moments: Moment[] = [];
  const model = remains.model.clone();
  model.processEnded();
  const log: ModelledLog = new ModelledLog(copyOf(remains.disk), model, settings, random.fork(), {
    onStep: ({ kind }) => {
      if (CALLS.has(kind)) moments.push({ point: log.disk.crashPoint(), model: model.snapshot() });
    },
  });
  await log.open();
  for (const length of [700, 300, 60, 400]) await log.append([random.bytes(length)]);
  await log.settle();
  log.kill();
  // Where both names and bytes are pending it matters in which order they reach the disk.
  const mixed = moments.filter((moment) => hasPendingNames(moment) && hasPendingBytes(moment));
  for (let i = 0; i < SECOND_CRASHES; i++) {
    const { point, model: owed } = random.pick(i % 2 === 0 && mixed.length > 0 ? mixed : moments);
    const [fates] = someCrashChoices(point, random, 3).slice(-1);
    const disk = random.oneIn(5) ? point.processDeath(() => random.oneIn(2)) : point.powerLoss(fates, random.next());
    exploration.states += await checkRecovery(disk, owed.clone(), settings, random.next());
  }
}

/** What a crash has left, to be used up: the same, and left by the same kind of crash, which the model must be told. */
function copyOf(disk: SimulatedDisk): SimulatedDisk {
  const point = disk.crashPoint();
  return disk.hasLostPower ? point.powerLoss([]) : point.processDeath(() => true);
}

function hasPendingNames({ point }: Moment): boolean {
  return point.fragments.some(({ change }) => 'path' in change);
}

function hasPendingBytes({ point }: Moment): boolean {
  return point.fragments.some(({ change }) => change.kind === 'data');
}
