import { Serial } from '../base/async.js';
import type { ResolvedArchiveOptions } from './archive-options.js';
import type { ArchiveIndex, Run, StoredSnapshot } from './index-format.js';
import { epochOfPart, storePart, type PartKeys } from './part-writer.js';
import { retained } from './retention.js';
import { decodeSlot, encodeForRun, hashInTurns, slotKey, type Part, type Slot } from './slot-format.js';
import { indexOf } from './slot-reader.js';
import { getSlot, listKeys, untilAnswered, type SlotStore } from './slot-store.js';
import type { Slots } from './slots.js';
import { ArchiveError } from './errors.js';

/** Slots from `begin` on that are merged when there are so many: a reader fetches each of them for itself. */
const MERGE_SLOTS = 256;
/** What cannot be deleted now is left to the next opening. */
const DELETE_ATTEMPTS = 3;

/** What upkeep works with. */
export interface UpkeepParts {
  readonly at: SlotStore;
  readonly slots: Slots;
  readonly keys: PartKeys;
  readonly options: Pick<ResolvedArchiveOptions, 'maxBytes' | 'keep'>;
  /** Milliseconds since 1970. */
  readonly date: () => number;
}

/**
 * Keeps an archive short, beside the shipping: merges its slots into runs, adds snapshots, and drops what is too old.
 * Each step stores what is new, then an index that names it, and only then deletes what no index names any more. A
 * process that dies in between leaves objects that nothing names: the next opening deletes those.
 */
export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #serial = new Serial();
  #index: ArchiveIndex | undefined;
  #isMerging = false;
  #hasSwept = false;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  /** Merges the slots if there are many. Undefined if there is nothing to do, or if it is being done. */
  mergeIfDue(): Promise<void> | undefined {
    const { slot, begin } = this.#parts.slots;
    if (this.#isMerging || slot - begin + 1 < MERGE_SLOTS) return undefined;
    this.#isMerging = true;
    return this.step().finally(() => (this.#isMerging = false));
  }

  /** Merges the slots there are into runs, adds a snapshot if there is one, and drops what is too old. */
  step(snapshot?: StoredSnapshot): Promise<void> {
    return this.#serial.run(() => this.#step(snapshot));
  }

  /** Resolves with the newest snapshot. */
  async lastSnapshot(): Promise<StoredSnapshot | undefined> {
    return this.#serial.run(async () => (await this.#loadIndex()).snapshots.at(-1));
  }

  async #step(snapshot: StoredSnapshot | undefined): Promise<void> {
    const { slots, options, date } = this.#parts;
    const before = await this.#loadIndex();
    const end = slots.slot + 1;
    const runs = await this.#merged(before.runs, end);
    const snapshots = [...before.snapshots, ...(snapshot === undefined ? [] : [snapshot])];
    snapshots.sort((a, b) => a.lastId - b.lastId);
    const index = retained({ runs, snapshots }, options.keep, date());
    await slots.appendIndex(end, index);
    this.#index = index;
    await this.#deleteUnnamed(before, index, end).catch(ignoreStore);
  }

  async #loadIndex(): Promise<ArchiveIndex> {
    const { at, slots } = this.#parts;
    if (this.#index === undefined) {
      const slot = slots.index === 0 ? undefined : await getSlot(at, slots.index);
      this.#index = await indexOf(at, slot);
    }
    return this.#index;
  }

  /** `runs`, and those that the slots from `begin` up to and without `end` are merged into. */
  async #merged(runs: readonly Run[], end: number): Promise<Run[]> {
    const { at, slots, keys, options } = this.#parts;
    const merged = [...runs];
    let open: OpenRun | undefined;
    const store = async (): Promise<void> => {
      if (open === undefined) return;
      const part = await storePart(at, keys.next('runs'), Buffer.concat(open.bytes));
      merged.push({ ...open.run, ...part });
      open = undefined;
    };
    // A small run is merged with what comes after it.
    const last = merged.at(-1);
    if (last !== undefined && last.length < options.maxBytes / 2 && !isSlotItself(last)) {
      merged.pop();
      open = { run: last, bytes: [await this.#get(last.key)], length: last.length };
    }
    for (let number = slots.begin; number < end; number++) {
      const key = keyInArchive(number);
      const stored = await this.#get(key);
      const slot = decodeSlot(number, stored);
      const bytes = encodeForRun(stored, slot);
      if (bytes.length >= options.maxBytes / 2 && slot.kind === 'entries') {
        // It stays where it is: copying it would gain nothing.
        await store();
        merged.push(runOf(slot, { key, length: stored.length, hash: await hashInTurns(stored) }));
        continue;
      }
      open = extended(open, slot, bytes);
      if (open.length >= options.maxBytes) await store();
    }
    await store();
    return merged;
  }

  async #get(key: string): Promise<Uint8Array> {
    const { at } = this.#parts;
    const bytes = await untilAnswered(at, (signal) => at.store.get(`${at.prefix}/${key}`, { signal }));
    if (bytes !== undefined) return bytes;
    // A writer that has taken over may have merged it.
    await this.#parts.slots.assertNotFenced();
    throw new ArchiveError('ARCHIVE_GAP', `${key} is missing in the archive`);
  }

  async #deleteUnnamed(before: ArchiveIndex, index: ArchiveIndex, begin: number): Promise<void> {
    const { at, slots } = this.#parts;
    const named = namesIn(index);
    const unnamed = [...namesIn(before)].filter((key) => !named.has(key) && epochOfPart(key) !== undefined);
    if (!this.#hasSwept) {
      // What earlier writers have left: they are fenced, and can name nothing any more.
      for (const folder of ['runs', 'snapshots']) {
        for (const key of await listKeys({ ...at, attempts: DELETE_ATTEMPTS }, `${at.prefix}/${folder}/`)) {
          const name = key.slice(at.prefix.length + 1);
          const epoch = epochOfPart(name);
          if (epoch !== undefined && epoch < this.#parts.keys.epoch && !named.has(name)) unnamed.push(name);
        }
      }
    }
    const keys = [...new Set(unnamed)].map((key) => `${at.prefix}/${key}`);
    if (keys.length > 0) {
      await untilAnswered({ ...at, attempts: DELETE_ATTEMPTS }, (signal) => at.store.delete(keys, { signal }));
    }
    this.#hasSwept = true;
    await slots.deleteBefore(begin, new Set(index.runs.filter(isSlotItself).map(({ firstSlot }) => firstSlot)));
  }
}

/** A run that is being put together. */
interface OpenRun {
  readonly run: Run;
  readonly bytes: Uint8Array[];
  readonly length: number;
}

function extended(open: OpenRun | undefined, slot: Slot, bytes: Uint8Array): OpenRun {
  const added = runOf(slot, { key: '', length: bytes.length, hash: '' });
  if (open === undefined) return { run: added, bytes: [bytes], length: bytes.length };
  const { lastSlot, lastId, time } = added;
  const run = { ...open.run, lastSlot, lastId, time, parts: [...open.run.parts, ...added.parts] };
  open.bytes.push(bytes);
  return { run, bytes: open.bytes, length: open.length + bytes.length };
}

/** The run of one slot. */
function runOf({ slot, firstId, lastId, time, parts = [] }: Slot, part: Part): Run {
  const range = { firstSlot: slot, lastSlot: slot, firstId, lastId, time };
  return { ...part, ...range, parts: parts.map(({ key }) => key) };
}

/** The key of a slot after the archive's prefix. */
function keyInArchive(slot: number): string {
  return slotKey('', slot).slice(1);
}

/** Whether a run is an object of the sequence, left in its place. */
function isSlotItself({ key }: Run): boolean {
  return key.startsWith('log/');
}

/** The keys of everything that an index names. */
function namesIn({ runs, snapshots }: ArchiveIndex): Set<string> {
  const inRuns = runs.flatMap(({ key, parts }) => [key, ...parts]);
  return new Set([...inRuns, ...snapshots.flatMap(({ parts }) => parts.map(({ key }) => key))]);
}

/** What could not be deleted is deleted after the next step, or opening. */
function ignoreStore(error: unknown): void {
  if (error instanceof ArchiveError) throw error;
}
