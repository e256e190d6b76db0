/** Logs of several segments, and managers that want some of them. */
import assert from 'node:assert/strict';
import { WriteAheadLog, type Recovery } from '../../src/index.js';
import { entryOfPredecessor, segmentOfPredecessor } from '../support/predecessor.js';
import { fillSegment, type Storage } from './helpers.js';
import { KeepingManager } from './iterating.js';

/** `r` for each segment that is to be recovered, `a` for each that is to be abandoned, oldest first. */
export type Choice = string;

/** Abandons and recovers segments as it is told, and takes no checkpoint. */
export class ChoosingManager extends KeepingManager {
  constructor(choice: Choice) {
    super();
    this.onSegment = (): Recovery => (choice[this.segments.length - 1] === 'a' ? 'abandon' : 'recover');
  }
}

/** The ids of a log, segment by segment. */
export type Layout = readonly (readonly number[])[];

/** A log of four segments. */
export async function inFormat1(storage: Storage): Promise<Layout> {
  const log = await storage.open({ manager: new KeepingManager() });
  const ids: number[] = [];
  for (let i = 0; i < 3; i++) ids.push(...await fillSegment(log));
  ids.push((await log.append('last')).id);
  await log.shutdown();
  return layoutOf(storage, ids);
}

async function layoutOf(storage: Storage, ids: readonly number[]): Promise<Layout> {
  const { fileManager, directory } = storage;
  const reader = await WriteAheadLog.openReadOnly(directory, { fileManager });
  const layout = new Map(reader.segments.map(({ segmentId }): [number, number[]] => [segmentId, []]));
  for await (const { id, segment } of reader.entries()) layout.get(segment.segmentId)?.push(id);
  await reader.close();
  assert.deepEqual([...layout.values()].flat(), ids);
  return [...layout.values()];
}

/** The same as the predecessor leaves it. */
export async function inFormat0(storage: Storage): Promise<Layout> {
  const layout = [[1, 2], [3], [4, 5], [6]];
  for (const ids of layout) {
    const entries = ids.map((id) => entryOfPredecessor(id, Buffer.from(`${id}`)));
    await storage.put(`wal-${ids[0]}`, segmentOfPredecessor(entries));
  }
  return layout;
}

export const FORMATS = { 1: inFormat1, 0: inFormat0 };
