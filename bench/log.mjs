/** The library as it is built, opened the ways the scenarios need it. */
import { LogVoid, WriteAheadLog } from '../dist/src/index.js';

const MIB = 1 << 20;

/** Reads every byte of a segment that is checkpointed, as a manager that stores it elsewhere would. */
const reading = {
  recover: () => undefined,
  async checkpointTo(_lastId, entries) {
    for await (const entry of entries) await entry.readAllChunks();
  },
};

/** Never accepts a checkpoint, so that every segment stays where it is and can be recovered. */
const keeping = {
  recover: () => undefined,
  checkpointTo: () => { throw new Error('this manager keeps every segment'); },
};

export const MANAGERS = { void: LogVoid, reading, keeping };

/**
 * Opens a log. `manager` is a name of MANAGERS or a LogManager of your own. `circulateBytes` are written
 * first, so that the segments have been through checkpointing and are recycled: the state a log spends its life in.
 */
export async function openLog(directory, { manager = 'void', circulateBytes = 0, ...options } = {}) {
  const logManager = typeof manager === 'string' ? MANAGERS[manager] : manager;
  const log = await WriteAheadLog.recover(directory, logManager, options);
  // A checkpoint that this bench refuses on purpose is no news.
  log.on('checkpointFailed', () => undefined);
  const filler = Buffer.alloc(MIB);
  for (let written = 0; written < circulateBytes; written += 4 * MIB) {
    await Promise.all([log.append(filler), log.append(filler), log.append(filler), log.append(filler)]);
  }
  return log;
}

/** Appends `total` entries of `size` bytes, `concurrency` at a time, and passes each committed one to `each`. */
export async function fill(log, { total, size, concurrency, each }) {
  const data = Buffer.alloc(size, 'segmented');
  let left = total;
  await Promise.all(Array.from({ length: Math.min(concurrency, total) }, async () => {
    while (left-- > 0) {
      const entry = await log.append(data);
      each?.(entry);
    }
  }));
}
