import { DIRECTORY, ModelledLog } from './modelled-log.js';
import type { Random } from './random.js';
import { Violation, type Attempt, type KnownChunk, type ReferenceModel } from './reference-model.js';
import type { Settings } from './settings.js';
import type { SimulatedDisk } from './simulated-disk.js';

/**
 * Flips a bit of a chunk that is proven to be durable, and opens the log: it must refuse, or show every entry as it was.
 * Resolves with the attempt after that of the chunk, undefined if there is no such chunk. Throws a Violation.
 */
export async function damageChunk(
  disk: SimulatedDisk, model: ReferenceModel, settings: Settings, random: Random,
): Promise<Attempt | undefined> {
  const proven = model.provenChunks();
  const next = ({ ordinal }: KnownChunk): Attempt => model.attempts[ordinal + 1];
  const special = proven.filter((chunk) => next(chunk).isPartlyFlushed);
  if (proven.length === 0) return undefined;
  const chunk = random.pick(special.length > 0 ? special : proven);
  const { position: { segmentId, offset }, bytes } = chunk;
  if (!flip(disk, `wal-${segmentId}`, (file) => indexOf(file, bytes, offset) + random.below(bytes.length))) return undefined;
  await open(disk, model, settings, random);
  return next(chunk);
}

/** Changes a digit in the holds file, if there is one, which the log must notice. Resolves with whether there is. */
export async function damageHolds(
  disk: SimulatedDisk, model: ReferenceModel, settings: Settings, random: Random,
): Promise<boolean> {
  const isDamaged = flip(disk, 'wal-holds', (file) => {
    const digits = [...file.keys()].filter((at) => file[at] >= 0x30 && file[at] <= 0x39);
    return random.pick(digits);
  });
  if (!isDamaged) return false;
  const outcome = await open(disk, model, settings, random);
  if (outcome !== 'WAL_CORRUPT') throw new Violation(`a damaged holds file was read: ${outcome}`);
  return true;
}

async function open(disk: SimulatedDisk, model: ReferenceModel, settings: Settings, random: Random): Promise<string> {
  model.processEnded();
  const log = new ModelledLog(disk, model, settings, random.fork(), { expectsDamage: true });
  const outcome = await log.open();
  log.kill();
  return outcome;
}

/** Flips the lowest bit of the byte of a file that `choose` chooses. False if there is no such file. */
function flip(disk: SimulatedDisk, name: string, choose: (file: Uint8Array) => number): boolean {
  const inode = disk.lookup(`${DIRECTORY}/${name}`);
  if (inode === undefined) return false;
  const file = inode.share().slice();
  const at = choose(file);
  disk.writeDurably(inode, at, Uint8Array.of(file[at] ^ 1));
  return true;
}

/** Where the data of a chunk stands, whose record is at `offset`. */
function indexOf(file: Uint8Array, bytes: Uint8Array, offset: number): number {
  const at = Buffer.from(file.buffer, file.byteOffset, file.length).indexOf(bytes, offset);
  if (at < 0) throw new Error(`the chunk at ${offset} is not in its file`);
  return at;
}
