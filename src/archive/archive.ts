import { EventEmitter } from 'node:events';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { assertInternal } from '../base/assert.js';
import { show } from '../base/bytes.js';
import { systemEnvironment, type Environment } from '../base/environment.js';
import { keepAliveUntil } from '../base/keep-alive.js';
import { Waiters } from '../base/waiters.js';
import { WalError, WriteAheadLog } from '../index.js';
import type { EntryId, WalEvents } from '../index.js';
import type { ArchiveEvents } from './archive-events.js';
import { resolveArchiveOptions, type ArchiveOptions, type ResolvedArchiveOptions } from './archive-options.js';
import { bytesAfter, LagClock, type ArchiveStats } from './archive-stats.js';
import { ArchiveError } from './errors.js';
import { truncatedAfter } from './following.js';
import { HoldKeeper } from './hold-keeper.js';
import type { ObjectStore } from './object-store.js';
import { PartKeys } from './part-writer.js';
import { probe } from './probe.js';
import type { Shipment } from './shipment.js';
import { Shipper } from './shipper.js';
import type { RequestFailure, SlotStore } from './slot-store.js';
import { uploadSnapshot } from './snapshot-upload.js';
import { Upkeep } from './upkeep.js';
import { takeOver, type Takeover } from './taking-over.js';

/** What an archive takes from outside besides the log and the store. */
export interface ArchiveEnvironment extends Environment {
  /** Milliseconds since 1970. */
  date(): number;
}

const SYSTEM: ArchiveEnvironment = { ...systemEnvironment, date: () => Date.now() };

/** How often a request is sent while the archive is opened. */
const OPENING_ATTEMPTS = 5;

/** The requests of an archive, as they are made at the moment. */
type Requests = { -readonly [Name in keyof SlotStore]: SlotStore[Name] };

/** What happened since the archive was opened. */
interface Figures {
  objects: number;
  /** How many requests the store has answered. */
  answers: number;
  readonly uploadLatency: RecordableHistogram;
  lastError: unknown;
}

/** What an archive is made of. */
interface ArchiveParts extends Takeover {
  readonly log: WriteAheadLog;
  readonly at: Requests;
  readonly ending: AbortController;
  readonly options: ResolvedArchiveOptions;
  readonly environment: ArchiveEnvironment;
  readonly keys: PartKeys;
}

/**
 * Ships the entries of a log to an object store, in which they survive the machine. While it is open no other archive
 * of this prefix confirms anything; one that is opened later takes it over, and fences this one.
 *
 * @example
 * const store = directoryStore('another-disk', options.fileManager);
 * const archive = await Archive.open(log, store, { prefix: 'orders', everyMs: 0 });
 * const { id } = await log.append('hello');
 * await archive.archived(id); // now it survives the machine
 * console.log(archive.epoch, archive.archivedId, archive.stats().lagEntries); // 1 1 0
 * async function* state() { yield Buffer.from('what the entries up to there have led to'); }
 * await archive.snapshot(id, state());
 * await archive.close();
 */
export class Archive extends EventEmitter<ArchiveEvents> implements AsyncDisposable {
  readonly #parts: ArchiveParts;
  readonly #shipper: Shipper;
  readonly #shipping: Promise<void>;
  readonly #holdKeeper: HoldKeeper;
  readonly #upkeep: Upkeep;
  readonly #waiters = new Waiters<EntryId>();
  readonly #lag = new LagClock();
  readonly #figures: Figures = { objects: 0, answers: 0, uploadLatency: createHistogram(), lastError: undefined };
  #archivedId: EntryId;
  /** What the last entry is, once the log is closed, and why a later one will not come. */
  #logEnd: { readonly lastId: EntryId; readonly error: Error } | undefined;
  /** How many truncations of the log have been heeded, and the last archived entry that they have left in the log. */
  readonly #truncated: { heeded: number; commonId: number };
  /** Why nothing more is archived. */
  #end: Error | undefined;
  #closing: Promise<void> | undefined;

  private constructor(parts: ArchiveParts) {
    super();
    assertInternal(typeof parts === 'object' && 'slots' in parts, 'Archive', 'Archive.open()');
    this.#parts = parts;
    const { log, slots, at, keys, options, environment, hold, following } = parts;
    this.#archivedId = slots.lastId;
    at.onAnswer = () => this.#figures.answers++;
    this.#truncated = { heeded: following.truncations, commonId: Infinity };
    at.onFailure = (failure) => this.#requestFailed(failure);
    delete at.attempts;
    this.#holdKeeper = new HoldKeeper(log, hold, environment);
    this.#upkeep = new Upkeep({ at, slots, keys, options, date: () => environment.date() });
    const store = async (shipment: Shipment): Promise<void> => {
      try {
        await this.#store(shipment);
      } catch (error) {
        // The shipper is waiting for entries: it would notice with the next one.
        this.#fail(error as Error, true);
        throw error;
      }
    };
    const nextKey = (): string => keys.next('runs');
    const onLogEnd = (error: unknown): void => this.#logEnded(error as Error | undefined);
    const shipping = { ...options, log, following, at, environment, nextKey, store, onLogEnd };
    this.#shipper = new Shipper(shipping, this.#archivedId);
    log.on('holdBroken', this.#onHoldBroken);
    this.#shipping = this.#shipper.run().then(
      () => this.#fail(shutDownError(), false),
      (error: unknown) => this.#fail(error as Error, true),
    );
  }

  /**
   * Takes over the archive at `options.prefix`, or begins it with the oldest entry that the log still has, and ships
   * the log's durable entries from there on. Nothing is taken over if it rejects, except after a lost connection.
   *
   * Rejects with `ARCHIVE_UNSAFE_STORE`; with `ARCHIVE_GAP` if the log no longer has the entry that the archive needs
   * next, with `ARCHIVE_AHEAD` if the archive has entries that the log has not, and with `ARCHIVE_DIVERGED` if it has
   * others; with the store's error if it does not answer after some attempts; or as `log.hold` does. A TypeError or
   * RangeError for bad arguments.
   */
  static open(log: WriteAheadLog, store: ObjectStore, options: ArchiveOptions): Promise<Archive> {
    return Archive.openWith(SYSTEM, log, store, options);
  }

  /** @internal `open` with the clock and the randomness of `environment`. */
  static async openWith(
    environment: ArchiveEnvironment, log: WriteAheadLog, store: ObjectStore, options: ArchiveOptions,
  ): Promise<Archive> {
    if (!(log instanceof WriteAheadLog)) throw new TypeError(`log must be a WriteAheadLog, not ${show(log)}`);
    assertStore(store);
    const resolved = resolveArchiveOptions(options);
    const { prefix, timeoutMs, holdBytes } = resolved;
    const ending = new AbortController();
    const { signal } = ending;
    const at: Requests = { store, prefix, timeoutMs, timers: environment, signal, attempts: OPENING_ATTEMPTS };
    const writer = randomName(environment);
    const open = async (): Promise<Archive> => {
      const logId = await log.identity();
      await probe(at, writer);
      const taken = await takeOver(log, at, { logId, writer, now: () => environment.date() }, holdBytes);
      const keys = new PartKeys(taken.slots.epoch, writer);
      return new Archive({ ...taken, log, at, ending, options: resolved, environment, keys });
    };
    return keepAliveUntil(open());
  }

  /** How often the archive has been taken over, this time included. */
  get epoch(): number {
    return this.#parts.slots.epoch;
  }

  /** The last entry that is in the archive. */
  get archivedId(): EntryId {
    return this.#archivedId;
  }

  /**
   * Resolves when the entry `id`, and all before it, are in the archive: whatever happens to this machine then, every
   * restore has them. `id` may belong to an entry that does not exist yet. It should be one that the log has answered:
   * what lies before the first entry of the archive counts as archived, and an id that was skipped when a later entry
   * is.
   *
   * Rejects with `ARCHIVE_FENCED` if another writer has taken the archive over before; with `ARCHIVE_AHEAD` if the log
   * has been truncated after a lower id than the archive's last: its new entries cannot be archived; with `ARCHIVE_GAP`
   * or `ARCHIVE_CLOSED`, with the log's error if it has failed or been shut down, or with the signal's reason.
   */
  async archived(id: EntryId, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertId('id', id);
    options.signal?.throwIfAborted();
    this.#heedTruncations();
    if (id <= this.#safeId) return;
    const end = this.#end ?? (this.#logEnd !== undefined && id > this.#logEnd.lastId ? this.#logEnd.error : undefined);
    if (end !== undefined) throw end;
    await this.#waiters.wait(id, options.signal);
  }

  /**
   * Stores the state that your own storage had when it had applied all entries up to `lastId`. A restore can begin with
   * it; what `keep` does not ask for any more is deleted. Waits until those entries are archived. `state` is read once,
   * and need not fit into memory.
   *
   * Rejects as `archived` does, with what `state` throws, or with a RangeError if there is a later snapshot or no entry
   * `lastId`. Nothing has changed then.
   */
  async snapshot(lastId: EntryId, state: AsyncIterable<Uint8Array>): Promise<void> {
    const { log, at, keys, options, environment } = this.#parts;
    assertId('lastId', lastId);
    if (lastId > log.durableId) throw new RangeError(`lastId is ${lastId}, but the log ends with ${log.durableId}`);
    if (this.#end !== undefined) throw this.#end;
    const last = await this.#upkeep.lastSnapshot();
    if (last !== undefined && last.lastId > lastId) {
      throw new RangeError(`lastId is ${lastId}, but there is a snapshot of ${last.lastId}`);
    }
    const nextKey = (): string => keys.next('snapshots');
    const { maxBytes, compress } = options;
    const plan = { at, nextKey, maxBytes, compress, date: () => environment.date() };
    const snapshot = await uploadSnapshot(plan, lastId, state);
    await this.archived(lastId);
    await this.#upkeep.step(snapshot).catch((error: unknown) => {
      this.#upkeepFailed(error as Error);
      throw error;
    });
  }

  /** Where the archive stands now. */
  stats(): ArchiveStats {
    const { log, slots, environment } = this.#parts;
    const { durableId } = log;
    this.#lag.mark(durableId, environment.now());
    const lagEntries = Math.max(0, durableId - this.#archivedId);
    return {
      epoch: slots.epoch,
      archivedId: this.#archivedId,
      lagMs: lagEntries === 0 ? 0 : this.#lag.ms(environment.now()),
      lagEntries,
      lagBytes: lagEntries === 0 ? 0 : bytesAfter(this.#archivedId, log.stats().segments, durableId),
      objects: this.#figures.objects,
      uploadLatency: this.#figures.uploadLatency,
      lastError: this.#figures.lastError,
    };
  }

  /**
   * Ships what is durable now, and ends. Gives up when the store has not answered for `timeoutMs`: the next
   * opening continues there. The log stays open, and keeps for the archive what it needs. Never rejects; idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= keepAliveUntil(this.#close());
    return this.#closing;
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { environment, options, ending, log } = this.#parts;
    this.#shipper.finish();
    let isEnded = false;
    let answers = -1;
    const watch = (): void => {
      if (isEnded) return;
      if (answers === this.#figures.answers) {
        ending.abort(closedError());
        this.#shipper.stop();
      }
      answers = this.#figures.answers;
      environment.callAfter(options.timeoutMs, watch);
    };
    watch();
    await this.#shipping;
    isEnded = true;
    this.#finish(closedError());
    this.#heedTruncations();
    await this.#holdKeeper.close(this.#safeId);
    log.off('holdBroken', this.#onHoldBroken);
    ending.abort(closedError());
  }

  async #store(shipment: Shipment): Promise<void> {
    const { slots, log, environment } = this.#parts;
    this.#lag.mark(shipment.lastId, shipment.takenAt);
    const entries = await shipment.finish();
    this.#lag.mark(log.durableId, environment.now());
    const started = environment.now();
    if (truncatedAfter(log, shipment.truncations) < shipment.lastId) throw this.#aheadError(shipment.lastId);
    await slots.append(entries);
    this.#confirm(shipment);
    this.#figures.lastError = undefined;
    this.#figures.objects++;
    this.#figures.uploadLatency.record(Math.max(1, Math.round((environment.now() - started) * 1e6)));
    this.#lag.reach(this.#archivedId);
    this.#waiters.resolve((id) => id <= this.#safeId);
    this.#holdKeeper.advance(this.#safeId);
    this.#upkeep.mergeIfDue()?.catch((error: unknown) => this.#upkeepFailed(error as Error));
    const bytes = entries.body.length + (entries.parts ?? []).reduce((sum, { length }) => sum + length, 0);
    this.#report('archived', { lastId: this.#archivedId, entries: shipment.entries, bytes });
  }

  /** What the log has is still shipped, however long the store takes. Nobody must wait for what it has not. */
  #logEnded(cause: Error | undefined): void {
    const error = cause === undefined ? shutDownError() : this.#endOf(cause);
    const { durableId: lastId } = this.#parts.log;
    this.#logEnd = { lastId, error };
    this.#waiters.reject(error, (id) => id > lastId);
  }

  /** The last entry that is in the archive as it is in the log. */
  get #safeId(): EntryId {
    return Math.min(this.#archivedId, this.#truncated.commonId);
  }

  /** `shipment` is in the archive. The log may have been truncated on the way. */
  #confirm({ lastId, truncations }: Shipment): void {
    this.#heedTruncations();
    this.#archivedId = lastId;
    this.#truncatedAfter(truncatedAfter(this.#parts.log, truncations));
  }

  #heedTruncations(): void {
    const { log } = this.#parts;
    const { heeded } = this.#truncated;
    this.#truncated.heeded = log.truncations.length;
    this.#truncatedAfter(truncatedAfter(log, heeded));
  }

  /** The log has no entries after `id` any more, or others. */
  #truncatedAfter(id: number): void {
    if (id >= this.#archivedId) return;
    this.#truncated.commonId = Math.min(this.#truncated.commonId, id);
    this.#fail(this.#aheadError(this.#archivedId), true);
  }

  /** Shipping goes on without upkeep, unless the archive is not this one's any more. */
  #upkeepFailed(error: Error): void {
    if (error instanceof ArchiveError && error.code === 'ARCHIVE_FENCED') this.#fail(error, true);
    else if (error !== this.#parts.at.signal.reason) this.#figures.lastError = error;
  }

  /** The shipper has ended. */
  #fail(cause: Error, isFailure: boolean): void {
    if (this.#closing !== undefined && !isFailure) return;
    if (this.#end !== undefined) return;
    const error = this.#endOf(cause);
    this.#finish(error);
    if (error instanceof ArchiveError && error.code === 'ARCHIVE_FENCED') {
      const { lastId = this.#archivedId } = error;
      this.#report('fenced', { from: lastId + 1, to: this.#parts.log.durableId, error });
    } else if (isFailure && error !== this.#parts.at.signal.reason) this.#report('failed', error);
  }

  #finish(error: Error): void {
    this.#end ??= error;
    this.#shipper.stop();
    this.#waiters.reject(this.#end);
  }

  /** What the end of the shipper means. */
  #endOf(cause: Error): Error {
    if (!(cause instanceof WalError) || cause.code !== 'WAL_POSITION_GONE') return cause;
    const lastId = this.#archivedId;
    const { lastId: taken, truncations } = this.#shipper;
    if (truncatedAfter(this.#parts.log, truncations) <= taken) return this.#aheadError(taken, cause);
    const message = `the archive ends with entry ${lastId}, and the log no longer has all after it`;
    return new ArchiveError('ARCHIVE_GAP', message, { lastId, cause });
  }

  #aheadError(id: EntryId, cause?: Error): ArchiveError {
    const message = `the log has been truncated below entry ${id}, which may be in the archive`;
    return new ArchiveError('ARCHIVE_AHEAD', message, { lastId: this.#archivedId, ...cause && { cause } });
  }

  #requestFailed(failure: RequestFailure): void {
    this.#figures.lastError = failure.error;
    this.#report('requestFailed', failure);
  }

  readonly #onHoldBroken = ({ name, from, retainedBytes }: WalEvents['holdBroken'][0]): void => {
    if (name === this.#parts.hold.name) this.#report('holdBroken', { from, retainedBytes });
  };

  /** Emits from a microtask of its own: a listener that throws must not interrupt the archive. */
  #report<Name extends keyof ArchiveEvents>(name: Name, ...details: ArchiveEvents[Name]): void {
    queueMicrotask(() => (this as EventEmitter).emit(name, ...details));
  }
}

function shutDownError(): WalError {
  return new WalError('WAL_CLOSED', 'the log has been shut down');
}

function closedError(): ArchiveError {
  return new ArchiveError('ARCHIVE_CLOSED', 'the archive has been closed');
}

function assertId(name: string, id: unknown): void {
  if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return;
  throw new RangeError(`${name} must be the id of an entry, not ${show(id)}`);
}

function assertStore(store: unknown): void {
  const candidate = store as Record<string, unknown> | null;
  if (typeof candidate !== 'object' || candidate === null) {
    throw new TypeError(`store must be an ObjectStore, not ${show(store)}`);
  }
  for (const method of ['create', 'get', 'list', 'delete']) {
    if (typeof candidate[method] !== 'function') throw new TypeError(`store must have a method ${method}`);
  }
}

/** A name that no other opening has. */
function randomName(environment: Environment): string {
  const bytes = Buffer.alloc(8);
  environment.randomFill(bytes);
  return bytes.toString('hex');
}
