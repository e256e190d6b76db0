import { randomBytes } from 'node:crypto';
import { lstat, readdir, rename, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { absolutePath } from '../base/absolute-path.js';
import { hasCode } from '../base/errno.js';
import { toWalError } from '../base/errors.js';
import { NodeFileManager, WalError, type EntryId } from '../index.js';
import type { ArchivedEntry } from './archived-entry.js';
import type { ArchiveEnd } from './entry-reading.js';
import { ArchiveError } from './errors.js';
import { LogBuilder } from './log-builder.js';
import type { SnapshotInfo } from './snapshots.js';
import type { ArchiveProgress } from './verify.js';

/**
 * Up to where a log is restored, and how.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * const restoreOptions: RestoreOptions = { to: 1, preallocateBytes: 65536 };
 * console.log((await reader.restore('restored', restoreOptions)).lastId); // 1
 * await archive.close();
 */
export interface RestoreOptions {
  /** The last entry, or the last moment: entries that were archived later are left out. Default: all there are. */
  readonly to?: EntryId | Date;
  /** The size of the segments, as in `WalOptions`. */
  readonly preallocateBytes?: number;
  /** Ends it with its reason. Nothing is left then. */
  readonly signal?: AbortSignal;
  /** Called for every entry. */
  readonly onProgress?: (progress: ArchiveProgress) => void;
}

/**
 * A log that has been restored.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * await archive.archived((await log.append('hello')).id);
 * const reader = await ArchiveReader.open(store, { prefix: 'orders' });
 * const restored: Restored = await reader.restore('restored', { preallocateBytes: 65536 });
 * console.log(restored.lastId, restored.snapshot); // 1 undefined
 * await archive.close();
 */
export interface Restored {
  /** Its last entry; without any, the id before its first one. */
  readonly lastId: EntryId;
  /** The snapshot that its entries come after, to be loaded first. */
  readonly snapshot?: SnapshotInfo;
}

/** What is restored. */
export interface RestoreSource {
  readonly logId: string;
  readonly range: { readonly firstId: EntryId; readonly lastId: EntryId };
  readonly snapshots: readonly SnapshotInfo[];
  entries(options: { from: EntryId; to?: EntryId | Date; signal?: AbortSignal }): AsyncIterable<ArchivedEntry>;
}

/** See `ArchiveReader.restore`. */
export async function restoreLog(
  source: RestoreSource, directory: string | URL, { to, preallocateBytes, signal, onProgress }: RestoreOptions,
): Promise<Restored> {
  const target = absolutePath('directory', directory);
  const snapshot = source.snapshots.findLast((each) => isUpTo(each, to));
  const firstId = snapshot === undefined ? source.range.firstId : snapshot.lastId + 1;
  const toId = typeof to === 'number' ? to : source.range.lastId;
  assertRestorable(source, firstId, to);
  await assertFree(target);
  // A name of its own: an interrupted restore is no obstacle to the next.
  const workPath = `${target}.partial-${randomBytes(4).toString('hex')}`;
  const builder = new LogBuilder(workPath, { nextId: firstId, identity: source.logId, preallocateBytes });
  try {
    if (firstId <= source.range.lastId) {
      const options = { from: firstId, ...to !== undefined && { to }, ...signal !== undefined && { signal } };
      for await (const entry of source.entries(options)) {
        await builder.add(entry);
        onProgress?.({ firstId, lastId: entry.id, toId });
      }
    }
    signal?.throwIfAborted();
    await builder.close();
    await nameFinished(workPath, target);
  } catch (error) {
    await builder.abandon();
    await rm(workPath, { recursive: true, force: true });
    throw error;
  }
  return { lastId: builder.lastId, ...snapshot !== undefined && { snapshot } };
}

function isUpTo({ lastId, time }: SnapshotInfo, to: ArchiveEnd): boolean {
  return to === undefined || (to instanceof Date ? time <= to : lastId <= to);
}

function assertRestorable({ range, snapshots }: RestoreSource, firstId: EntryId, to: ArchiveEnd): void {
  if (typeof to === 'number' && to > range.lastId) {
    throw new RangeError(`to is ${to}, but the last entry in the archive is ${range.lastId}`);
  }
  const oldest = snapshots.at(0);
  // Of what lies before the oldest snapshot, retention may have deleted a part.
  const isPartial = oldest !== undefined && firstId <= oldest.lastId && range.firstId > 1;
  if (!isPartial && !(typeof to === 'number' && to < firstId - 1)) return;
  const what = oldest === undefined ? `entry ${firstId}` : `the snapshot up to entry ${oldest.lastId}`;
  throw new ArchiveError('ARCHIVE_GONE', `the archive goes back to ${what}, and no further`);
}

/** Rejects with `WAL_EXISTS` unless there is nothing, or an empty directory. */
async function assertFree(target: string): Promise<void> {
  const names = await readdir(target).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return [];
    throw hasCode(error, 'ENOTDIR') ? existsError(target) : toWalError(error, `${target} cannot be restored to`);
  });
  if (names.length > 0) throw existsError(target);
}

/** Gives a finished log its name. Resolves when that is durable. */
async function nameFinished(workPath: string, target: string): Promise<void> {
  try {
    // Windows does not rename to a directory that is there.
    if (await lstat(target).then(() => true, () => false)) await rmdir(target);
    await rename(workPath, target);
  } catch (error) {
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) throw existsError(target);
    throw toWalError(error, `${target} cannot be renamed, as a finished log is`);
  }
  await new NodeFileManager().syncDirectory(path.dirname(target));
}

function existsError(target: string): WalError {
  return new WalError('WAL_EXISTS', `there is something at ${target} already: name a new directory`);
}
