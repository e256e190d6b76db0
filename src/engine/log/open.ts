import type { Environment } from '../../base/environment.js';
import { hasCode } from '../../base/errno.js';
import { toWalError, WalError } from '../../base/errors.js';
import { parseSegmentName } from '../../format/file-names.js';
import type { ResolvedOptions } from '../../model/options.js';
import { BlockPool } from '../../segment/block-pool.js';
import { Holds } from '../checkpoint/holds.js';
import { Lifecycle } from '../directory/lifecycle.js';
import { LogDirectory } from '../directory/log-directory.js';
import { Reserve } from '../directory/reserve.js';
import { SpareFiles } from '../directory/spare-files.js';
import type { RecoveryTarget } from '../recover/entry-replay.js';
import { LogRecovery, type RecoveredLog } from '../recover/recovery.js';
import type { Closable } from '../view/segment-files.js';
import { openForWriting } from './continue.js';
import { Log, type LogFoundation } from './log.js';

export interface OpeningRequest {
  readonly directory: string;
  readonly options: ResolvedOptions;
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
    if (request.options.mustExist) await assertLog(request, true);
    await foundation.directory.acquire();
    // Under the lock, so that of two that come at once only one finds nothing.
    if (request.options.mustBeNew) await assertLog(request, false);
    const recovered = await new LogRecovery(foundation, request.target, foundation.holds, opened).run();
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

/** Throws unless there is a log in the directory, or none. */
async function assertLog({ directory, options: { fileManager } }: OpeningRequest, isWanted: boolean): Promise<void> {
  const names = await fileManager.list(directory).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  });
  const isThere = names.some((name) => parseSegmentName(name) !== undefined);
  if (isThere === isWanted) return;
  if (isWanted) throw new WalError('WAL_NOT_FOUND', `there is no log in ${directory}`);
  throw new WalError('WAL_EXISTS', `there is a log in ${directory}`);
}

function lay({ directory: path, options, environment }: OpeningRequest): LogFoundation {
  const lifecycle = new Lifecycle();
  const directory = new LogDirectory(options.fileManager, path, lifecycle);
  const reserve = new Reserve(directory, options.preallocateBytes);
  return {
    lifecycle,
    directory,
    reserve,
    options,
    environment,
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
