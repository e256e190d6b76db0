import type { LogPosition } from '../../src/model/log-position.js';

/** The log did something it promises not to do. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/**
 * What became of an entry as far as its writer knows: `begun` and not yet committed; `committing`, so a
 * crash may keep it or not; `ordered`, as the operating system has it, so that only a power loss may
 * take it; `kept`, as it was acknowledged or shown; `uncertain`, as its commit failed with the log;
 * `gone` for good.
 */
export type AttemptState = 'begun' | 'committing' | 'ordered' | 'kept' | 'uncertain' | 'gone';

/** One attempt to write an entry. */
export interface Attempt {
  /** Counts attempts in the order in which they were asked for, which is the order of their ids. */
  readonly ordinal: number;
  /** The ordinal of the first of its batch: of those with the same, all are recovered or none. */
  readonly batch: number;
  readonly chunks: readonly Uint8Array[];
  readonly state: AttemptState;
  /** Undefined while only the log knows it. */
  readonly id: number | undefined;
  /** Of its chunks, as far as they are known. */
  readonly positions: readonly LogPosition[];
  /** Handed over to the LogManager's storage, or abandoned by it: the log owes nothing any more. */
  readonly isReleased: boolean;
  /** Of those, abandoned by an opening and not handed over before. It is gone once that opening is complete. */
  readonly isAbandoned: boolean;
  /** Why it is gone, or how else its story ended. */
  readonly reason: string;
  /** How many attempts there were when it was known to be durable: those from there on come with a later flush. */
  readonly durableBefore: number | undefined;
  /** Whether the disk has a part of it although it was rolled back. */
  readonly isPartlyFlushed: boolean;
}

/** An entry as the log has shown it. */
export interface ShownEntry {
  readonly id: number;
  readonly chunks: readonly Uint8Array[];
  readonly positions: readonly LogPosition[];
  /** Whether it was shown as the last of its batch. */
  readonly endsBatch: boolean;
}

/** How a log is made that is not made by being opened. */
export interface Beginning {
  readonly nextId: number;
  readonly identity: string;
}

/** Ids that were passed over: what is begun from the attempt `before` on has `id` or a higher one. */
interface Skip {
  readonly id: number;
  readonly before: number;
}

/** A chunk that was written, and where. */
export interface KnownChunk {
  readonly entryId: number | undefined;
  /** The attempt that wrote its entry. */
  readonly ordinal: number;
  readonly position: LogPosition;
  readonly bytes: Uint8Array;
}

/** A cut that is under way: a crash may leave it done or not. */
interface Cut {
  readonly id: number;
  /** Attempts from this ordinal on come behind the cut. */
  readonly before: number;
}

const CUT_OFF = 'an earlier opening had cut it off';
const TRUNCATED = 'the log was truncated before it';

/**
 * What a log owes to those who use it: remembers what was begun, committed, acknowledged, shown,
 * rolled back and handed over, and compares it with what an opening or a checkpoint shows. After
 * every reopening the log must show every acknowledged entry not handed over yet, and of the others
 * a run without a gap behind them; byte for byte, ids growing, and nothing that is gone.
 *
 * An instance is never modified by its clones, so that one history can be continued in many ways.
 */
export class ReferenceModel {
  /** Called after every change. */
  onChange: (() => void) | undefined;
  readonly #attempts: Attempt[];
  /** The highest id acknowledged or shown up to the last opening: every id given out since lies above it. */
  #floor: number;
  #skips: readonly Skip[] = [];
  #beginning: Beginning | undefined;
  /** What the log has answered to be. */
  #identity: string | undefined;
  #cut: Cut | undefined;
  /** The first id that the hold keeps; undefined if there is none for certain. */
  #heldFrom: number | undefined;
  /** Whether entries were given up that are neither shown nor checkpointed any more. */
  #hasAbandoned = false;
  #cuts = 0;
  /** What was asked for before this ordinal is durable as soon as it is acknowledged: a sync came after it. */
  #syncedBefore = 0;
  #snapshot: ReferenceModel | undefined;

  constructor(attempts: readonly Attempt[] = [], floor = 0) {
    this.#attempts = [...attempts];
    this.#floor = floor;
  }

  /** A copy that goes its own way. */
  clone(): ReferenceModel {
    const clone = new ReferenceModel(this.#attempts, this.#floor);
    clone.#skips = this.#skips;
    clone.#beginning = this.#beginning;
    clone.#identity = this.#identity;
    clone.#cut = this.#cut;
    clone.#heldFrom = this.#heldFrom;
    clone.#hasAbandoned = this.#hasAbandoned;
    clone.#syncedBefore = this.#syncedBefore;
    return clone;
  }

  /** The model as it is now, the same object until something changes. Not to be changed. */
  snapshot(): ReferenceModel {
    return (this.#snapshot ??= this.clone());
  }

  get attempts(): readonly Attempt[] {
    return this.#attempts;
  }

  /** Somebody asks to write an entry, of a batch that begins with the attempt `batch`. Returns its ordinal. */
  begin(batch = this.#attempts.length): number {
    const ordinal = this.#attempts.length;
    this.#attempts.push({
      ordinal,
      batch,
      chunks: [],
      state: 'begun',
      id: undefined,
      positions: [],
      isReleased: false,
      isAbandoned: false,
      reason: 'it was never committed',
      durableBefore: undefined,
      isPartlyFlushed: false,
    });
    return ordinal;
  }

  /** The log has given the entry its id. */
  started(ordinal: number, id: number): void {
    const others = this.#attempts.filter((other) => other.id === id && other.ordinal !== ordinal);
    const isTaken = id <= this.#floor || others.some(({ state }) => state === 'kept');
    if (isTaken) throw new Violation(`id ${id} was given out again: it had been acknowledged or shown`);
    const skip = this.#skips.find((candidate) => ordinal >= candidate.before && id < candidate.id);
    if (skip !== undefined) throw new Violation(`id ${id} was given out, although those below ${skip.id} were skipped`);
    this.#change(ordinal, { id });
  }

  /** A chunk has been written; its position is final. */
  wrote(ordinal: number, bytes: Uint8Array, position?: LogPosition): void {
    const { chunks, positions } = this.#attempt(ordinal);
    this.#change(ordinal, {
      chunks: [...chunks, bytes],
      positions: position === undefined ? positions : [...positions, position],
    });
  }

  /** `commit` is being called, or `append`: from here on the entry can turn up. */
  committing(ordinal: number): void {
    this.#change(ordinal, { state: 'committing', reason: 'its commit was not acknowledged' });
  }

  /** The commit has resolved; `isDurable` if the entry was to be durable by then, and so all before it. */
  acknowledged(ordinal: number, id: number, positions?: readonly LogPosition[], isDurable = true): void {
    const attempt = this.#attempt(ordinal);
    if (attempt.id !== undefined && attempt.id !== id) {
      throw new Violation(`entry ${attempt.id} was acknowledged as ${id}`);
    }
    if (attempt.id === undefined && attempt.state !== 'kept') this.started(ordinal, id);
    const known = positions ?? attempt.positions;
    if (isDurable || ordinal < this.#syncedBefore) {
      this.#keep(ordinal, id, known, 'it was acknowledged');
      this.#change(ordinal, { durableBefore: attempt.durableBefore ?? this.#attempts.length });
      this.#orderedAreKept(ordinal);
    } else if (attempt.state === 'kept') {
      this.#change(ordinal, { positions: known });
    } else {
      this.#change(ordinal, { state: 'ordered', id, positions: known, reason: 'the operating system had it' });
    }
  }

  /** What was committed of the attempts below `before` is durable, acknowledged or not. */
  synced(before: number): void {
    this.#syncedBefore = Math.max(this.#syncedBefore, before);
    this.#orderedAreKept(before);
  }

  /** The log says that entries up to `id` are durable. */
  durableUpTo(durableId: number): void {
    for (const { ordinal, state, id } of this.#attempts) {
      if (state === 'ordered' && id !== undefined && id <= durableId) {
        this.#change(ordinal, { state: 'kept', reason: 'it was said to be durable' });
      }
    }
  }

  /** The power has gone: what only the operating system had may be lost, the last of it first. */
  powerLost(): void {
    for (const { ordinal, state } of this.#attempts) {
      if (state === 'ordered') this.#change(ordinal, { state: 'committing', reason: 'it was not durable' });
    }
  }

  /** How often the log was cut since this model began. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Whether a cut is under way, or failed with its log: a crash may show that it is done. */
  get isCutting(): boolean {
    return this.#cut !== undefined;
  }

  /** The log is to begin like this, whenever that has not been done yet. */
  beginsWith(beginning: Beginning): void {
    this.#beginning = beginning;
    this.skipped(beginning.nextId, 0);
    this.identified(beginning.identity);
  }

  get beginning(): Beginning | undefined {
    return this.#beginning;
  }

  /** The ids below `id` have been passed over, durably, for all that is begun from the attempt `before` on. */
  skipped(id: number, before: number): void {
    this.#skips = [...this.#skips, { id, before }];
    this.#changed();
  }

  /** The log has answered what its identity is. */
  identified(identity: string): void {
    const known = this.#identity ?? identity;
    if (identity !== known) throw new Violation(`the identity of the log is ${identity}, but it was ${known} before`);
    this.#identity = identity;
    this.#changed();
  }

  /** Whether the log must have an identity. */
  get isIdentified(): boolean {
    return this.#identity !== undefined;
  }

  /** The log is being cut behind `id`. */
  cutting(id: number): void {
    this.#cut = { id, before: this.#attempts.length };
    // What was passed over after it may be given out again.
    this.#skips = this.#skips.map((skip) => ({ ...skip, id: Math.min(skip.id, id + 1) }));
    this.#changed();
  }

  /** The cut is done: entries behind it must not come back, and their ids are free. */
  cut(): void {
    const cut = this.#cut;
    if (cut === undefined) return;
    // At once: a crash must not meet it half done. A log is cut only where all of it is durable.
    for (const [ordinal, attempt] of this.#attempts.entries()) {
      const { state } = attempt;
      if (isBehind(attempt, cut)) this.#attempts[ordinal] = { ...attempt, state: 'gone', reason: TRUNCATED };
      else if (state === 'ordered' && ordinal < cut.before) this.#attempts[ordinal] = { ...attempt, state: 'kept' };
    }
    this.#floor = Math.min(this.#floor, cut.id);
    this.#cut = undefined;
    this.#cuts++;
    this.#changed();
  }

  /** The cut was refused. */
  notCut(): void {
    this.#cut = undefined;
    this.#changed();
  }

  /** The log keeps the entries from `id` on, checkpointed or not; without an id nobody knows from where. */
  held(id: number | undefined): void {
    this.#heldFrom = id;
    this.#changed();
  }

  get heldFrom(): number | undefined {
    return this.#heldFrom;
  }

  /** The ids that are known to be there, durable or not, and not to be released, lowest first. */
  liveIds(): number[] {
    const live = this.#attempts.filter(({ state, isReleased }) => (state === 'kept' || state === 'ordered') && !isReleased);
    return live.map(({ id }) => id ?? 0).sort((a, b) => a - b);
  }

  /** The commit was rejected. `isCertain` if the log promises that the entry is not there. */
  rejected(ordinal: number, code: string, isCertain: boolean): void {
    if (this.#attempt(ordinal).state === 'kept') {
      throw new Violation(`a commit was rejected with ${code}, although its entry had been shown`);
    }
    this.#change(ordinal, { state: isCertain ? 'gone' : 'uncertain', reason: `its commit was rejected with ${code}` });
  }

  rolledBack(ordinal: number, isPartlyFlushed = false): void {
    this.#change(ordinal, { state: 'gone', reason: 'it was rolled back', isPartlyFlushed });
  }

  /** The process has ended: what was not being committed never can be. */
  processEnded(): void {
    for (const { ordinal, state } of this.#attempts) {
      if (state === 'begun') this.#change(ordinal, { state: 'gone' });
    }
  }

  /** An opening that is still under way shows an entry behind that of attempt `previous`. Returns the entry's attempt. */
  recovered(entry: ShownEntry, previous: number): number {
    const { ordinal } = this.#find(entry, previous, 'recovery');
    // A crash in the middle of a cut leaves open whether it was done, and the whole of an opening tells.
    if (!this.isCutting) this.#keep(ordinal, entry.id, entry.positions, 'recovery had shown it');
    return ordinal;
  }

  /**
   * An opening has shown these entries, and is complete: what it has not shown must not come back.
   * With `hasAbandoned`, the LogManager has given up the segments before the first entry shown.
   */
  opened(shown: readonly ShownEntry[], hasAbandoned = false): void {
    if (hasAbandoned) this.#abandonBefore(shown[0]);
    this.#settleCut(shown);
    this.#expectBatches(this.#compare(shown, Infinity, 'recovery'));
    for (const { ordinal, state, id, isReleased } of this.#attempts) {
      if (state === 'kept') this.#floor = Math.max(this.#floor, id ?? 0);
      else if (state !== 'gone' && !isReleased) this.#change(ordinal, { state: 'gone', reason: CUT_OFF });
    }
  }

  /** A checkpoint up to `lastId` has been given these entries. */
  checkpointing(lastId: number, shown: readonly ShownEntry[]): void {
    this.#compare(shown, lastId, 'a checkpoint');
    const last = shown.at(-1);
    if (last !== undefined && last.id !== lastId) {
      throw new Violation(`a checkpoint up to ${lastId} ended with entry ${last.id}`);
    }
  }

  /**
   * An iterator that began at `from` shows an entry behind that of attempt `previous`, handed out when the log had been
   * cut `cuts` times. Returns the entry's attempt.
   */
  iterated(entry: ShownEntry, from: number, previous: number, cuts = this.cuts): number {
    // Its chunks were read a while later.
    if (cuts < this.cuts && this.#attempts.some((attempt) => wasDropped(attempt, entry))) return previous;
    const attempt = this.#find(entry, previous, 'an iterator');
    const { ordinal, state } = attempt;
    this.#expectBatchEnd(attempt, entry, 'an iterator');
    if (ordinal <= previous) throw new Violation(`an iterator showed entry ${entry.id} out of order`);
    this.#expectNoGap(from, previous, ordinal);
    if (state !== 'kept') this.#keep(ordinal, entry.id, entry.positions, 'an iterator had shown it');
    return ordinal;
  }

  /** An iterator that began at `from` has come to the end behind the attempt `previous`, of those below `before`. */
  iteratedAll(from: number, previous: number, before: number): void {
    this.#expectNoGap(from, previous, before);
  }

  #expectNoGap(from: number, after: number, before: number): void {
    for (const attempt of this.#attempts.slice(after + 1, before)) {
      const { ordinal, id, state, isReleased } = attempt;
      if (state !== 'kept' || (id ?? 0) < from) continue;
      // The cut may be done by now, although nobody has been told.
      if (this.#cut !== undefined && isBehind(attempt, this.#cut)) continue;
      const isHeld = this.#heldFrom !== undefined && (id ?? 0) >= this.#heldFrom;
      // What is checkpointed may be gone before an iterator comes to it, but not from the middle.
      if (isReleased && (this.#hasAbandoned || (after < 0 && !isHeld))) continue;
      throw new Violation(`an iterator passed over entry ${id} (attempt ${ordinal})`);
    }
  }

  /** The entries from `firstId` to `lastId` are safe outside the log, or given up by its owner. */
  released(firstId: number, lastId: number): void {
    for (const { ordinal, id } of this.#attempts) {
      if (id !== undefined && id >= firstId && id <= lastId) this.#change(ordinal, { isReleased: true });
    }
  }

  /**
   * The opening under way abandons a segment, after all before it. Which entries it contains is not known: behind a
   * segment of format 0, ids may be below its name. Those of later segments are demanded.
   */
  abandoning(): void {
    for (const { ordinal, id, isReleased } of this.#attempts) {
      if (id !== undefined && !isReleased) this.#change(ordinal, { isReleased: true, isAbandoned: true });
    }
  }

  /** The entries from `firstId` on are wanted after all: only the segments before them were abandoned. */
  demanded(firstId: number): void {
    for (const { ordinal, id } of this.#attempts) {
      if (id !== undefined && id >= firstId) this.#change(ordinal, { isReleased: false, isAbandoned: false });
    }
  }

  /** Every chunk of an entry that is kept, wherever its position is known. */
  knownChunks(): KnownChunk[] {
    return this.#chunksOf((state) => state === 'kept');
  }

  /**
   * Every chunk of an entry that was begun and need not be durable yet, wherever its position is known. Not of those that
   * are released: others may stand in their places by now.
   */
  pendingChunks(): KnownChunk[] {
    const isPending = (state: AttemptState): boolean => state === 'begun' || state === 'committing' || state === 'ordered';
    return this.#chunksOf(isPending).filter(({ ordinal }) => !this.#attempt(ordinal).isReleased);
  }

  /** A chunk has been shown, so that its entry must be kept. */
  shown({ ordinal, position }: KnownChunk, reason: string): void {
    const { state, id, positions } = this.#attempt(ordinal);
    if (state === 'begun' || id === undefined) {
      throw new Violation(`${position.offset} of segment ${position.segmentId} was shown, and not committed`);
    }
    this.#keep(ordinal, id, positions, reason);
  }

  #chunksOf(isWanted: (state: AttemptState) => boolean): KnownChunk[] {
    return this.#attempts.flatMap(({ ordinal, state, id, chunks, positions }) => {
      if (!isWanted(state)) return [];
      return positions.map((position, i) => ({ entryId: id, ordinal, position, bytes: chunks[i] }));
    });
  }

  /**
   * The chunks of entries that were durable before another began that is there, too: what that one was flushed with says
   * so, and damage in such a chunk cannot pass for the end of the log.
   */
  provenChunks(): KnownChunk[] {
    const last = this.#attempts.findLast(({ state, isReleased }) => state === 'kept' && !isReleased);
    return this.knownChunks().filter(({ ordinal, bytes }) => {
      const { durableBefore, isReleased } = this.#attempt(ordinal);
      return bytes.length > 0 && !isReleased && durableBefore !== undefined && durableBefore <= (last?.ordinal ?? -1);
    });
  }

  /** Whether the log may answer, from now on, that it has the chunk no more. */
  mayBeGone({ ordinal }: KnownChunk): boolean {
    return this.#attempt(ordinal).isReleased;
  }

  /** What stands before `first` is gone for good, but for what is held although it had been handed over before. */
  #abandonBefore(first: ShownEntry | undefined): void {
    this.#hasAbandoned = true;
    const firstOrdinal = first === undefined ? Infinity : this.#find(first, -1, 'recovery').ordinal;
    for (const { ordinal, state, id, isAbandoned } of this.#attempts) {
      if (ordinal >= firstOrdinal || state === 'gone') continue;
      if (isAbandoned) {
        // One that was never acknowledged may have been lost before, and its id with it.
        if (state === 'kept') this.#floor = Math.max(this.#floor, id ?? 0);
        this.#change(ordinal, { state: 'gone', reason: 'it had been abandoned' });
      } else {
        this.#change(ordinal, { isReleased: true, state: state === 'kept' ? 'kept' : 'uncertain' });
      }
    }
  }

  /** A cut that a crash has met is done if anything is missing that it was to drop, and then all of that is. */
  #settleCut(shown: readonly ShownEntry[]): void {
    const cut = this.#cut;
    if (cut === undefined) return;
    const ids = new Set(shown.map(({ id }) => id));
    const isMissing = ({ id, state, isReleased }: Attempt): boolean =>
      (state === 'kept' || state === 'ordered') && !isReleased && !ids.has(id ?? 0);
    const behind = this.#attempts.filter((attempt) => isBehind(attempt, cut));
    // Only a cut divides a batch, durable or not.
    const present = this.#attempts.filter(({ state, id }) => state !== 'gone' && id !== undefined && ids.has(id));
    const batches = new Set(present.map(({ batch }) => batch));
    const isDivided = ({ batch, id }: Attempt): boolean => batches.has(batch) && id !== undefined && !ids.has(id);
    if (behind.some((attempt) => isMissing(attempt) || isDivided(attempt))) return this.cut();
    const wereThere = behind.filter(({ state }) => state === 'kept' || state === 'ordered');
    // Of entries that need not be there nothing tells whether they were dropped: their ids may be given anew.
    if (wereThere.every(({ isReleased }) => isReleased)) {
      this.#floor = Math.min(this.#floor, cut.id);
      for (const { ordinal } of wereThere) this.#change(ordinal, { state: 'uncertain' });
    }
    this.notCut();
  }

  #expectBatches(matched: ReadonlySet<number>): void {
    const shown = new Set([...matched].map((ordinal) => this.#attempt(ordinal).batch));
    for (const { ordinal, batch, state, isReleased } of this.#attempts) {
      if (matched.has(ordinal) || !shown.has(batch) || state === 'gone' || isReleased) continue;
      throw new Violation(`recovery showed a part of the batch that began with attempt ${batch}, but not attempt ${ordinal}`);
    }
  }

  /**
   * Checks whether the entry was shown as the last of its batch. Only where it is certain which attempt it is, and where
   * nothing of the batch was dropped.
   */
  #expectBatchEnd({ ordinal, batch, durableBefore }: Attempt, { id, endsBatch }: ShownEntry, by: string): void {
    if (durableBefore === undefined || this.isCutting) return;
    const later = this.#attempts.filter((other) => other.batch === batch && other.ordinal > ordinal);
    if (later.some(({ state }) => state === 'gone') || endsBatch === (later.length === 0)) return;
    throw new Violation(`${by} showed entry ${id} as ${endsBatch ? '' : 'not '}the last of its batch`);
  }

  /** Checks entries shown, which are to be all there are up to `lastId`, and keeps them from now on. */
  #compare(shown: readonly ShownEntry[], lastId: number, by: string): ReadonlySet<number> {
    let previousId = 0;
    let previousOrdinal = -1;
    const matched = new Set<number>();
    for (const entry of shown) {
      if (entry.id <= previousId) throw new Violation(`${by} showed entry ${entry.id} behind entry ${previousId}`);
      const attempt = this.#find(entry, previousOrdinal, by);
      if (attempt.ordinal <= previousOrdinal) throw new Violation(`${by} showed entry ${entry.id} out of order`);
      this.#expectBatchEnd(attempt, entry, by);
      previousId = entry.id;
      previousOrdinal = attempt.ordinal;
      matched.add(attempt.ordinal);
      const positions = entry.positions.length > 0 ? entry.positions : attempt.positions;
      this.#keep(attempt.ordinal, entry.id, positions, `${by} had shown it`);
    }
    this.#expectNoneMissing(matched, previousOrdinal, lastId, by);
    return matched;
  }

  #expectNoneMissing(matched: ReadonlySet<number>, lastOrdinal: number, lastId: number, by: string): void {
    for (const { ordinal, id, state, isReleased, reason } of this.#attempts) {
      if (matched.has(ordinal) || isReleased) continue;
      if ((state === 'kept' || state === 'ordered') && (id ?? 0) <= lastId) {
        throw new Violation(`${by} did not show entry ${id}, although ${reason}`);
      }
      if (state === 'committing' && ordinal < lastOrdinal) {
        throw new Violation(`${by} did not show entry ${id ?? '?'} (attempt ${ordinal}), but one committed after it`);
      }
    }
  }

  /** The attempt that wrote the entry. */
  #find(entry: ShownEntry, after: number, by: string): Attempt {
    const withId = this.#attempts.filter(({ id }) => id === entry.id);
    const found =
      withId.findLast(({ state }) => state === 'kept' || state === 'ordered') ??
      // The id of an entry that was never acknowledged can be given again: then the bytes tell which it is.
      withId.findLast((attempt) => attempt.state !== 'gone' && haveEqualChunks(attempt, entry)) ??
      this.#attempts.find((attempt) => {
        const isUnknown = attempt.id === undefined && (attempt.state === 'committing' || attempt.state === 'uncertain');
        return isUnknown && attempt.ordinal > after && haveEqualChunks(attempt, entry);
      }) ??
      withId.findLast(({ state }) => state !== 'gone') ??
      withId.at(-1);
    const wrong =
      found === undefined ? 'which nobody committed'
      : found.state === 'begun' || found.state === 'gone' ? `but ${found.reason}`
      : haveEqualChunks(found, entry) ? undefined
      : `but it was written as ${describe(found)}`;
    if (found !== undefined && wrong === undefined) return found;
    throw new Violation(`${by} showed entry ${entry.id}, ${describe(entry)}, ${wrong}`);
  }

  #orderedAreKept(before: number): void {
    for (const { ordinal, state } of this.#attempts) {
      if (state === 'ordered' && ordinal < before) this.#change(ordinal, { state: 'kept', reason: 'it was synced' });
    }
  }

  #keep(ordinal: number, id: number, positions: readonly LogPosition[], reason: string): void {
    this.#change(ordinal, { state: 'kept', id, positions, reason });
  }

  #attempt(ordinal: number): Attempt {
    return this.#attempts[ordinal];
  }

  #change(ordinal: number, change: Partial<Attempt>): void {
    this.#attempts[ordinal] = { ...this.#attempt(ordinal), ...change };
    this.#changed();
  }

  #changed(): void {
    this.#snapshot = undefined;
    this.onChange?.();
  }
}

/** Whether a cut drops the entry. The ids of those on their way are above all others. */
function wasDropped(attempt: Attempt, entry: ShownEntry): boolean {
  return attempt.reason === TRUNCATED && attempt.id === entry.id && haveEqualChunks(attempt, entry);
}

function isBehind({ ordinal, id, state }: Attempt, cut: Cut): boolean {
  if (ordinal >= cut.before || state === 'gone') return false;
  return id === undefined ? state === 'committing' : id > cut.id;
}

interface HasChunks {
  readonly chunks: readonly Uint8Array[];
}

function haveEqualChunks(a: HasChunks, b: HasChunks): boolean {
  if (a.chunks.length !== b.chunks.length) return false;
  return a.chunks.every((chunk, i) => Buffer.compare(chunk, b.chunks[i]) === 0);
}

function describe({ chunks }: HasChunks): string {
  const shown = chunks.slice(0, 4).map((chunk) => {
    const start = Buffer.from(chunk.subarray(0, 8)).toString('hex');
    return `${chunk.length} B ${start}${chunk.length > 8 ? '…' : ''}`;
  });
  return `[${shown.join(', ')}${chunks.length > 4 ? ', …' : ''}]`;
}
