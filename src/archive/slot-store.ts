import { offAbort, onAbort, unlessAborted } from '../base/abort.js';
import { systemEnvironment, type Environment } from '../base/environment.js';
import { ArchiveError } from './errors.js';
import type { ObjectStore } from './object-store.js';
import { decodeSlot, parseSlotKey, slotKey, slotPrefix, type Slot } from './slot-format.js';

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;

/**
 * A request that was not answered.
 *
 * @example
 * const describe = ({ attempt, retryInMs }: RequestFailure) => `attempt ${attempt}, again in ${retryInMs} ms`;
 * console.log(describe({ error: new Error('a timeout'), attempt: 1, retryInMs: 100 })); // attempt 1, again in 100 ms
 */
export interface RequestFailure {
  /** What the store answered, or that it did not. */
  readonly error: unknown;
  /** How often it has been sent. */
  readonly attempt: number;
  /** After how many milliseconds it is sent again. */
  readonly retryInMs: number;
}

/** Where the slots are, and how they are asked for. */
export interface SlotStore {
  readonly store: ObjectStore;
  readonly prefix: string;
  /** Ends every wait; requests that were sent may still be carried out. */
  readonly signal: AbortSignal;
  /** After how many milliseconds a request counts as one that is not answered. Default: never. */
  readonly timeoutMs?: number;
  /** How often a request is sent before its failure is passed on. Default: until it is answered. */
  readonly attempts?: number;
  /** Called for every request that was answered. */
  readonly onAnswer?: () => void;
  /** Called for every request that was not answered. */
  readonly onFailure?: (failure: RequestFailure) => void;
  /** The timers. Default: the system's. */
  readonly timers?: Pick<Environment, 'callAfter'>;
}

/** The highest slot; undefined if there is none. */
export async function lastSlot(at: SlotStore): Promise<Slot | undefined> {
  for (;;) {
    const highest = (await listSlots(at)).at(-1);
    if (highest === undefined) return undefined;
    const slot = await getSlot(at, highest);
    // Retention may have deleted it since: then there are higher ones.
    if (slot !== undefined) return slot;
  }
}

/**
 * Sends a request until it is answered. One that was not answered is no failure and no success: it is sent again as it
 * was, also when it has not been answered for `timeoutMs`, whether or not the store heeds the signal that it is given.
 */
export async function untilAnswered<T>(at: SlotStore, request: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { attempts = Infinity, onAnswer, onFailure } = at;
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await inTime(at, request);
      onAnswer?.();
      return answer;
    } catch (error) {
      at.signal.throwIfAborted();
      if (error instanceof ArchiveError || attempt >= attempts) throw error;
      const retryInMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1));
      onFailure?.({ error, attempt, retryInMs });
      await pause(at, retryInMs);
    }
  }
}

/** The keys that begin with `prefix`, ascending. */
export async function listKeys(at: SlotStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  const { store, signal } = at;
  let listing: AsyncIterator<string> | undefined;
  // A listing takes many requests, and each has its own time. One that fails goes on after the keys that are known.
  for (;;) {
    const next = await untilAnswered(at, async (attempt) => {
      const after = keys.at(-1);
      const options = after === undefined ? { signal } : { after, signal };
      const current = listing ?? store.list(prefix, options)[Symbol.asyncIterator]();
      listing = undefined;
      const found = await current.next();
      // An attempt that was given up must not add to what the next one lists.
      attempt.throwIfAborted();
      listing = current;
      return found;
    });
    if (next.done === true) return keys;
    keys.push(next.value);
  }
}

/** The numbers of the slots, ascending. */
export async function listSlots(at: SlotStore): Promise<number[]> {
  const keys = await listKeys(at, slotPrefix(at.prefix));
  return keys.map((key) => parseSlotKey(at.prefix, key)).filter((slot) => slot !== undefined);
}

export async function getSlot(at: SlotStore, slot: number): Promise<Slot | undefined> {
  const { store, prefix } = at;
  const bytes = await untilAnswered(at, (signal) => store.get(slotKey(prefix, slot), { signal }));
  return bytes === undefined ? undefined : decodeSlot(slot, bytes);
}

/** Sends a request once. Rejects if it is not answered in time. */
async function inTime<T>(at: SlotStore, request: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { signal, timeoutMs, timers = systemEnvironment } = at;
  signal.throwIfAborted();
  if (timeoutMs === undefined) return request(signal);
  const attempt = new AbortController();
  const end = (): void => attempt.abort(signal.reason);
  const cancel = timers.callAfter(timeoutMs, () => attempt.abort(new Error(`no answer within ${timeoutMs} ms`)));
  onAbort(signal, end);
  try {
    return await unlessAborted(request(attempt.signal), attempt.signal);
  } finally {
    cancel();
    offAbort(signal, end);
  }
}

function pause({ signal, timers = systemEnvironment }: SlotStore, ms: number): Promise<void> {
  const paused = new Promise<void>((resolve) => void timers.callAfter(ms, resolve));
  return unlessAborted(paused, signal);
}
