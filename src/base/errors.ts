import { errnoOf } from './errno.js';

/**
 * The errors a caller is expected to handle carry a stable `code`. A caller's own mistake (a wrong
 * type, an option out of range) is a built-in TypeError or RangeError instead, and a broken
 * invariant of the library is an AssertionError.
 *
 * @example
 * const canBeTriedAgain = (code: WalErrorCode): boolean => code === 'WAL_NO_SPACE' || code === 'WAL_LOCKED';
 * console.log(canBeTriedAgain('WAL_CORRUPT')); // false
 */
export type WalErrorCode =
  /** The log has been shut down. */
  | 'WAL_CLOSED'
  /** A write or sync failed: nothing more is acknowledged until the log is recovered again. */
  | 'WAL_FAILED'
  /** The disk is full. */
  | 'WAL_NO_SPACE'
  /** The operating system reported another error; it is the `cause`. */
  | 'WAL_IO'
  /** Bytes that were durable once are damaged or missing. */
  | 'WAL_CORRUPT'
  /** A segment was written in a format this version does not know. */
  | 'WAL_UNSUPPORTED_VERSION'
  /** Nothing is stored at this position any more, or not yet. */
  | 'WAL_POSITION_GONE'
  /** The entry at this position is not durable yet. */
  | 'WAL_NOT_DURABLE'
  /** No entry begins at this position: the chunk there is a later one of its entry. */
  | 'WAL_NO_ENTRY'
  /** An entry id that has not been given out yet. */
  | 'WAL_OUT_OF_RANGE'
  /** A hold wants entries that were to be dropped. */
  | 'WAL_HELD'
  /** A hold kept more bytes than it may, and keeps nothing any more. */
  | 'WAL_HOLD_BROKEN'
  /** There is no log in the directory, but there must be one. */
  | 'WAL_NOT_FOUND'
  /** There is a log in the directory, but it must be new. */
  | 'WAL_EXISTS'
  /** Another opening owns the directory. */
  | 'WAL_LOCKED'
  /** The file system is mounted read-only. */
  | 'WAL_READ_ONLY'
  /** A chunk is longer than the format can state. */
  | 'WAL_TOO_LARGE'
  /** The LogManager threw or rejected; its error is the `cause`. */
  | 'WAL_LOG_MANAGER_FAILED';

/** Where an error happened, and what caused it. */
export interface WalErrorDetails {
  readonly segmentId?: number;
  readonly offset?: number;
  readonly cause?: unknown;
}

/**
 * An error that a caller is expected to handle.
 *
 * @example
 * const second = WriteAheadLog.recover('my-log', LogVoid, options);
 * await second.catch((error: unknown) => {
 *   if (error instanceof WalError) console.log(error.code); // WAL_LOCKED
 * });
 */
export class WalError extends Error {
  /** Tells it from other errors where `instanceof` does not. */
  override readonly name = 'WalError';
  /** What happened. It stays the same when the message is put better. */
  readonly code: WalErrorCode;
  /** The segment concerned, where there is one. */
  readonly segmentId?: number;
  /** The byte offset in that segment's file, where there is one. */
  readonly offset?: number;

  constructor(code: WalErrorCode, message: string, details: WalErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = code;
    if (details.segmentId !== undefined) this.segmentId = details.segmentId;
    if (details.offset !== undefined) this.offset = details.offset;
  }
}

/** Whether `error` tells of bytes that are not what they were. */
export function isDamage(error: unknown): error is WalError {
  return error instanceof WalError && error.code === 'WAL_CORRUPT';
}

const CODE_BY_ERRNO: Readonly<Record<string, WalErrorCode>> = {
  ENOSPC: 'WAL_NO_SPACE',
  EDQUOT: 'WAL_NO_SPACE',
  EROFS: 'WAL_READ_ONLY',
};

/** What a thrown value says, whatever it is. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** `error` as a WalError: itself if it is one, else coded by its errno, with `error` as the cause. */
export function toWalError(error: unknown, doing: string, details: WalErrorDetails = {}): WalError {
  if (error instanceof WalError) return error;
  const errno = errnoOf(error) ?? '';
  return new WalError(CODE_BY_ERRNO[errno] ?? 'WAL_IO', `${doing}: ${messageOf(error)}`, { ...details, cause: error });
}

/** Whether `error` says that the disk, or what may be used of it, is full. */
export function isNoSpace(error: unknown): boolean {
  return toWalError(error, '').code === 'WAL_NO_SPACE';
}
