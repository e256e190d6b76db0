import type { Environment } from '../../base/environment.js';
import { toWalError, WalError } from '../../base/errors.js';
import type { Beginning, ResolvedOptions } from '../../model/options.js';
import { BlockPool } from '../../segment/block-pool.js';
import { Holds } from '../checkpoint/holds.js';
import { LogIdentity } from '../directory/identity-file.js';
import { Lifecycle } from '../directory/lifecycle.js';
import { LogDirectory } from '../directory/log-directory.js';
import { Reserve } from '../directory/reserve.js';
import { SpareFiles } from '../directory/spare-files.js';
import type { RecoveryTarget } from '../recover/entry-replay.js';
import { LogRecovery, type RecoveredLog } from '../recover/recovery.js';
import { containsLog, hasSegmentFiles } from '../view/log-presence.js';
import type { Closable } from '../view/segment-files.js';
import { openForWriting } from './continue.js';
import { Log, type LogFoundation } from './log.js';

export interface OpeningRequest {
  readonly directory: string;
  readonly options: ResolvedOptions;
  /** How the log begins if there is none. */
  readonly beginning: Beginning;
  readonly environment: Environment;
  /** What recovery asks about segments, and hands entries to. */
  readonly target: RecoveryTarget;
}

/**
 * Takes ownership of a directory, recovers the log in it and starts it. `wrap` makes the object that users hold. It is
 * called once everything has been recovered and before the first checkpoint, which is handed that object.
 * If anything fails, every file is closed and the directory is free again.
 */
export async function openLog<Facade>(request: OpeningRequest, wrap: (log: Log) => Facade): Promise<Facade> {
  const startedAt = request.environment.now();
  const foundation = lay(request);
  const opened: Closable[] = [];
  let log: Log | undefined;
  try {
    await assertMayOpen(foundation);
    const recovered = await new LogRecovery(foundation, request.target, opened).run();
    // Before the first link, which makes it a log.
    if (recovered.segments.length === 0) await foundation.identity.begin(request.beginning.identity);
    const encoder = await openForWriting(recovered, foundation);
    opened.push(encoder.segment);
    // After the segment, which needs the space more.
    await foundation.reserve.keep();
    log = new Log(foundation, recovered, encoder);
    const facade = wrap(log);
    await log.start(recovered, startedAt);
    await closeUnused(opened, recovered, log);
    foundation.lifecycle.opened();
    return facade;
  } catch (error) {
    await abandon(foundation, log, opened);
    throw toWalError(error, `the log in ${request.directory} cannot be opened`);
  }
}

/** Takes the directory, if there is a log in it, or none, as the options demand. */
async function assertMayOpen({ directory, options }: LogFoundation): Promise<void> {
  const { fileManager, mustExist, mustBeNew, bufferBytes } = options;
  const notFound = (): WalError => new WalError('WAL_NOT_FOUND', `there is no log in ${directory.path}`);
  // First without the lock, which would make the directory.
  if (mustExist && !(await hasSegmentFiles(fileManager, directory.path))) throw notFound();
  await directory.acquire();
  if (!mustExist && !mustBeNew) return;
  // Under the lock, so that of two that come at once only one finds nothing.
  const isThere = await containsLog(fileManager, directory.path, bufferBytes);
  if (isThere && mustBeNew) throw new WalError('WAL_EXISTS', `there is a log in ${directory.path}`);
  if (!isThere && mustExist) throw notFound();
}

function lay({ directory: path, options, beginning, environment }: OpeningRequest): LogFoundation {
  const lifecycle = new Lifecycle();
  const directory = new LogDirectory(options.fileManager, path, lifecycle);
  const reserve = new Reserve(directory, options.preallocateBytes);
  return {
    lifecycle,
    directory,
    reserve,
    options,
    beginning,
    environment,
    identity: new LogIdentity(directory, options.fileManager, lifecycle, environment),
    spareFiles: new SpareFiles(directory, reserve, lifecycle, options, environment),
    holds: new Holds(directory, lifecycle),
    blocks: new BlockPool(options.bufferBytes, options.maxPendingBytes),
  };
}

async function closeUnused(opened: readonly Closable[], { segments }: RecoveredLog, log: Log): Promise<void> {
  const used = new Set<Closable>([...segments, log.rotation.segment]);
  for (const file of opened) if (!used.has(file)) await file.close().catch(() => undefined);
}

/** Frees everything after a failed opening. The error that is reported is the first one. */
async function abandon(
  { lifecycle, directory, spareFiles }: LogFoundation, log: Log | undefined, opened: readonly Closable[],
): Promise<void> {
  await log?.flusher.landed();
  lifecycle.closed();
  await spareFiles.close().catch(() => undefined);
  for (const file of opened) await file.close().catch(() => undefined);
  await directory.release();
}
