/**
 * node dist/examples/figures.js [--rounds N] [--milliseconds N] [--directory DIR]
 *
 * How many changes per second the search index and the write-behind store take from 1 and from 64 concurrent callers,
 * each beside the library it is built on doing the same without the log. One after the other in every round,
 * so that all of them meet the same disk; prints the medians, and those of the ratios of each round.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import MiniSearch from 'minisearch';
import { SnapshotFile } from 'segmented-wal/snapshot';
import { cityRecords } from './demo-data.js';
import { INDEX_OPTIONS, SearchIndex, type SearchDocument } from './search-index.js';
import { openDurably, UPSERT } from './sqlite-table.js';
import { WriteBehind } from './write-behind.js';

/** Something that takes changes, numbered from 0. A change is done when what this returns has resolved. */
interface Contestant {
  change(number: number): Promise<void> | void;
  close(): Promise<void> | void;
}

type Open = (directory: string) => Contestant | Promise<Contestant>;

const DOCUMENTS = 1000;
const WORDS_PER_DOCUMENT = 30;
const VOCABULARY = 2000;
const PAIRS = 10_000;

const cities = cityRecords(PAIRS);
const words = cities.slice(0, VOCABULARY).map(({ value }) => (JSON.parse(value) as { name: string }).name);

/** The example comes first, what it is compared with behind it. */
const races: readonly Readonly<Record<string, Open>>[] = [
  {
    'write-behind store': async (directory) => {
      const store = await WriteBehind.open(directory);
      return { change: (number) => store.set(...pair(number)), close: () => store.close() };
    },
    'better-sqlite3, a transaction per change': (directory) => {
      const database = openDurably(path.join(directory, 'bare.sqlite'));
      const upsert = database.prepare<[string, string]>(UPSERT);
      return { change: (number) => void upsert.run(...pair(number)), close: () => void database.close() };
    },
  },
  {
    'search index': async (directory) => {
      const index = await SearchIndex.open(directory, { preallocateBytes: 4 * 1024 * 1024 });
      await Promise.all(Array.from({ length: DOCUMENTS }, (_, number) => index.put(documentOf(number))));
      return { change: (number) => index.put(documentOf(number)), close: () => index.close() };
    },
    'MiniSearch, an export per change': (directory) => {
      const index = fullIndex();
      let last = Promise.resolve();
      return {
        change(number) {
          replace(index, documentOf(number));
          return (last = last.then(() => exportTo(directory, index)));
        },
        close: () => undefined,
      };
    },
    'MiniSearch, in memory only': () => {
      const index = fullIndex();
      return { change: (number) => replace(index, documentOf(number)), close: () => undefined };
    },
  },
];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    milliseconds: { type: 'string', default: '1000' },
    directory: { type: 'string', default: os.tmpdir() },
  },
});
for (const race of races) await run(race);

async function run(race: Readonly<Record<string, Open>>): Promise<void> {
  const names = Object.keys(race);
  for (const callers of [1, 64]) {
    const rounds: number[][] = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      const rates: number[] = [];
      for (const name of names) rates.push(await rateOf(race[name], callers));
      rounds.push(rates);
    }
    console.log(`${callers} concurrent callers`.padEnd(42), '    changes/s', '  the example to this');
    for (const [i, name] of names.entries()) {
      const rate = Math.round(median(rounds.map((rates) => rates[i]))).toLocaleString('en');
      const ratio = median(rounds.map((rates) => rates[0] / rates[i])).toFixed(2);
      console.log(name.padEnd(42), rate.padStart(13), ratio.padStart(21));
    }
  }
}

/** Changes per second from `callers` who each make one after the other. */
async function rateOf(open: Open, callers: number): Promise<number> {
  const directory = await mkdtemp(path.join(values.directory, 'segmented-wal-figures-'));
  const contestant = await open(directory);
  const started = performance.now();
  const end = started + Number(values.milliseconds);
  let begun = 0;
  const call = async (): Promise<void> => {
    while (performance.now() < end) {
      const number = begun++;
      await contestant.change(number);
      // Whoever needs no disk must let others run as well.
      if (number % 100 === 0) await setImmediate();
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  const seconds = (performance.now() - started) / 1000;
  await contestant.close();
  await rm(directory, { recursive: true });
  return begun / seconds;
}

function pair(number: number): [key: string, value: string] {
  const { key, value } = cities[number % PAIRS];
  return [key, value];
}

/** One of a thousand documents, with other words than it had before. */
function documentOf(number: number): SearchDocument {
  const wordAt = (i: number): string => words[(number * 37 + i) % VOCABULARY];
  const text = Array.from({ length: WORDS_PER_DOCUMENT }, (_, i) => wordAt(i)).join(' ');
  return { id: `id ${number % DOCUMENTS}`, title: wordAt(0), text };
}

function fullIndex(): MiniSearch<SearchDocument> {
  const index = new MiniSearch<SearchDocument>(INDEX_OPTIONS);
  index.addAll(Array.from({ length: DOCUMENTS }, (_, number) => documentOf(number)));
  return index;
}

/** As the search index does it. */
function replace(index: MiniSearch<SearchDocument>, document: SearchDocument): void {
  index.remove({ id: document.id, ...index.getStoredFields(document.id) } as SearchDocument);
  index.add(document);
}

async function exportTo(directory: string, index: MiniSearch<SearchDocument>): Promise<void> {
  await new SnapshotFile(path.join(directory, 'export')).save(0, JSON.stringify(index));
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
