import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DirectorySync } from '../../src/engine/directory/directory-sync.js';
import { MemoryFileManager } from '../../src/index.js';
import { FaultyFileManager, Gate, systemError } from '../tools/faulty-file-manager.js';
import { isSettled } from '../tools/helpers.js';

/** A directory whose first two syncs each wait at a gate. */
async function gatedDirectory(firstFails: boolean) {
  const files = new FaultyFileManager(new MemoryFileManager());
  await files.createDirectory('/directory');
  const gates = [new Gate(), new Gate()];
  const failures: unknown[] = [];
  let syncs = 0;
  files.before = async () => {
    const number = syncs++;
    await gates[number].pass();
    if (firstFails && number === 0) throw systemError('EIO');
  };
  return { directory: new DirectorySync(files, '/directory', (cause) => failures.push(cause)), gates, failures };
}

test('names changed during a sync are taken to be durable with it', async () => {
  const { directory, gates, failures } = await gatedDirectory(false);
  const first = directory.sync();
  // Those that come while a sync runs share the next one.
  const next = Promise.all([directory.sync(), directory.sync()]);
  assert.equal(gates[0].arrivals, 1);
  gates[0].open();
  await first;
  assert.equal(await isSettled(next), false);
  gates[1].open();
  await next;
  assert.equal(gates[1].arrivals, 1);
  assert.deepEqual(failures, []);
});

test('a caller hears of a failed sync before the log does, or takes the next one for failed too', async () => {
  const { directory, gates, failures } = await gatedDirectory(true);
  const failing = directory.sync().catch(() => failures.length);
  const next = directory.sync();
  for (const gate of gates) gate.open();
  assert.equal(await failing, 1);
  await next;
});
