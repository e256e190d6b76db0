import type { LogPosition } from '../../src/contracts/log-position.js';

/** The log did something it promises not to do. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/**
 * What became of an entry as far as its writer knows: `begun` and not yet committed; `committing`, so a
 * crash may keep it or not; `kept`, as it was acknowledged or shown; `uncertain`, as its commit
 * failed with the log; `gone` for good.
 */
export type AttemptState = 'begun' | 'committing' | 'kept' | 'uncertain' | 'gone';

/** One attempt to write an entry. */
export interface Attempt {
  /** Counts attempts in the order in which they were asked for, which is the order of their ids. */
  readonly ordinal: number;
  readonly chunks: readonly Uint8Array[];
  readonly state: AttemptState;
  /** Undefined while only the log knows it. */
  readonly id: number | undefined;
  /** Of its chunks, as far as they are known. */
  readonly positions: readonly LogPosition[];
  /** Handed over to the LogManager's storage, or abandoned by it: the log owes nothing any more. */
  readonly isReleased: boolean;
  /** Why it is gone, or how else its story ended. */
  readonly reason: string;
}

/** An entry as the log has shown it. */
export interface ShownEntry {
  readonly id: number;
  readonly chunks: readonly Uint8Array[];
  readonly positions: readonly LogPosition[];
}

/** A chunk that was written, and where. */
export interface KnownChunk {
  readonly entryId: number | undefined;
  /** The attempt that wrote its entry. */
  readonly ordinal: number;
  readonly position: LogPosition;
  readonly bytes: Uint8Array;
}

const CUT_OFF = 'an earlier opening had cut it off';

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
  #snapshot: ReferenceModel | undefined;

  constructor(attempts: readonly Attempt[] = [], floor = 0) {
    this.#attempts = [...attempts];
    this.#floor = floor;
  }

  /** A copy that goes its own way. */
  clone(): ReferenceModel {
    return new ReferenceModel(this.#attempts, this.#floor);
  }

  /** The model as it is now, the same object until something changes. Not to be changed. */
  snapshot(): ReferenceModel {
    return (this.#snapshot ??= this.clone());
  }

  get attempts(): readonly Attempt[] {
    return this.#attempts;
  }

  /** Somebody asks to write an entry. Returns its ordinal. */
  begin(): number {
    const ordinal = this.#attempts.length;
    this.#attempts.push({
      ordinal,
      chunks: [],
      state: 'begun',
      id: undefined,
      positions: [],
      isReleased: false,
      reason: 'it was never committed',
    });
    return ordinal;
  }

  /** The log has given the entry its id. */
  started(ordinal: number, id: number): void {
    const others = this.#attempts.filter((other) => other.id === id && other.ordinal !== ordinal);
    const isTaken = id <= this.#floor || others.some(({ state }) => state === 'kept');
    if (isTaken) throw new Violation(`id ${id} was given out again: it had been acknowledged or shown`);
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

  acknowledged(ordinal: number, id: number, positions?: readonly LogPosition[]): void {
    const attempt = this.#attempt(ordinal);
    if (attempt.id !== undefined && attempt.id !== id) {
      throw new Violation(`entry ${attempt.id} was acknowledged as ${id}`);
    }
    if (attempt.id === undefined && attempt.state !== 'kept') this.started(ordinal, id);
    this.#keep(ordinal, id, positions ?? attempt.positions, 'it was acknowledged');
  }

  /** The commit was rejected. `isCertain` if the log promises that the entry is not there. */
  rejected(ordinal: number, code: string, isCertain: boolean): void {
    if (this.#attempt(ordinal).state === 'kept') {
      throw new Violation(`a commit was rejected with ${code}, although its entry had been shown`);
    }
    this.#change(ordinal, { state: isCertain ? 'gone' : 'uncertain', reason: `its commit was rejected with ${code}` });
  }

  rolledBack(ordinal: number): void {
    this.#change(ordinal, { state: 'gone', reason: 'it was rolled back' });
  }

  /** The process has ended: what was not being committed never can be. */
  processEnded(): void {
    for (const { ordinal, state } of this.#attempts) {
      if (state === 'begun') this.#change(ordinal, { state: 'gone' });
    }
  }

  /**
   * An opening has shown these entries, and is complete: what it has not shown must not come back.
   * With `hasAbandoned`, the LogManager has given up the segments before the first entry shown.
   */
  opened(shown: readonly ShownEntry[], hasAbandoned = false): void {
    if (hasAbandoned) this.#abandonBefore(shown[0]);
    this.#compare(shown, Infinity, 'recovery');
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

  /** The entries from `firstId` to `lastId` are safe outside the log, or given up by its owner. */
  released(firstId: number, lastId: number): void {
    for (const { ordinal, id } of this.#attempts) {
      if (id !== undefined && id >= firstId && id <= lastId) this.#change(ordinal, { isReleased: true });
    }
  }

  /** The entries from `firstId` on are wanted after all: only the segments before them were abandoned. */
  demanded(firstId: number): void {
    for (const { ordinal, id } of this.#attempts) {
      if (id !== undefined && id >= firstId) this.#change(ordinal, { isReleased: false });
    }
  }

  /** Every chunk of an entry that is kept, wherever its position is known. */
  knownChunks(): KnownChunk[] {
    return this.#attempts.flatMap(({ ordinal, state, id, chunks, positions }) => {
      if (state !== 'kept') return [];
      return positions.map((position, i) => ({ entryId: id, ordinal, position, bytes: chunks[i] }));
    });
  }

  /** Whether the log may answer, from now on, that it has the chunk no more. */
  mayBeGone({ ordinal }: KnownChunk): boolean {
    return this.#attempt(ordinal).isReleased;
  }

  /** Nothing is owed any more of what stands before `first`; as long as the files are there it may be shown again. */
  #abandonBefore(first: ShownEntry | undefined): void {
    const firstOrdinal = first === undefined ? Infinity : this.#find(first, -1, 'recovery').ordinal;
    for (const { ordinal, state } of this.#attempts) {
      if (ordinal >= firstOrdinal || state === 'gone') continue;
      this.#change(ordinal, { isReleased: true, state: state === 'kept' ? 'kept' : 'uncertain' });
    }
  }

  /** Checks entries shown, which are to be all there are up to `lastId`, and keeps them from now on. */
  #compare(shown: readonly ShownEntry[], lastId: number, by: string): void {
    let previousId = 0;
    let previousOrdinal = -1;
    const matched = new Set<number>();
    for (const entry of shown) {
      if (entry.id <= previousId) throw new Violation(`${by} showed entry ${entry.id} behind entry ${previousId}`);
      const attempt = this.#find(entry, previousOrdinal, by);
      if (attempt.ordinal <= previousOrdinal) throw new Violation(`${by} showed entry ${entry.id} out of order`);
      previousId = entry.id;
      previousOrdinal = attempt.ordinal;
      matched.add(attempt.ordinal);
      const positions = entry.positions.length > 0 ? entry.positions : attempt.positions;
      this.#keep(attempt.ordinal, entry.id, positions, `${by} had shown it`);
    }
    this.#expectNoneMissing(matched, previousOrdinal, lastId, by);
  }

  #expectNoneMissing(matched: ReadonlySet<number>, lastOrdinal: number, lastId: number, by: string): void {
    for (const { ordinal, id, state, isReleased, reason } of this.#attempts) {
      if (matched.has(ordinal) || isReleased) continue;
      if (state === 'kept' && (id ?? 0) <= lastId) {
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
      withId.findLast(({ state }) => state !== 'gone') ??
      this.#attempts.find((attempt) => {
        const isUnknown = attempt.id === undefined && (attempt.state === 'committing' || attempt.state === 'uncertain');
        return isUnknown && attempt.ordinal > after && haveEqualChunks(attempt, entry);
      }) ??
      withId.at(-1);
    const wrong =
      found === undefined ? 'which nobody committed'
      : found.state === 'begun' || found.state === 'gone' ? `but ${found.reason}`
      : haveEqualChunks(found, entry) ? undefined
      : `but it was written as ${describe(found)}`;
    if (found !== undefined && wrong === undefined) return found;
    throw new Violation(`${by} showed entry ${entry.id}, ${describe(entry)}, ${wrong}`);
  }

  #keep(ordinal: number, id: number, positions: readonly LogPosition[], reason: string): void {
    this.#change(ordinal, { state: 'kept', id, positions, reason });
  }

  #attempt(ordinal: number): Attempt {
    return this.#attempts[ordinal];
  }

  #change(ordinal: number, change: Partial<Attempt>): void {
    this.#attempts[ordinal] = { ...this.#attempt(ordinal), ...change };
    this.#snapshot = undefined;
    this.onChange?.();
  }
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
