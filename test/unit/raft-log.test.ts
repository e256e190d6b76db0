/** The Raft log store of the examples: what Raft expects of its store, and what crashes may leave of it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LogNotFoundError, RaftLog, type RaftEntry } from '../../examples/raft-log.js';
import { forEachFileManager, inMemory, isSettled, SMALL, text, turns, withTemporaryDirectory, type Storage } from '../tools/helpers.js';
import { range } from '../tools/iterating.js';
import * as killed from '../tools/killed-raft-child.js';
import { crashTest } from '../support/index.js';
import { Random } from '../support/random.js';

function raftEntry(index: number, term = 1, data = `entry ${index} of term ${term}`.padEnd(200, '.')): RaftEntry {
  return { index, term, type: index % 3, data: Buffer.from(data) };
}

function open({ fileManager, directory }: Storage): Promise<RaftLog> {
  return RaftLog.open(directory, { ...SMALL, fileManager });
}

async function assertHolds(raft: RaftLog, entries: readonly RaftEntry[]): Promise<void> {
  assert.equal(raft.firstIndex, entries[0]?.index ?? 0);
  assert.equal(raft.lastIndex, entries.at(-1)?.index ?? 0);
  for (const entry of entries) {
    const { data, ...rest } = await raft.getLog(entry.index);
    assert.deepEqual({ ...rest, data: text(data) }, { ...entry, data: text(entry.data) });
  }
  for (const index of [0, raft.firstIndex - 1, raft.lastIndex + 1]) {
    await assert.rejects(raft.getLog(index), LogNotFoundError, `index ${index}`);
  }
}

/** Checks `raft`, what a kill at this moment would leave, and what is there after closing and opening. */
async function assertKeeps(storage: Storage, raft: RaftLog, entries: readonly RaftEntry[]): Promise<RaftLog> {
  await assertHolds(raft, entries);
  const killed = await open(await storage.crash());
  await assertHolds(killed, entries);
  await killed.close();
  await raft.close();
  const again = await open(storage);
  await assertHolds(again, entries);
  return again;
}

forEachFileManager('an empty log has the first and last index 0, and no entry', async (storage) => {
  const raft = await assertKeeps(storage, await open(storage), []);
  await raft.deleteRange(1, 100);
  await raft.storeLogs([]);
  await assertHolds(raft, []);
  await raft.close();
});

forEachFileManager('an entry that was stored is read back as it was, one at a time and many at once', async (storage) => {
  const raft = await open(storage);
  await raft.storeLog(raftEntry(1));
  await raft.storeLogs([raftEntry(2), raftEntry(3, 2), { ...raftEntry(4), data: new Uint8Array() }]);
  const entries = [raftEntry(1), raftEntry(2), raftEntry(3, 2), { ...raftEntry(4), data: new Uint8Array() }];
  await (await assertKeeps(storage, raft, entries)).close();
});

forEachFileManager('a prefix is deleted for good, in a segment or over many, and its segments are used again', async (storage) => {
  let raft = await open(storage);
  const entries = range(1, 60).map((index) => raftEntry(index));
  for (const entry of entries) await raft.storeLog(entry);
  const segments = (await storage.liveNames()).length;
  for (const max of [1, 2, 40]) {
    await raft.deleteRange(raft.firstIndex, max);
    raft = await assertKeeps(storage, raft, entries.slice(max));
  }
  assert.ok((await storage.liveNames()).length < segments);
  await raft.close();
});

forEachFileManager('a suffix that the leader contradicts is deleted for good, and others take its place', async (storage) => {
  let raft = await open(storage);
  await raft.storeLogs(range(1, 30).map((index) => raftEntry(index)));
  for (const index of range(31, 40)) await raft.storeLog(raftEntry(index));
  await raft.deleteRange(5, 10_000);
  raft = await assertKeeps(storage, raft, range(1, 4).map((index) => raftEntry(index)));
  await raft.storeLogs(range(5, 12).map((index) => raftEntry(index, 2)));
  const entries = [...range(1, 4).map((index) => raftEntry(index)), ...range(5, 12).map((index) => raftEntry(index, 2))];
  await (await assertKeeps(storage, raft, entries)).close();
});

forEachFileManager('a suffix can be deleted behind a prefix without bringing that back', async (storage) => {
  let raft = await open(storage);
  await raft.storeLogs(range(1, 10).map((index) => raftEntry(index)));
  await raft.deleteRange(1, 3);
  await raft.storeLog(raftEntry(11));
  await raft.deleteRange(5, 11);
  raft = await assertKeeps(storage, raft, [raftEntry(4)]);
  await raft.deleteRange(4, 4);
  raft = await assertKeeps(storage, raft, []);
  await raft.storeLog(raftEntry(5, 2));
  await (await assertKeeps(storage, raft, [raftEntry(5, 2)])).close();
});

forEachFileManager('the index may jump when a snapshot was installed', async (storage) => {
  let raft = await open(storage);
  await raft.storeLogs(range(1, 8).map((index) => raftEntry(index)));
  await raft.deleteRange(1, 8);
  await raft.storeLogs([raftEntry(1000, 7), raftEntry(1001, 7)]);
  raft = await assertKeeps(storage, raft, [raftEntry(1000, 7), raftEntry(1001, 7)]);
  await raft.storeLog(raftEntry(2000, 8));
  await assert.rejects(raft.getLog(1500), LogNotFoundError);
  await raft.deleteRange(1, 1500);
  await (await assertKeeps(storage, raft, [raftEntry(2000, 8)])).close();
});

inMemory('entries that are not behind the last, or deleted in the middle, are refused and change nothing', async (storage) => {
  const raft = await open(storage);
  const entries = range(1, 5).map((index) => raftEntry(index));
  await raft.storeLogs(entries);
  await assert.rejects(raft.storeLog(raftEntry(5, 2)), RangeError);
  await assert.rejects(raft.storeLogs([raftEntry(6), raftEntry(6)]), RangeError);
  await assert.rejects(raft.deleteRange(2, 4), RangeError);
  await raft.deleteRange(4, 3);
  await raft.deleteRange(6, 9);
  await (await assertKeeps(storage, raft, entries)).close();
});

inMemory('closing does not wait for segments that are kept, and gives none of them up', async (storage) => {
  const raft = await open(storage);
  const entries = range(1, 40).map((index) => raftEntry(index));
  for (const entry of entries) await raft.storeLog(entry);
  await turns();
  await raft.close();
  const again = await open(storage);
  await assertHolds(again, entries);
  await again.close();
});

inMemory('an entry can be read while those behind it are stored and deleted', async (storage) => {
  const raft = await open(storage);
  await raft.storeLogs(range(1, 20).map((index) => raftEntry(index)));
  const reading = Promise.all(range(1, 20).map((index) => raft.getLog(index).catch((error: Error) => error)));
  await raft.deleteRange(11, 20);
  await raft.storeLogs(range(11, 20).map((index) => raftEntry(index, 2)));
  for (const [i, entry] of (await reading).entries()) {
    if (entry instanceof Error) assert.ok(i >= 10 && entry instanceof LogNotFoundError, String(entry));
    else assert.equal(text(entry.data), text(raftEntry(i + 1).data));
  }
  assert.equal(await isSettled(raft.close()), true);
});

/** What the leader contradicts in every change: it is to be gone, or to be told from what was committed. */
const CONTRADICTED = 1;
const COMMITTED = 2;

inMemory('no crash loses an entry, brings back one that was deleted, or leaves part of a batch', async () => {
  const { states } = await crashTest<RaftLog>({
    open: (fileManager, directory) => RaftLog.open(directory, { ...SMALL, checkpointAfterBytes: 700, fileManager }),
    async change(raft, number) {
      const index = number + 1;
      await raft.deleteRange(0, index - 3);
      if (raft.lastIndex >= index) await raft.deleteRange(index, raft.lastIndex);
      await raft.storeLogs([raftEntry(index, COMMITTED), raftEntry(index + 1, CONTRADICTED), raftEntry(index + 2, CONTRADICTED)]);
    },
    async count(raft) {
      const entries: RaftEntry[] = [];
      for (const index of range(Math.max(1, raft.firstIndex), raft.lastIndex)) entries.push(await raft.getLog(index));
      const committed = entries.filter(({ term }) => term === COMMITTED);
      assert.deepEqual(entries.map(({ term }) => term), entries.map((_, i) => (i < committed.length ? COMMITTED : CONTRADICTED)));
      for (const entry of entries) assert.equal(text(entry.data), text(raftEntry(entry.index, entry.term).data));
      assert.ok(entries.length === committed.length || entries.length === committed.length + 2, 'a batch is whole');
      const count = committed.at(-1)?.index ?? 0;
      assert.ok(count < 3 || raft.firstIndex >= count - 2, 'what was deleted is gone');
      return count;
    },
  }, { changes: 5, seeds: [0, 3], choicesPerMoment: 3 });
  assert.ok(states > 300, `${states} states`);
});

const CHILD = fileURLToPath(new URL('../tools/killed-raft-child.js', import.meta.url));

/** Kills a process that changes the log in `directory` after it has said `lines` lines. Resolves with these and more. */
async function killAfter(lines: number, directory: string): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const said: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (said.push(line) === lines) child.kill('SIGKILL');
  });
  const [, signal] = await closed as [unknown, string];
  assert.equal(signal, 'SIGKILL');
  return said;
}

test('an entry is lost, comes back or is a part of a batch after the process was killed, in one of 25 times', async () => {
  await withTemporaryDirectory(async (directory) => {
    const random = new Random(7);
    let freed = 0;
    for (let kill = 0; kill < 25; kill++) {
      const said = (await killAfter(random.between(1, 25), directory)).map((line) => line.split(' '));
      freed = Number(said.findLast(([what]) => what === 'freed')?.[1] ?? freed);
      const [what, index] = said.findLast(([what]) => what !== 'freed') as [string, string];
      const stored = Number(index) - (what === 'contradicted' ? killed.CONTRADICTED : 0);

      const raft = await killed.openRaft(directory);
      const added = raft.lastIndex - stored;
      const possible = what === 'contradicted' ? [0, killed.CONTRADICTED] : [0, killed.CONTRADICTED, killed.BATCH];
      assert.ok(possible.includes(added), `${added} entries after ${what} ${index}`);
      assert.ok(raft.firstIndex >= freed, `${raft.firstIndex} was freed: ${freed}`);
      for (const each of range(Math.max(1, raft.firstIndex), raft.lastIndex)) {
        const type = each > stored && added === killed.CONTRADICTED ? 1 : 0;
        const { data, ...rest } = await raft.getLog(each);
        const expected = killed.raftEntry(each, type);
        assert.deepEqual({ ...rest, data: text(data) }, { ...expected, data: text(expected.data) });
      }
      await raft.close();
    }
    assert.ok(freed > 100, `only ${freed} entries were freed`);
  });
});
