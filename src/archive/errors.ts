import type { EntryId } from '../index.js';

/**
 * The errors of an archive that a caller is expected to handle carry a stable `code`. Those of the log are WalErrors,
 * those of the store are the store's own, and a caller's own mistake is a TypeError or RangeError.
 *
 * @example
 * const isFailover = (code: ArchiveErrorCode): boolean => code === 'ARCHIVE_FENCED';
 * console.log(isFailover('ARCHIVE_GAP')); // false
 */
export type ArchiveErrorCode =
  /** Another writer has taken the archive over: this one confirms nothing more. */
  | 'ARCHIVE_FENCED'
  /** The log no longer has the entry that the archive needs next, or an object of the archive is missing. */
  | 'ARCHIVE_GAP'
  /** The archive has entries that the log has not: the log is older than the archive, or was truncated. */
  | 'ARCHIVE_AHEAD'
  /** The archive is of another log, or has an entry of the same id with other bytes. */
  | 'ARCHIVE_DIVERGED'
  /** The bytes of an object are not those that were stored. */
  | 'ARCHIVE_CORRUPT'
  /** The store creates an object although there is one of that name, so it cannot keep two writers apart. */
  | 'ARCHIVE_UNSAFE_STORE'
  /** There is no archive at the prefix. */
  | 'ARCHIVE_NOT_FOUND'
  /** Entries that are asked for have been deleted by retention. */
  | 'ARCHIVE_GONE'
  /** The archive has been closed. */
  | 'ARCHIVE_CLOSED';

/** Where an error happened. */
export interface ArchiveErrorDetails {
  readonly slot?: number;
  readonly lastId?: EntryId;
  readonly cause?: unknown;
}

/**
 * An error of an archive that a caller is expected to handle.
 *
 * @example
 * const error = new ArchiveError('ARCHIVE_GAP', 'slot 7 of the archive is missing', { slot: 7 });
 * console.log(error.code, error.slot); // ARCHIVE_GAP 7
 */
export class ArchiveError extends Error {
  /** Tells it from other errors where `instanceof` does not. */
  override readonly name = 'ArchiveError';
  /** What happened. It stays the same when the message is put better. */
  readonly code: ArchiveErrorCode;
  /** The slot concerned, where there is one. */
  readonly slot?: number;
  /** The last entry that the archive has for sure, where that matters. */
  readonly lastId?: EntryId;

  constructor(code: ArchiveErrorCode, message: string, { cause, ...details }: ArchiveErrorDetails = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    Object.assign(this, details);
  }
}
