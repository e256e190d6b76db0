import { setTimeout as delay } from 'node:timers/promises';
import { ArchiveError } from './errors.js';
import type { ObjectStore } from './object-store.js';
import { decodeSlot, parseSlotKey, slotKey, slotPrefix, type Slot } from './slot-format.js';

const MAX_PAUSE_MS = 10_000;

/** Where the slots are, and how they are asked for. */
export interface SlotStore {
  readonly store: ObjectStore;
  readonly prefix: string;
  /** Ends every wait; requests that were sent may still be carried out. */
  readonly signal: AbortSignal;
  /** Resolves when a request that was not answered may be sent again, for the `attempt`-th time. */
  readonly pause?: (attempt: number) => Promise<void>;
}

/** The highest slot; undefined if there is none. */
export async function lastSlot(at: SlotStore): Promise<Slot | undefined> {
  for (;;) {
    const highest = (await untilAnswered(at, () => listSlots(at))).at(-1);
    if (highest === undefined) return undefined;
    const slot = await untilAnswered(at, () => getSlot(at, highest));
    // Retention may have deleted it since: then there are higher ones.
    if (slot !== undefined) return slot;
  }
}

/** Sends a request until it is answered. One that was not answered is no failure and no success. */
export async function untilAnswered<T>({ signal, pause }: SlotStore, request: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await request();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ArchiveError) throw error;
      await (pause?.(attempt) ?? delay(Math.min(MAX_PAUSE_MS, 2 ** attempt * 50), undefined, { signal }));
    }
  }
}

/** The numbers of the slots, ascending. */
export async function listSlots({ store, prefix, signal }: SlotStore): Promise<number[]> {
  const slots: number[] = [];
  for await (const key of store.list(slotPrefix(prefix), { signal })) {
    const slot = parseSlotKey(prefix, key);
    if (slot !== undefined) slots.push(slot);
  }
  return slots;
}

export async function getSlot({ store, prefix, signal }: SlotStore, slot: number): Promise<Slot | undefined> {
  const bytes = await store.get(slotKey(prefix, slot), { signal });
  return bytes === undefined ? undefined : decodeSlot(slot, bytes);
}
