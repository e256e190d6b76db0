/**
 * Machine A of the failover: node failover-machine.js DIRECTORY STORE
 *
 * Writes orders from 16 writers, each of which waits until its order has survived the machine, and tells its parent.
 */
import { Archive, ArchiveError } from '../src/archive/index.js';
import { WriteAheadLog } from '../src/index.js';
import { keepAll, LOG_OPTIONS, PREFIX, storeOf } from './failover-data.js';

/** What the machine tells its parent. */
export type MachineReport =
  /** An order is durable on the machine. */
  | { readonly written: number; readonly order: string }
  /** It is in the archive as well. */
  | { readonly confirmed: number }
  /** Another machine has taken over. Only this one has the entries `from` to `to`. */
  | { readonly fenced: string; readonly from?: number; readonly to?: number };

const WRITERS = 16;

const [directory, storeName] = process.argv.slice(2);
const log = await WriteAheadLog.recover(directory, keepAll, LOG_OPTIONS);
try {
  const archive = await Archive.open(log, await storeOf(storeName), { prefix: PREFIX, everyMs: 0 });
  archive.on('fenced', ({ from, to, error }) => report({ fenced: error.code, from, to }));
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(archive, writer)));
} catch (error) {
  if (!(error instanceof ArchiveError)) throw error;
  report({ fenced: error.code });
}
await log.shutdown();
process.disconnect();

/** Writes until the archive belongs to another machine. */
async function write(archive: Archive, writer: number): Promise<void> {
  for (let i = 1; ; i++) {
    const order = `order ${i} of customer ${writer}`;
    const { id } = await log.append(order);
    report({ written: id, order });
    await archive.archived(id);
    report({ confirmed: id });
  }
}

function report(what: MachineReport): void {
  process.send?.(what);
}
