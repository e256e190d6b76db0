/**
 * Exceptions on an entry's way from the line to its acknowledgement, at every call: everyone who waits is answered, and
 * what was acknowledged is there. Either one request alone is refused, or the log fails with what was thrown.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Waiters } from '../../src/base/waiters.js';
import { Checkpointer } from '../../src/engine/checkpoint/checkpointer.js';
import { Acknowledgements } from '../../src/engine/flush/acknowledgements.js';
import { DurableMark } from '../../src/engine/flush/durable-mark.js';
import { FlushStats } from '../../src/engine/flush/flush-stats.js';
import { FlushWriter } from '../../src/engine/flush/flush-writer.js';
import { Flusher } from '../../src/engine/flush/flusher.js';
import { SyncTimer } from '../../src/engine/flush/sync-timer.js';
import { BatchAppend, CallingEntryAppend, EntryAppend } from '../../src/engine/write/append.js';
import { EntryBegin } from '../../src/engine/write/entry-begin.js';
import { Line } from '../../src/engine/write/line.js';
import { OpenEntry } from '../../src/engine/write/open-entry.js';
import { Rotation } from '../../src/engine/write/rotation.js';
import { WriteQueue } from '../../src/engine/write/write-queue.js';
import { MemoryFileManager, type WalError, type WriteAheadLog } from '../../src/index.js';
import { BlockPool } from '../../src/segment/block-pool.js';
import { Commits } from '../../src/segment/commits.js';
import { EncodedBytes } from '../../src/segment/encoded-bytes.js';
import { SegmentEncoder } from '../../src/segment/segment-encoder.js';
import { SegmentLife } from '../../src/segment/segment-life.js';
import { inMemory, RecordingManager, Storage, turns, type SeenEntry } from '../tools/helpers.js';
import { methodsOf, ThrowingCall } from '../tools/throwing-call.js';

const CLASSES = [
  Acknowledgements, BatchAppend, BlockPool, CallingEntryAppend, Checkpointer, Commits, DurableMark, EncodedBytes,
  EntryAppend, EntryBegin, Flusher, FlushStats, FlushWriter, Line, OpenEntry, Rotation, SegmentEncoder, SegmentLife,
  SyncTimer, Waiters, WriteQueue,
];
/** A call that refuses one caller, and throws, leaves that one without an answer: there is nothing that could give it. */
const REFUSALS = ['refuse', 'failed', 'reject'];

/** What a flush has taken is with the flusher when this has returned: nothing comes between that could throw. */
const WITHOUT_AFTER = ['take'];

/** What was asked for, and what came of it. */
interface Asked {
  readonly what: string;
  /** What is in the log if it succeeded. */
  readonly texts: readonly string[];
  outcome: 'waiting' | 'done' | WalError;
}

/** Asks the log for all there is, at once and with pauses. */
async function useAll(log: WriteAheadLog): Promise<Asked[]> {
  const all: Asked[] = [];
  const ask = (what: string, call: () => Promise<unknown>, ...texts: string[]): void => {
    const asked: Asked = { what, texts, outcome: 'waiting' };
    // A call may throw rather than reject.
    (async () => call())().then(() => (asked.outcome = 'done'), (error: WalError) => (asked.outcome = error));
    all.push(asked);
  };
  const inPieces = async (piece: string, isKept: boolean): Promise<void> => {
    const writer = await log.beginEntry({ signal: new AbortController().signal });
    await writer.writeChunk(piece);
    if (isKept) await writer.commit();
    else await writer.rollback();
  };
  for (const round of [1, 2]) {
    ask('append', () => log.append(`append ${round}`), `append ${round}`);
    ask('append, onCommitted', () => log.append(`calls ${round}`, { onCommitted: () => undefined }), `calls ${round}`);
    ask('a batch', () => log.appendBatch([`batch ${round}`, `and ${round}`], { durable: false }), `batch ${round}`, `and ${round}`);
    ask('beginEntry', () => inPieces(`pieces ${round}`, true), `pieces ${round}`);
    ask('rollback', () => inPieces(`never ${round}`, false));
    ask('sync', () => log.sync());
    ask('waitForDurable', () => log.waitForDurable(log.durableId + 1));
    const large = `large ${round}`;
    ask('a segment full', () => log.append(large.padEnd(2500)), large);
    ask('checkpointActive', () => log.checkpointActive());
    if (round === 1) await turns(8);
  }
  return all;
}

function textOf({ chunks: [chunk] }: SeenEntry): string {
  return chunk.trimEnd();
}

/** Uses a log in which the call throws. Returns how many calls there were. */
async function tryCall(prototype: object, name: string, at: number, isAfter: boolean): Promise<number> {
  const storage = new Storage(new MemoryFileManager(), '/wal');
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  await log.append('before');
  using call = new ThrowingCall(prototype, name, at, isAfter);
  call.isArmed = true;
  const all = await useAll(log);
  await turns(60);
  call.isArmed = false;
  let isShutDown = false;
  void log.shutdown().then(() => (isShutDown = true));
  await turns(60);
  const hanging = all.filter(({ outcome }) => outcome === 'waiting').map(({ what }) => what);
  assert.deepEqual(hanging, [], 'waits for ever');
  assert.ok(isShutDown, 'shutdown waits for ever');
  for (const { outcome } of all) {
    if (typeof outcome === 'object' && outcome.code === 'WAL_FAILED') assert.equal(outcome.cause, call.error);
  }
  const recovered = (await new Storage(storage.fileManager, '/wal').contents()).map(textOf);
  const found = [...manager.checkpoints.flatMap(({ entries }) => entries.map(textOf)), ...recovered];
  const acknowledged = ['before', ...all.flatMap(({ outcome, texts }) => (outcome === 'done' ? texts : []))];
  assert.deepEqual(acknowledged.filter((entry) => !found.includes(entry)), [], 'was acknowledged and is gone');
  assert.equal(new Set(recovered).size, recovered.length, 'nothing is there twice');
  const known = new Set(['before', ...all.flatMap(({ texts }) => texts)]);
  assert.deepEqual(found.filter((entry) => !known.has(entry)), [], 'was never committed');
  return call.calls;
}

for (const { name: className, prototype } of CLASSES as { name: string; prototype: object }[]) {
  test(`an exception in a call of ${className} lets somebody wait for ever, or an acknowledged entry be lost`, async () => {
    for (const name of methodsOf(prototype)) {
      if (REFUSALS.includes(name)) continue;
      const calls = await tryCall(prototype, name, 0, false);
      for (const at of new Set([1, 2, Math.ceil(calls / 2), calls])) {
        if (at === 0 || at > calls) continue;
        for (const isAfter of WITHOUT_AFTER.includes(name) ? [false] : [false, true]) {
          await tryCall(prototype, name, at, isAfter).catch((error: Error) => {
            error.message = `${className}.${name}, call ${at} of ${calls}, ${isAfter ? 'after' : 'before'}: ${error.message}`;
            throw error;
          });
        }
      }
    }
  });
}

test('a waiter that throws keeps the others of its flush from hearing', () => {
  const heard: string[] = [];
  const commits = new Commits(0, 0);
  for (const name of ['one', 'two', 'three']) {
    const committed = (): void => {
      if (name === 'two') throw new Error(name);
      heard.push(name);
    };
    commits.add({ committed, failed: (error) => heard.push(`failed: ${(error as Error).message}`) }, true);
  }
  assert.throws(() => commits.acknowledge(), /two/);
  assert.deepEqual(heard, ['one', 'failed: two', 'three']);
});

test('an append where no stack is left takes other entries with it, or lets them wait for ever', async () => {
  const child = path.join(import.meta.dirname, '../tools/deep-child.js');
  const { stdout } = await promisify(execFile)(process.execPath, [child]);
  const { acknowledged, found } = JSON.parse(stdout) as Record<'acknowledged' | 'found', string[]>;
  assert.deepEqual(acknowledged.filter((entry) => !found.includes(entry)), []);
  assert.ok(acknowledged.includes('deep 49'), 'in the end there was stack enough');
});

for (const throws of ['sync', 'isHeld'] as const) {
  inMemory(`a FileManager of one's own whose ${throws} throws lets callers wait for ever`, async (base) => {
    const { storage, faulty } = base.withFaults();
    const log = await storage.open({ options: { sync: 'manual' } });
    await log.append('before');
    faulty.throws = throws;
    const before = Promise.allSettled([log.sync(), log.waitForDurable(1)]);
    await turns(1);
    const after = Promise.allSettled([log.append('one', { durable: true }), log.checkpointActive()]);
    for (const outcome of [...await before, ...await after]) {
      assert.equal(outcome.status === 'rejected' && (outcome.reason as WalError).code, 'WAL_FAILED');
    }
    // Also while it throws.
    await log.shutdown();
    faulty.throws = undefined;
    assert.deepEqual((await storage.contents()).map(textOf).slice(0, 1), ['before']);
  });
}
