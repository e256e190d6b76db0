/** What tests read out of a log that is open. */
import assert from 'node:assert/strict';
import type { EntriesOptions, Entry, WriteAheadLog } from '../../src/index.js';
import { RecordingManager, text, type SeenEntry } from './helpers.js';

/** Takes no checkpoint: what is in the log stays there, and nobody waits for it at a shutdown. */
export class KeepingManager extends RecordingManager {
  override onCheckpoint = (): void => {
    throw new Error('this manager keeps everything in the log');
  };
}

export async function seen(entry: Entry): Promise<SeenEntry> {
  return { id: entry.id, chunks: (await entry.readAllChunks()).map(text) };
}

/** Every entry that an iteration comes to. */
export async function readEntries(log: WriteAheadLog, options?: EntriesOptions): Promise<SeenEntry[]> {
  const entries: SeenEntry[] = [];
  for await (const entry of log.entries(options)) entries.push(await seen(entry));
  return entries;
}

export async function readIds(log: WriteAheadLog, options?: EntriesOptions): Promise<number[]> {
  const ids: number[] = [];
  for await (const entry of log.entries(options)) ids.push(entry.id);
  return ids;
}

/** The next entry of an iteration, which goes on afterwards; undefined at its end. */
export async function nextEntry(iterator: AsyncIterator<Entry, undefined>): Promise<Entry | undefined> {
  return (await iterator.next()).value;
}

/** The next `count` entries of an iteration, which goes on afterwards. */
export async function takeEntries(iterator: AsyncIterator<Entry, undefined>, count: number): Promise<SeenEntry[]> {
  const entries: SeenEntry[] = [];
  while (entries.length < count) {
    const entry = await nextEntry(iterator);
    assert.ok(entry !== undefined, `the iteration ended after ${entries.length} of ${count} entries`);
    entries.push(await seen(entry));
  }
  return entries;
}

export async function takeIds(iterator: AsyncIterator<Entry, undefined>, count: number): Promise<number[]> {
  return (await takeEntries(iterator, count)).map(({ id }) => id);
}

export function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
}
