import type { CrashPoint } from './crash-point.js';
import { ModelledLog } from './modelled-log.js';
import { Random } from './random.js';
import type { ReferenceModel } from './reference-model.js';
import { randomPowerLoss } from './scenario.js';
import type { Settings } from './settings.js';
import type { SimulatedDisk } from './simulated-disk.js';

/** What a crash has left, and what is owed of it. */
interface Remains {
  readonly disk: SimulatedDisk;
  readonly model: ReferenceModel;
}

/**
 * Opens the log on a disk that a crash has left and compares it with what it owes; reads entries back,
 * writes more, crashes it again, in the middle of that, and opens it again. Some openings are crashed as well.
 * `owed` is used up. Throws a Violation. Returns how many states were opened.
 */
export async function checkRecovery(
  left: SimulatedDisk, owed: ReferenceModel, settings: Settings, seed: number,
): Promise<number> {
  const random = new Random(seed);
  let openings = 0;
  let remains: Remains = { disk: left, model: owed };
  while (random.oneIn(4)) {
    openings++;
    remains = await crashOpening(remains, settings, random);
  }
  const { disk, model } = remains;
  const open = async (on: SimulatedDisk): Promise<ModelledLog> => {
    openings++;
    const log = new ModelledLog(on, model, settings, random.fork());
    if (random.oneIn(20)) log.checkpoints = random.pick(['reject', 'hang']);
    await log.open();
    return log;
  };
  const endWithPowerLoss = (log: ModelledLog): SimulatedDisk => {
    const after = randomPowerLoss(log.disk.crashPoint(), random);
    log.kill();
    return after;
  };

  const committing = new Set<number>();
  for (const { ordinal, state } of model.attempts) if (state === 'committing') committing.add(ordinal);
  model.processEnded();
  const first = await open(disk);
  await first.readBack(2);
  if (model.isIdentified) await first.askForIdentity();
  // A program that was not told that its entry is safe writes it again, and may get the same place for it.
  const lost = model.attempts.find(({ state, ordinal }) => state === 'gone' && committing.has(ordinal));
  if (lost !== undefined && random.oneIn(2)) await first.append(lost.chunks);
  // With nothing written behind it, what stood there before may seem to follow.
  if (lost === undefined || random.oneIn(2)) await writeMore(first, random);
  if (random.oneIn(3)) {
    // What a process shows after another one has ended must survive, although only the cache had it.
    const after = first.disk.crashPoint().processDeath(() => random.oneIn(2));
    first.kill();
    const second = await open(after);
    const third = await open(endWithPowerLoss(second));
    third.kill();
  } else {
    const second = await open(endWithPowerLoss(first));
    if (random.oneIn(8)) await writeMore(second, random);
    second.kill();
  }
  return openings;
}

/** Opens what a crash has left, and crashes it at a moment of that. */
async function crashOpening({ disk, model }: Remains, settings: Settings, random: Random): Promise<Remains> {
  const chosen = random.below(random.pick([10, 30, 60]));
  let moments = 0;
  let left: { readonly point: CrashPoint; readonly model: ReferenceModel } | undefined;
  const remember = () => (left = { point: log.disk.crashPoint(), model: model.clone() });
  const onStep = (): void => {
    if (moments++ === chosen) remember();
  };
  const log: ModelledLog = new ModelledLog(disk, model, settings, random.fork(), { onStep });
  model.processEnded();
  await log.open();
  // An opening that was through before that moment is crashed behind its end.
  const { point, model: owed } = left ?? remember();
  log.kill();
  const isProcess = random.oneIn(2);
  return { disk: isProcess ? point.processDeath(() => random.oneIn(2)) : randomPowerLoss(point, random), model: owed };
}

async function writeMore(log: ModelledLog, random: Random): Promise<void> {
  await log.append([random.bytes(random.pick([0, 8, 8, 60, 700]))]);
  log.appendLater([random.bytes(random.pick([5, 40, 300]))]);
  if (random.oneIn(2)) log.appendLater([random.bytes(12)]);
}
