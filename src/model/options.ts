import type { FileManager } from '../files/file-manager.js';
import { NodeFileManager } from '../files/node-file-manager.js';
import { show } from '../base/bytes.js';
import type { AppendOptions, CommitOptions, EntryId, OnCommitted } from './entry.js';
import { isUuid } from '../format/identity-format.js';
import { MAX_ENTRY_ID, MAX_VERSION_INFO_LENGTH } from '../format/segment-format.js';

/**
 * How far recovery has come.
 *
 * @example
 * const onRecoveryProgress = ({ bytesRead, totalBytes }: RecoveryProgress) => {
 *   console.log(`${Math.round((100 * bytesRead) / totalBytes)} %`); // 100 %
 * };
 * await log.append('hello');
 * await log.shutdown();
 * const again = await WriteAheadLog.recover('my-log', LogVoid, { ...options, onRecoveryProgress });
 * await again.shutdown();
 */
export interface RecoveryProgress {
  /** Bytes read so far. */
  readonly bytesRead: number;
  /** Bytes to read in all, as far as is known. */
  readonly totalBytes: number;
  /** Entries handed to the LogManager so far. */
  readonly entries: number;
}

/**
 * When a commit has resolved. See `WalOptions.sync`.
 *
 * @example
 * const mode: SyncMode = 'interval';
 * await log.shutdown();
 * const lazy = await WriteAheadLog.recover('my-log', LogVoid, { ...options, sync: mode, syncIntervalMs: 20 });
 * await lazy.append('handed to the operating system');
 * await lazy.sync(); // and durable, without waiting for the 20 ms
 */
export type SyncMode = 'commit' | 'interval' | 'manual';

/**
 * How a log is stored and written. Every option has a default.
 *
 * @example
 * const small: WalOptions = { preallocateBytes: 1024 * 1024, bufferBytes: 64 * 1024, versionInfo: Buffer.from('v1') };
 * const mine = await WriteAheadLog.recover('mine', LogVoid, small);
 * await mine.shutdown();
 */
export interface WalOptions {
  /** The size in bytes of a segment file, allocated before it is used. 4 KiB to 1 TiB; default 32 MiB. */
  preallocateBytes?: number;
  /**
   * A segment that holds this many bytes is closed and checkpointed as soon as its successor is ready.
   * Less than `preallocateBytes`: what lies between takes the commits of that moment. Default: three quarters of it.
   */
  checkpointAfterBytes?: number;
  /** The size in bytes of one buffer for writing, and of the blocks recovery reads. 4 KiB to 64 MiB; default 1 MiB. */
  bufferBytes?: number;
  /** Bytes accepted but not yet durable; beyond it callers wait. At least `bufferBytes`; default 8 MiB. */
  maxPendingBytes?: number;
  /**
   * Flush on the calling thread: nothing else runs meanwhile, but a commit saves two hand-overs between
   * threads. For engines in a worker thread of their own, or synchronous anyway. Every commit is durable then,
   * whatever `sync` says. Ignored where the FileManager cannot. Default: false.
   */
  blockingFlush?: boolean;
  /**
   * When a commit has resolved. `commit`: when the entry is durable. `interval` and `manual`: when it has been handed,
   * in order, to the operating system; a crash of the process loses nothing then, one of the system loses the
   * latest entries. `interval` makes everything durable every `syncIntervalMs`, `manual` when `sync()` is called.
   * Single commits can ask for the other kind. Default: `commit`.
   */
  sync?: SyncMode;
  /** With `sync: 'interval'`, after how many milliseconds at most a commit is durable. 1 to 60,000; default 100. */
  syncIntervalMs?: number;
  /** Up to 255 bytes of your own, stored in the header of every segment written from now on. Default: none. */
  versionInfo?: Uint8Array;
  /** Refuse with `WAL_NOT_FOUND` to create a log where there is none. Default: false. */
  mustExist?: boolean;
  /** Refuse with `WAL_EXISTS` to open a log that is there already. Default: false. */
  mustBeNew?: boolean;
  /** Where the log is stored. Default: a NodeFileManager. */
  fileManager?: FileManager;
  /** Called now and then during recovery. */
  onRecoveryProgress?: (this: void, progress: RecoveryProgress) => void;
}

/**
 * How a log begins that is made new.
 *
 * @example
 * const mine = await WriteAheadLog.create('mine', LogVoid, { ...options, nextId: 1001 });
 * console.log((await mine.append('hello')).id); // 1001
 * await mine.shutdown();
 */
export interface CreateOptions extends WalOptions {
  /** The id of the first entry. Default: 1. */
  nextId?: EntryId;
  /** The identity of the log that this one continues, a UUID. Default: one of its own, when it is asked for. */
  identity?: string;
}

/** How a log begins if there is none. */
export interface Beginning {
  readonly nextId: EntryId;
  /** The identity that it takes over. */
  readonly identity: string | undefined;
}

/** How every log begins that is not made otherwise. */
export const FROM_THE_FIRST_ID: Beginning = { nextId: 1, identity: undefined };

export type ResolvedOptions = Required<WalOptions>;

const KIB = 1024;
const MIB = 1024 * KIB;

/**
 * `options` with their defaults. Throws a TypeError or RangeError that echoes the value for anything unusable, and for
 * options that are neither these nor in `others`.
 */
export function resolveOptions(options: WalOptions = {}, others: object = {}): ResolvedOptions {
  assertObject('options', options);
  const preallocateBytes = integer('preallocateBytes', options.preallocateBytes ?? 32 * MIB, 4 * KIB, MIB * MIB);
  const checkpointAfterBytes = integer(
    'checkpointAfterBytes', options.checkpointAfterBytes ?? Math.floor(preallocateBytes * 0.75), 1, MIB * MIB,
  );
  if (checkpointAfterBytes >= preallocateBytes) {
    throw new RangeError(
      `checkpointAfterBytes (${checkpointAfterBytes}) must be less than preallocateBytes (${preallocateBytes})`,
    );
  }
  const bufferBytes = integer('bufferBytes', options.bufferBytes ?? MIB, 4 * KIB, 64 * MIB);
  const defaultPendingBytes = Math.max(8 * MIB, bufferBytes);
  const maxPendingBytes = integer(
    'maxPendingBytes', options.maxPendingBytes ?? defaultPendingBytes, 1, 16 * KIB * MIB,
  );
  if (maxPendingBytes < bufferBytes) {
    throw new RangeError(`maxPendingBytes (${maxPendingBytes}) must be at least bufferBytes (${bufferBytes})`);
  }
  const resolved: ResolvedOptions = {
    preallocateBytes,
    checkpointAfterBytes,
    bufferBytes,
    maxPendingBytes,
    blockingFlush: flag('blockingFlush', options.blockingFlush ?? false),
    sync: syncMode(options.sync ?? 'commit'),
    syncIntervalMs: integer('syncIntervalMs', options.syncIntervalMs ?? 100, 1, 60_000),
    versionInfo: versionInfo(options.versionInfo ?? new Uint8Array()),
    mustExist: flag('mustExist', options.mustExist ?? false),
    mustBeNew: flag('mustBeNew', options.mustBeNew ?? false),
    fileManager: fileManager(options.fileManager ?? new NodeFileManager()),
    onRecoveryProgress: progressCallback(options.onRecoveryProgress ?? (() => undefined)),
  };
  if (resolved.mustExist && resolved.mustBeNew) throw new RangeError('mustExist and mustBeNew exclude each other');
  assertKnown(options, { ...resolved, ...others });
  return resolved;
}

/** `options` of a log that must be new, with their defaults, and how it begins. Throws as `resolveOptions` does. */
export function resolveCreateOptions(options: CreateOptions = {}): { options: ResolvedOptions; beginning: Beginning } {
  assertObject('options', options);
  const { nextId = 1, identity, ...others } = options;
  integer('nextId', nextId, 1, MAX_ENTRY_ID);
  if (identity !== undefined && typeof identity !== 'string') {
    throw new TypeError(`identity must be a string, not ${show(identity)}`);
  }
  const uuid = identity?.toLowerCase();
  if (uuid !== undefined && !isUuid(uuid)) throw new RangeError(`identity must be a UUID, not ${show(identity)}`);
  const resolved = resolveOptions({ ...others, mustBeNew: true });
  return { options: resolved, beginning: { nextId, identity: uuid } };
}

/** Throws a TypeError for anything but an object whose names are all among `known`. */
export function assertOptions(options: unknown, known: object): void {
  assertObject('options', options);
  assertKnown(options, known);
}

function assertObject(name: string, value: unknown): asserts value is object {
  if (typeof value !== 'object' || value === null) throw new TypeError(`${name} must be an object, not ${show(value)}`);
}

/** Rejects unknown options: a typo would otherwise be ignored silently. */
function assertKnown(options: object, known: object): void {
  for (const name in options) if (!(name in known)) throw new TypeError(`there is no option ${show(name)}`);
}

function integer(name: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, not ${show(value)}`);
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new RangeError(`${name} must be an integer from ${least} to ${most}, not ${show(value)}`);
  }
  return value;
}

function flag(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${name} must be a boolean, not ${show(value)}`);
  return value;
}

function syncMode(value: unknown): SyncMode {
  if (value === 'commit' || value === 'interval' || value === 'manual') return value;
  throw new RangeError(`sync must be 'commit', 'interval' or 'manual', not ${show(value)}`);
}

function versionInfo(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError(`versionInfo must be a Uint8Array, not ${show(value)}`);
  if (value.length > MAX_VERSION_INFO_LENGTH) {
    throw new RangeError(`versionInfo must have at most ${MAX_VERSION_INFO_LENGTH} bytes, not ${value.length}`);
  }
  return Uint8Array.from(value);
}

function fileManager(value: unknown): FileManager {
  const methods = ['createDirectory', 'list', 'open', 'rename', 'remove', 'syncDirectory', 'lock'];
  const candidate = value as Record<string, unknown> | null;
  if (typeof candidate !== 'object' || candidate === null) {
    throw new TypeError(`fileManager must be a FileManager, not ${show(value)}`);
  }
  for (const method of methods) {
    if (typeof candidate[method] !== 'function') throw new TypeError(`fileManager must have a method ${method}`);
  }
  return value as FileManager;
}

/** The FileManager in `options`, which have nothing else. Throws a TypeError for anything but such options. */
export function fileManagerOf(options: { readonly fileManager?: FileManager }): FileManager {
  assertOptions(options, { fileManager: undefined });
  return fileManager(options.fileManager ?? new NodeFileManager());
}

function progressCallback(value: unknown): NonNullable<WalOptions['onRecoveryProgress']> {
  if (typeof value !== 'function') throw new TypeError(`onRecoveryProgress must be a function, not ${show(value)}`);
  return value as NonNullable<WalOptions['onRecoveryProgress']>;
}

const COMMIT_OPTIONS: Required<AppendOptions> = { durable: true, onCommitted: () => undefined };

/** Whether a commit waits until its entry is durable. Throws a TypeError for anything but options. */
export function isDurable(options: CommitOptions | undefined, mode: SyncMode): boolean {
  if (options === undefined) return mode === 'commit';
  assertOptions(options, COMMIT_OPTIONS);
  return options.durable === undefined ? mode === 'commit' : flag('durable', options.durable);
}

/** What is to be called when a commit is done. `isDurable` has looked at the other options. */
export function onCommittedOf<Committed>(
  options: AppendOptions<Committed> | undefined,
): OnCommitted<Committed> | undefined {
  const onCommitted = options?.onCommitted;
  if (onCommitted === undefined || typeof onCommitted === 'function') return onCommitted;
  throw new TypeError(`onCommitted must be a function, not ${show(onCommitted)}`);
}

/** The signal in `options`, which may also have `others`. Throws a TypeError for anything but options or a signal. */
export function signalOf(options: { readonly signal?: AbortSignal }, others: object = {}): AbortSignal | undefined {
  assertOptions(options, { signal: undefined, ...others });
  const { signal } = options;
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw new TypeError(`signal must be an AbortSignal, not ${show(signal)}`);
}
