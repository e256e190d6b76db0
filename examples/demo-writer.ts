/**
 * The process that the demo kills: node demo-writer.js DIRECTORY RECORDS
 *
 * Loads records into the store and tells its parent about each one that is durable, and no sooner.
 */
import { cityRecords, loadRecords, STORE_OPTIONS } from './demo-data.js';
import { KeyValueStore } from './key-value-store.js';

/** What the writer tells its parent. */
export interface WriterReport {
  /** Which records have become durable since the last report. */
  readonly durable: readonly number[];
  readonly loadingMs: number;
  readonly flushes: number;
  readonly segmentsRecycled: number;
}

const [directory, count] = process.argv.slice(2);
const records = cityRecords(Number(count));
const store = await KeyValueStore.open(directory, STORE_OPTIONS);
const started = performance.now();
let durable: number[] = [];

await loadRecords(store, records, (index) => {
  durable.push(index);
  // The records of one flush become durable at once: one message tells of all of them.
  if (durable.length === 1) setImmediate(report);
});
report();
await store.close();
process.disconnect();

function report(): void {
  const { flushes, segmentsRecycled } = store.stats().log;
  const message: WriterReport = { durable, loadingMs: performance.now() - started, flushes, segmentsRecycled };
  durable = [];
  process.send?.(message);
}
