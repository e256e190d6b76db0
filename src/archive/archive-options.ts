import { show } from '../base/bytes.js';

/**
 * Where an archive is, and how much it may lag behind, hold and keep.
 *
 * @example
 * const options: ArchiveOptions = { prefix: 'orders', everyMs: 250, compress: 'gzip', keep: { snapshots: 3 } };
 * console.log(options.prefix); // orders
 */
export interface ArchiveOptions {
  /** What the keys of all its objects begin with, before a `/`. One archive has it for itself. */
  readonly prefix: string;
  /**
   * After how many milliseconds at most an object with the entries since the one before is sent. More of them in one
   * object cost fewer requests, and more entries are lost with the machine. 0: as soon as the one before is stored.
   * Default: 1000.
   */
  readonly everyMs?: number;
  /**
   * How many bytes one object holds, before compression; those of a batch stay together, in more than one object if
   * need be. Shipping takes about six times as much memory. 4 KiB to 8 MiB; default 4 MiB.
   */
  readonly maxBytes?: number;
  /** After how many milliseconds a request that was not answered is sent again. Default: 30,000. */
  readonly timeoutMs?: number;
  /** Whether objects are compressed. Default: they are not. */
  readonly compress?: 'gzip';
  /**
   * How many bytes of checkpointed segments the log keeps for the archive, at most. If what is not archived yet exceeds
   * that, the archive has a gap: it ends with `ARCHIVE_GAP`. Default: 1 GiB.
   */
  readonly holdBytes?: number;
  /**
   * What is kept when a snapshot has been stored: enough to restore every state of the last `ms` milliseconds, and the
   * newest `snapshots`, with all entries since. Default: everything.
   */
  readonly keep?: { readonly ms?: number; readonly snapshots?: number };
}

export interface ResolvedArchiveOptions {
  readonly prefix: string;
  readonly everyMs: number;
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly compress: 'gzip' | undefined;
  readonly holdBytes: number;
  readonly keep: { readonly ms: number; readonly snapshots: number };
}

const KIB = 1024;
const MIB = 1024 * KIB;
const LONGEST_MS = 2 ** 31 - 1;
const MAX_PREFIX_LENGTH = 200;
const NAMES = ['prefix', 'everyMs', 'maxBytes', 'timeoutMs', 'compress', 'holdBytes', 'keep'];

/** `options` with their defaults. Throws a TypeError or RangeError that echoes the value for anything unusable. */
export function resolveArchiveOptions(options: ArchiveOptions): ResolvedArchiveOptions {
  assertKnown('options', options, NAMES);
  const { prefix, everyMs = 1000, maxBytes = 4 * MIB, timeoutMs = 30_000, compress, holdBytes = KIB * MIB } = options;
  assertPrefix(prefix);
  if (compress !== undefined && compress !== 'gzip') {
    throw new RangeError(`compress must be 'gzip', not ${show(compress)}`);
  }
  const { keep = { ms: Infinity } } = options;
  assertKnown('keep', keep, ['ms', 'snapshots']);
  const { ms = 0, snapshots = 1 } = keep;
  return {
    prefix,
    everyMs: integer('everyMs', everyMs, 0, LONGEST_MS),
    maxBytes: integer('maxBytes', maxBytes, 4 * KIB, 8 * MIB),
    timeoutMs: integer('timeoutMs', timeoutMs, 1, LONGEST_MS),
    compress,
    holdBytes: integer('holdBytes', holdBytes, 1),
    keep: { ms: ms === Infinity ? ms : integer('keep.ms', ms, 0), snapshots: integer('keep.snapshots', snapshots, 1) },
  };
}

/** Throws a TypeError or RangeError for what cannot be an archive's prefix. */
export function assertPrefix(prefix: unknown): asserts prefix is string {
  if (typeof prefix !== 'string') throw new TypeError(`prefix must be a string, not ${show(prefix)}`);
  if (/^[!-~]+$/.test(prefix) && !/^\/|\/$|\/\//.test(prefix) && prefix.length <= MAX_PREFIX_LENGTH) return;
  const rule = `1 to ${MAX_PREFIX_LENGTH} visible ASCII characters, with single slashes only inside`;
  throw new RangeError(`prefix must have ${rule}, not ${show(prefix)}`);
}

/** Throws a TypeError for anything but an object whose names are all among `known`. */
function assertKnown(what: string, options: unknown, known: readonly string[]): asserts options is object {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`${what} must be an object, not ${show(options)}`);
  }
  for (const name in options) if (!known.includes(name)) throw new TypeError(`there is no option ${show(name)}`);
}

function integer(name: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, not ${show(value)}`);
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name} must be an integer from ${least} to ${most}, not ${value}`);
}
