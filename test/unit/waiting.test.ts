/** Promises that wait for the log: what they keep alive, and what many of them cost. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import type { WriteAheadLog } from '../../src/index.js';
import { Line } from '../../src/engine/write/line.js';
import { inMemory, withTemporaryDirectory } from '../tools/helpers.js';

const CHILD = path.join(import.meta.dirname, '../tools/waiting-child.js');

for (const way of ['waitForDurable', 'follow', 'abort a follower', 'abort a wait'] as const) {
  test(`a program that awaits nothing but the log ends before it is answered (${way})`, { timeout: 60_000 }, async () => {
    await withTemporaryDirectory(async (directory) => {
      const { status, stdout } = spawnSync(process.execPath, [CHILD, way, directory], { encoding: 'utf8' });
      assert.deepEqual({ status, stdout }, { status: 0, stdout: 'answered\n' });
    });
  });
}

test('a program that awaits nothing any more is kept alive by an idle log', { timeout: 60_000 }, async () => {
  await withTemporaryDirectory(async (directory) => {
    const { status, stdout, signal } = spawnSync(
      process.execPath, [CHILD, 'idle', directory], { encoding: 'utf8', timeout: 30_000 },
    );
    assert.deepEqual({ status, stdout, signal }, { status: 0, stdout: 'answered\n', signal: null });
  });
});

type Wait = (log: WriteAheadLog, signal: AbortSignal) => Promise<unknown>;
const WAITS: Record<string, Wait> = {
  waitForDurable: (log, signal) => log.waitForDurable(1000, { signal }),
  beginEntry: (log, signal) => log.beginEntry({ signal }),
  'entries that follow': (log, signal) => log.entries({ follow: true, signal }).next(),
};

for (const [name, wait] of Object.entries(WAITS)) {
  inMemory(`many waits on one signal add a listener each, or print a warning (${name})`, async (storage) => {
    const log = await storage.open();
    const writer = await log.beginEntry();
    const warnings: Error[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning);
    process.on('warning', onWarning);
    const controller = new AbortController();
    let added = 0;
    const add = controller.signal.addEventListener.bind(controller.signal);
    controller.signal.addEventListener = (...args: Parameters<typeof add>) => {
      added++;
      add(...args);
    };
    const waits = Array.from({ length: 50 }, () => wait(log, controller.signal));
    const settled = Promise.allSettled(waits);
    controller.abort(new Error('enough'));
    for (const { status } of await settled) assert.equal(status, 'rejected');
    process.off('warning', onWarning);
    assert.deepEqual({ added, warnings }, { added: 1, warnings: [] });
    await writer.rollback();
  });

  // Each of very many followers has a block in memory, which takes the time.
  if (name.includes('follow')) continue;
  inMemory(`aborting many waits together takes time with the square of their number (${name})`, async (storage) => {
    const log = await storage.open();
    const writer = await log.beginEntry();
    const abortMany = async (count: number): Promise<number> => {
      const controller = new AbortController();
      const settled = Promise.allSettled(Array.from({ length: count }, () => wait(log, controller.signal)));
      await new Promise((resolve) => setImmediate(resolve));
      const before = process.cpuUsage();
      controller.abort(new Error('enough'));
      await settled;
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    await abortMany(1000);
    const few = await abortMany(250);
    // Eighty times as many: a square takes thousands of times as long.
    const many = await abortMany(20_000);
    assert.ok(many < 600 * Math.max(few, 200), `${few} µs for 250, ${many} µs for 20,000`);
    await writer.rollback();
    assert.equal(log.stats().waitingWriters, 0);
  });
}

inMemory('a wait that was answered, or aborted alone, is called when its signal is aborted later', async (storage) => {
  const log = await storage.open();
  const controller = new AbortController();
  const { signal } = controller;
  const answered = log.waitForDurable(1, { signal });
  const unanswered = log.waitForDurable(2, { signal });
  await log.append('one');
  await answered;
  controller.abort(new Error('enough'));
  await assert.rejects(unanswered, /enough/);
  await assert.rejects(log.waitForDurable(2, { signal }), /enough/);
});

test('a line forgets the order of its items, or serves one that has left', () => {
  const line = new Line<{ readonly n: number }>();
  const items = Array.from({ length: 5000 }, (_, n) => ({ n }));
  for (const item of items) line.push(item);
  for (const item of items) if (item.n % 3 === 0) line.remove(item);
  assert.equal(line.size, 3333);
  const served: number[] = [];
  for (let item = line.first; item !== undefined && served.length < 2000; item = line.first) {
    served.push(item.n);
    line.shift();
  }
  for (const item of line.clear()) served.push(item.n);
  assert.deepEqual(served, items.map(({ n }) => n).filter((n) => n % 3 !== 0));
  assert.deepEqual([line.size, line.first], [0, undefined]);
  line.push(items[0]);
  line.remove(items[0]);
  assert.deepEqual([line.size, line.first], [0, undefined]);
  line.push(items[1]);
  assert.deepEqual([line.size, line.first], [1, items[1]]);
});
