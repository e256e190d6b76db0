/**
 * Tries every order in which an object store can answer the writers of an archive, up to a bound: whose request is
 * carried out next, whose answer is lost, and which request that nobody waits for any more is carried out late. A
 * writer whose requests are never carried out again has stalled, or died.
 *
 * The writers are the code itself. A path is tried by running it from its beginning with the choices made so far, and
 * given up where it comes to a state that another path has been in.
 */
import { hash as digest } from 'node:crypto';
import { ArchiveError } from '../../src/archive/errors.js';
import { decodeIndex, EMPTY_INDEX } from '../../src/archive/index-format.js';
import type { ObjectStore } from '../../src/archive/object-store.js';
import { PartKeys } from '../../src/archive/part-writer.js';
import { Upkeep } from '../../src/archive/upkeep.js';
import { decodeRun, decodeSlot, parseSlotKey, slotKey, type Slot } from '../../src/archive/slot-format.js';
import { Slots } from '../../src/archive/slots.js';
import type { SlotStore } from '../../src/archive/slot-store.js';
import { Random } from '../support/random.js';

/** What a writer does, one after the other. `retain` keeps the newest slot only, `merge` all of them in a run. */
export type Act = 'append' | 'retain' | 'merge';

export interface Setting {
  /** The acts of each writer, after it has opened the archive. */
  readonly writers: readonly (readonly Act[])[];
  /** How many answers may be lost. */
  readonly losses: number;
  /** How many requests may be carried out after their writer has sent them again. */
  readonly late: number;
  /** How many requests of a writer are answered before it stalls for ever: two that open may go on overtaking each other. */
  readonly requests: number;
}

const [APPEND, RETAIN, MERGE] = ['append', 'retain', 'merge'] as const;

/** What is tried in every order by each `npm test`, with how many states there are at least. */
export const ARCHIVE_SETTINGS: Readonly<Record<string, { readonly setting: Setting; readonly states: number }>> = {
  'while one takes over and the other shortens the archive': {
    setting: { writers: [[APPEND, RETAIN], [APPEND]], losses: 0, late: 0, requests: 13 }, states: 2000,
  },
  'while one takes over and the other merges slots': {
    setting: { writers: [[APPEND, MERGE], [APPEND]], losses: 0, late: 0, requests: 14 }, states: 2000,
  },
  'while an answer is lost': {
    setting: { writers: [[APPEND], [APPEND]], losses: 1, late: 0, requests: 9 }, states: 4000,
  },
};

/** The same with more of everything, which takes minutes. */
export const LARGE_ARCHIVE_SETTINGS: readonly Setting[] = [
  { writers: [[APPEND, APPEND, APPEND, RETAIN], [APPEND]], losses: 0, late: 0, requests: 16 },
  { writers: [[APPEND], [APPEND]], losses: 1, late: 1, requests: 12 },
  { writers: [[APPEND, RETAIN], [APPEND]], losses: 1, late: 1, requests: 12 },
  { writers: [[APPEND, MERGE], [APPEND]], losses: 1, late: 1, requests: 16 },
  { writers: [[APPEND, MERGE, APPEND, MERGE], [APPEND, MERGE]], losses: 0, late: 0, requests: 26 },
];

/** Too much for every order. */
export const THREE_WRITERS: Setting = {
  writers: [
    [APPEND, APPEND, MERGE, APPEND, MERGE, APPEND], [APPEND, APPEND, RETAIN, APPEND], [APPEND, APPEND, MERGE],
  ],
  losses: 3, late: 2, requests: 40,
};

/** What was found. */
export interface Exploration {
  paths: number;
  states: number;
  violation: string | undefined;
}

interface Request {
  readonly writer: number;
  readonly name: string;
  /** Carries the request out. */
  readonly apply: () => unknown;
  readonly answer: (result: unknown) => void;
  readonly lose: () => void;
}

/** One run: the store, the requests that it has not answered, and what was confirmed. */
class Run {
  readonly objects = new Map<string, Uint8Array>();
  readonly #setting: Setting;
  readonly #pending: Request[] = [];
  readonly #late: Request[] = [];
  /** What each writer was told: with the code, this determines what it does next. */
  readonly #told: string[];
  /** How many requests of each writer have been answered. */
  readonly #answered: number[];
  #losses = 0;
  #lateCount = 0;
  /** The bytes that were confirmed of each id, with who confirmed them. */
  readonly confirmed = new Map<number, string>();
  violation: string | undefined;
  crashed: Error | undefined;

  constructor(setting: Setting) {
    this.#setting = setting;
    this.#told = setting.writers.map(() => '');
    this.#answered = setting.writers.map(() => 0);
    for (const [writer, acts] of setting.writers.entries()) {
      this.#write(writer, acts).catch((error: unknown) => {
        if (error instanceof ArchiveError && error.code === 'ARCHIVE_FENCED') this.#checkFenced(writer, error.slot);
        else this.crashed = error as Error;
      });
    }
  }

  async #write(writer: number, acts: readonly Act[]): Promise<void> {
    const name = `writer ${writer}`;
    const opening = { firstId: 1, check: async () => undefined };
    const slots = await Slots.open(this.#storeOf(writer), { logId: 'log', writer: name, now: () => 0 }, opening);
    const [keys, keep] = [new PartKeys(slots.epoch, name), { ms: Infinity, snapshots: 1 }];
    const at = this.#storeOf(writer);
    const upkeep = new Upkeep({ at, slots, keys, options: { maxBytes: 1 << 20, keep }, date: () => 0 });
    for (const [i, act] of acts.entries()) {
      if (act === 'merge') {
        await upkeep.step();
        continue;
      }
      if (act === 'retain') {
        const begin = slots.slot + 1;
        await slots.appendIndex(begin, EMPTY_INDEX);
        await slots.deleteBefore(begin, new Set());
        continue;
      }
      const id = slots.lastId + 1;
      const text = `${name} ${i}`;
      await slots.append({ lastId: id, lastHash: '', body: Buffer.from(text) });
      this.#confirm(id, text);
    }
  }

  /** A writer is fenced by the opening of another, in the slot that it was to create. */
  #checkFenced(writer: number, slot = NaN): void {
    const bytes = this.objects.get(slotKey('a', slot));
    const found = bytes === undefined ? undefined : slotIn(slotKey('a', slot), bytes);
    if (found?.kind === 'open' && found.writer !== `writer ${writer}`) return;
    this.violation ??= `writer ${writer} was fenced by ${found === undefined ? 'nothing' : `the ${found.kind} of ${found.writer}`}`;
  }

  #confirm(id: number, text: string): void {
    const before = this.confirmed.get(id);
    if (before !== undefined && before !== text) this.violation ??= `entry ${id} was confirmed as "${before}" and as "${text}"`;
    this.confirmed.set(id, text);
  }

  #storeOf(writer: number): SlotStore {
    const request = <T>(name: string, apply: () => T): Promise<T> => new Promise((resolve, reject) => {
      this.#pending.push({
        writer, name, apply,
        answer: (result) => resolve(result as T),
        lose: () => reject(new Error('the answer was lost')),
      });
    });
    const { objects } = this;
    const store: ObjectStore = {
      create: (key, body) => request(`create ${key} ${hash(body)}`, () => {
        if (objects.has(key)) return 'exists';
        objects.set(key, body);
        return 'created';
      }),
      get: (key) => request(`get ${key}`, () => objects.get(key)),
      async *list(prefix) {
        yield* await request(`list ${prefix}`, () => [...objects.keys()].filter((key) => key.startsWith(prefix)).sort());
      },
      delete: (keys) => request(`delete ${keys.join()}`, () => keys.forEach((key) => objects.delete(key))),
    };
    return { store, prefix: 'a', signal: new AbortController().signal, timers: { callAfter: soon } };
  }

  /** What can happen next, or what can to the requests of one writer. */
  moves(writer?: number): (() => void)[] {
    const moves: (() => void)[] = [];
    for (const request of this.#pending) {
      if (writer !== undefined && request.writer !== writer) continue;
      if (this.#answered[request.writer] >= this.#setting.requests) continue;
      moves.push(() => this.#answer(request));
      if (this.#losses >= this.#setting.losses) continue;
      moves.push(() => this.#lose(request, true));
      // Only what changes the store can do so late.
      if (!/^(create|delete)/.test(request.name)) continue;
      if (this.#lateCount < this.#setting.late) moves.push(() => this.#lose(request, false));
    }
    for (const request of this.#late) {
      moves.push(() => {
        this.#late.splice(this.#late.indexOf(request), 1);
        request.apply();
      });
    }
    return moves;
  }

  #answer(request: Request): void {
    this.#take(request);
    const result = request.apply();
    this.#told[request.writer] = hash(`${this.#told[request.writer]} ${shown(result)}`);
    request.answer(result);
  }

  /** The answer is lost. The request was carried out, or it may be later. */
  #lose(request: Request, isCarriedOut: boolean): void {
    this.#take(request);
    this.#losses++;
    this.#told[request.writer] = hash(`${this.#told[request.writer]} lost`);
    if (isCarriedOut) request.apply();
    else {
      this.#lateCount++;
      this.#late.push(request);
    }
    request.lose();
  }

  #take(request: Request): void {
    this.#answered[request.writer]++;
    this.#pending.splice(this.#pending.indexOf(request), 1);
  }

  /** Two runs in one state go on in the same ways. */
  fingerprint(): string {
    const objects = [...this.objects].map(([key, bytes]) => `${key}=${isSlot(key) ? slotIn(key, bytes).hash : hash(bytes)}`);
    objects.sort();
    const late = this.#late.map(({ name }) => name).sort();
    return hash([...objects, ...this.#told, ...late, this.#losses, this.#lateCount].join('\n'));
  }

  /** Says what of the archive's promises does not hold now, with a reading of its own. */
  check(): string | undefined {
    if (this.crashed !== undefined) return `a writer ended with ${this.crashed.message}`;
    if (this.violation !== undefined) return this.violation;
    const slots = [...this.objects].filter(([key]) => isSlot(key)).map(([key, bytes]) => slotIn(key, bytes));
    slots.sort((a, b) => a.slot - b.slot);
    const last = slots.at(-1);
    if (last === undefined) return this.confirmed.size > 0 ? 'there is nothing left' : undefined;
    const merged = this.#mergedSlots(slots, last);
    if (typeof merged === 'string') return merged;
    return this.#checkRestore([...merged, ...slots.filter(({ slot }) => slot >= last.begin)], last);
  }

  /** The slots in the runs of the index, or what is wrong with them. */
  #mergedSlots(slots: readonly Slot[], last: Slot): Slot[] | string {
    if (last.index === 0) return [];
    const indexSlot = slots.find(({ slot }) => slot === last.index);
    if (indexSlot === undefined) return `the index in slot ${last.index} is missing`;
    const merged: Slot[] = [];
    for (const { key, firstSlot } of decodeIndex(indexSlot).runs) {
      const bytes = this.objects.get(`a/${key}`);
      if (bytes === undefined) return `${key} is missing`;
      merged.push(...decodeRun(firstSlot, bytes));
    }
    return merged;
  }

  #checkRestore(slots: readonly Slot[], last: Slot): string | undefined {
    const restored = new Map<number, string>();
    const begin = slots.length > 0 ? slots[0].slot : last.begin;
    if (begin > last.begin) return `slot ${last.begin} is missing`;
    for (const [i, { slot, previous, kind, epoch, firstId, body }] of slots.entries()) {
      if (slot !== begin + i) return `slot ${begin + i} is missing`;
      if (i > 0 && previous !== slots[i - 1].hash) return `slot ${slot} does not follow the one before it`;
      if (i > 0 && epoch - slots[i - 1].epoch !== (kind === 'open' ? 1 : 0)) return `slot ${slot} is of epoch ${epoch}`;
      if (kind === 'entries') restored.set(firstId, Buffer.from(body).toString());
    }
    const firstId = slots[0].kind === 'entries' ? slots[0].firstId : slots[0].lastId + 1;
    for (const [id, text] of this.confirmed) {
      if (id >= firstId && restored.get(id) !== text) {
        return `entry ${id} was confirmed as "${text}", and a restore has ${restored.get(id) ?? 'nothing'}`;
      }
    }
    return undefined;
  }
}

/** Tries every path of a setting, as far as `maxPaths` and the time go. Ends with the first that breaks a promise. */
export async function exploreArchive(setting: Setting, maxPaths = Infinity, endAt = Infinity): Promise<Exploration> {
  const exploration: Exploration = { paths: 0, states: 0, violation: undefined };
  const seen = new Set<string>();
  let path: { choice: number; choices: number }[] = [];
  for (; exploration.paths < maxPaths && Date.now() < endAt; exploration.paths++) {
    const run = new Run(setting);
    for (let step = 0; ; step++) {
      await settled();
      // What comes before has been checked by another path.
      if (step >= path.length) {
        const violation = run.check();
        if (violation !== undefined) {
          exploration.violation = `${violation}, after choices ${path.map(({ choice }) => choice).join()}`;
          return exploration;
        }
        const fingerprint = run.fingerprint();
        if (seen.has(fingerprint)) break;
        seen.add(fingerprint);
        exploration.states++;
      }
      const moves = run.moves();
      if (moves.length === 0) break;
      if (step >= path.length) path.push({ choice: 0, choices: moves.length });
      moves[path[step].choice]();
    }
    path = nextPath(path);
    if (path.length === 0) break;
  }
  return exploration;
}

/** Tries `count` paths at random, the same ones for each seed. */
export async function exploreArchiveRandomly(setting: Setting, seed: number, count: number): Promise<Exploration> {
  const exploration: Exploration = { paths: 0, states: 0, violation: undefined };
  const random = new Random(seed);
  for (; exploration.paths < count; exploration.paths++) {
    const run = new Run(setting);
    // Sometimes a writer is left alone for long, as one that has stalled.
    for (let favored: number | undefined; ; exploration.states++) {
      await settled();
      const violation = run.check();
      if (violation !== undefined) return { ...exploration, violation: `${violation}, in path ${exploration.paths}` };
      const moves = run.moves(favored);
      if (moves.length === 0 && favored === undefined) break;
      if (moves.length === 0 || random.below(6) === 0) favored = random.below(setting.writers.length + 1);
      if (favored === setting.writers.length) favored = undefined;
      if (moves.length > 0) moves[random.below(moves.length)]();
      else if (run.moves().length === 0) break;
    }
  }
  return exploration;
}

/** The path with the next choice at its last place that has one. */
function nextPath(path: readonly { choice: number; choices: number }[]): { choice: number; choices: number }[] {
  for (let i = path.length - 1; i >= 0; i--) {
    const { choice, choices } = path[i];
    if (choice + 1 < choices) return [...path.slice(0, i), { choice: choice + 1, choices }];
  }
  return [];
}

/** Resolves when the writers have come to their next requests. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Time does not matter here: requests fail, or take as long as they are left alone. */
function soon(_milliseconds: number, callback: () => void): () => void {
  queueMicrotask(callback);
  return () => undefined;
}

/** What each object holds, decoded once. */
const decoded = new WeakMap<Uint8Array, Slot>();

function isSlot(key: string): boolean {
  return key.startsWith('a/log/');
}

function slotIn(key: string, bytes: Uint8Array): Slot {
  let slot = decoded.get(bytes);
  if (slot === undefined) {
    slot = decodeSlot(parseSlotKey('a', key) ?? NaN, bytes);
    decoded.set(bytes, slot);
  }
  return slot;
}

function shown(result: unknown): string {
  return result instanceof Uint8Array ? hash(result) : String(result);
}

function hash(bytes: Uint8Array | string): string {
  return digest('sha1', bytes, 'base64');
}
