/**
 * npm run demo [-- --records N] [-- --directory DIR]
 *
 * Loads the cities of the world into the key-value store from 16 concurrent writers in a process of its own,
 * kills that process in mid-load, opens the store it left, and checks that every record it had
 * acknowledged is there. Then finishes the load, checkpoints, opens the store once more and checks every record.
 * Exits with 1 if one is missing or has other bytes.
 */
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { CITY_COUNT, cityRecords, findLost, loadRecords, STORE_OPTIONS, type DemoRecord } from './demo-data.js';
import type { WriterReport } from './demo-writer.js';
import { KeyValueStore } from './key-value-store.js';

/** How one part of the load went. */
interface Load {
  readonly records: number;
  readonly loadingMs: number;
  readonly flushes: number;
  readonly segmentsRecycled: number;
}

const { values } = parseArgs({
  options: { records: { type: 'string', default: String(CITY_COUNT) }, directory: { type: 'string' } },
});
const count = Number(values.records);
if (!Number.isInteger(count) || count < 1 || count > CITY_COUNT) {
  throw new RangeError(`--records must be an integer from 1 to ${CITY_COUNT}, not ${values.records}`);
}
let lastShown = 0;
const directory = values.directory ?? await mkdtemp(path.join(os.tmpdir(), 'segmented-wal-demo-'));
try {
  await main(cityRecords(count));
} finally {
  if (values.directory === undefined) await rm(directory, { recursive: true, force: true });
}

async function main(records: readonly DemoRecord[]): Promise<void> {
  const { load: before, acknowledged } = await loadAndKill(records);
  const wasAcknowledged = records.filter((_, index) => acknowledged.has(index));

  let store = await KeyValueStore.open(directory, STORE_OPTIONS);
  const { recovery } = store.stats();
  await check('acknowledged before the kill', store, wasAcknowledged);
  const found = store.size;
  const after = await finishLoad(store, records);
  await store.checkpoint();
  const segmentsRecycled = store.stats().log.segmentsRecycled;
  await store.close();

  store = await KeyValueStore.open(directory, STORE_OPTIONS);
  await check('in all', store, records);
  await store.close();

  print('', 'until the kill', 'afterwards');
  print('records acknowledged', before.records, after.records);
  print('records found again', '', found);
  print('of them not answered yet', '', found - before.records);
  print('commits/s', perSecond(before), perSecond(after));
  print('flushes', before.flushes, after.flushes);
  print('commits per flush', commitsPerFlush(before), commitsPerFlush(after));
  print('segments recycled', before.segmentsRecycled, segmentsRecycled);
  print('recovery time', '', `${Math.round(recovery.durationMs)} ms`);
  print('entries replayed', '', recovery.entries);
}

/** Starts the load in another process and kills that when half of the records are acknowledged. */
async function loadAndKill(records: readonly DemoRecord[]): Promise<{ load: Load; acknowledged: ReadonlySet<number> }> {
  const acknowledged = new Set<number>();
  let load: Load = { records: 0, loadingMs: 0, flushes: 0, segmentsRecycled: 0 };
  const writer = fork(path.join(import.meta.dirname, 'demo-writer.js'), [directory, String(records.length)]);
  const ended = new Promise<void>((resolve, reject) => {
    writer.on('error', reject);
    // After the last message, which may come after the end of the process.
    writer.on('close', (code, signal) => {
      if (signal === 'SIGKILL' || code === 0) resolve();
      else reject(new Error(`the writer ended by itself: ${signal ?? code}`));
    });
  });
  writer.on('message', (report: WriterReport) => {
    for (const index of report.durable) acknowledged.add(index);
    load = { ...report, records: acknowledged.size };
    showProgress('loading', acknowledged.size, records.length);
    if (acknowledged.size >= records.length / 2) writer.kill('SIGKILL');
  });
  await ended;
  say(`killed the writer when it had acknowledged ${acknowledged.size} of ${records.length} records`);
  return { load, acknowledged };
}

async function finishLoad(store: KeyValueStore, records: readonly DemoRecord[]): Promise<Load> {
  const started = performance.now();
  const found = store.size;
  let written = 0;
  await loadRecords(store, records, () => showProgress('loading', found + ++written, records.length));
  const loadingMs = performance.now() - started;
  const { flushes, segmentsRecycled } = store.stats().log;
  return { records: written, loadingMs, flushes, segmentsRecycled };
}

async function check(which: string, store: KeyValueStore, records: readonly DemoRecord[]): Promise<void> {
  const lost = await findLost(store, records, (checked) => showProgress('checking', checked, records.length));
  say(`${records.length - lost.length} of the ${records.length} records ${which} are there`);
  if (lost.length === 0) return;
  process.exitCode = 1;
  say(`LOST: ${lost.slice(0, 10).join(', ')}${lost.length > 10 ? ', …' : ''}`);
}

/** Draws a progress bar, now and then, if somebody is looking. */
function showProgress(what: string, done: number, total: number): void {
  const now = performance.now();
  if (!process.stdout.isTTY || (now - lastShown < 50 && done < total)) return;
  lastShown = now;
  const width = 40;
  const filled = Math.round((done / total) * width);
  process.stdout.write(`\r${what} ${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${done}/${total} `);
}

/** Prints a line, in place of a progress bar if there is one. */
function say(line: string): void {
  console.log(process.stdout.isTTY ? `\r\u001b[K${line}` : line);
}

function print(name: string, ...columns: (string | number)[]): void {
  const texts = columns.map((column) => (typeof column === 'number' ? column.toLocaleString('en') : column));
  say(`${name.padEnd(22)}${texts.map((text) => text.padStart(16)).join('')}`);
}

function perSecond({ records, loadingMs }: Load): number {
  return Math.round(records / (loadingMs / 1000));
}

function commitsPerFlush({ records, flushes }: Load): string {
  return (records / Math.max(1, flushes)).toFixed(1);
}
