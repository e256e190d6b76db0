/** The engines of the examples, and what is done to them by the processes that get killed. */
import { isDeepStrictEqual } from 'node:util';
import type { WalOptions, WriteAheadLog } from '../../src/index.js';
import { Random } from '../support/random.js';

export const WRITERS = 16;
const KEYS_PER_WRITER = 20;
/** Stands in every value, so that the search index finds them all. */
const COMMON_WORD = 'everything';

/** So small that a round fills several segments. */
const OPTIONS: Omit<WalOptions, 'fileManager' | 'sync'> = {
  preallocateBytes: 32 * 1024, checkpointAfterBytes: 20 * 1024, bufferBytes: 16 * 1024, maxPendingBytes: 256 * 1024,
};

export interface Engine {
  readonly log: WriteAheadLog;
  change(key: string, value: string | undefined): Promise<void>;
  content(): Map<string, string> | Promise<Map<string, string>>;
  close(): Promise<void>;
}

/** Imported when they are opened: what an engine needs may not be installed. */
const engines = {
  async 'search-index'(directory: string): Promise<Engine> {
    const { SearchIndex } = await import('../../examples/search-index.js');
    const index = await SearchIndex.open(directory, OPTIONS);
    return {
      log: index.log,
      change: (id, text) => (text === undefined ? index.remove(id) : index.put({ id, title: `about ${id}`, text })),
      content() {
        const found = index.search(COMMON_WORD).map(({ id }) => String(id));
        if (found.length !== index.size) throw new Error(`${index.size} documents, of which a search finds ${found.length}`);
        return new Map(found.map((id) => [id, index.get(id)?.text ?? '']));
      },
      close: () => index.close(),
    };
  },
  async 'write-behind'(directory: string): Promise<Engine> {
    const { WriteBehind } = await import('../../examples/write-behind.js');
    const store = await WriteBehind.open(directory, OPTIONS);
    return {
      log: store.log,
      change: (key, value) => (value === undefined ? store.delete(key) : store.set(key, value)),
      content: () => new Map(store.keys().map((key) => [key, store.get(key) ?? ''])),
      close: () => store.close(),
    };
  },
  /** Each change is a batch, which changes two keys. */
  async level(directory: string): Promise<Engine> {
    const { WalLevel } = await import('../../examples/level.js');
    const level = new WalLevel(directory, { log: OPTIONS });
    await level.open();
    return {
      log: level.log,
      change: (key, value) => level.batch([key, `=${key}`].map((key) => {
        return value === undefined ? { type: 'del', key } : { type: 'put', key, value };
      })),
      async content() {
        const content = new Map(await level.iterator({ lt: '=' }).all());
        const copies = await level.iterator({ gte: '=' }).all();
        const copied = new Map(copies.map(([key, value]) => [key.slice(1), value]));
        if (!isDeepStrictEqual(content, copied)) throw new Error('a batch is there in part');
        return content;
      },
      close: () => level.close(),
    };
  },
};

export type EngineName = keyof typeof engines;

export function openEngine(name: EngineName, directory: string): Promise<Engine> {
  return engines[name](directory);
}

/** What a writer changes: one of its own keys. Follows from who it is, and tells it. */
export function changeBy(round: number, writer: number, number: number): { key: string; value: string | undefined } {
  const random = new Random((round * WRITERS + writer) * 2 ** 24 + number);
  const key = `${writer}-${random.below(KEYS_PER_WRITER)}`;
  if (random.oneIn(4)) return { key, value: undefined };
  return { key, value: `${COMMON_WORD} r${round} w${writer} n${number} ${'x'.repeat(random.below(60))}` };
}
