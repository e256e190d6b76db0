import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lifecycle } from '../../src/engine/directory/lifecycle.js';
import { LogDirectory } from '../../src/engine/directory/log-directory.js';
import { MemoryFileManager } from '../../src/index.js';
import { FaultyFileManager, Gate, systemError } from '../tools/faulty-file-manager.js';
import { isSettled } from '../tools/helpers.js';

/** A directory whose first two syncs each wait at a gate. */
async function gatedDirectory(firstFails: boolean) {
  const files = new FaultyFileManager(new MemoryFileManager());
  await files.createDirectory('/directory');
  const gates = [new Gate(), new Gate()];
  const lifecycle = new Lifecycle();
  let syncs = 0;
  files.before = async ({ operation }) => {
    if (operation !== 'syncDirectory') return;
    const number = syncs++;
    await gates[number].pass();
    if (firstFails && number === 0) throw systemError('EIO');
  };
  return { directory: new LogDirectory(files, '/directory', lifecycle), lifecycle, gates };
}

test('names changed during a sync are taken to be durable with it', async () => {
  const { directory, lifecycle, gates } = await gatedDirectory(false);
  const first = directory.sync();
  // Callers that come while a sync runs share the next one.
  const next = Promise.all([directory.sync(), directory.sync()]);
  assert.equal(gates[0].arrivals, 1);
  gates[0].open();
  await first;
  assert.equal(await isSettled(next), false);
  gates[1].open();
  await next;
  assert.equal(gates[1].arrivals, 1);
  assert.equal(lifecycle.phase, 'opening');
});

test('a caller hears of a failed sync before the log has failed', async () => {
  const { directory, lifecycle, gates } = await gatedDirectory(true);
  const failing = directory.sync().catch(() => lifecycle.phase);
  gates[0].open();
  assert.equal(await failing, 'failed');
});

test('a sync that waits for one that fails is tried on its own, and says that the names are durable', async () => {
  const { directory, gates } = await gatedDirectory(true);
  const failing = assert.rejects(directory.sync(), { code: 'EIO' });
  const waiting = assert.rejects(directory.sync(), { code: 'WAL_FAILED' });
  for (const gate of gates) gate.open();
  await Promise.all([failing, waiting]);
  await assert.rejects(directory.sync(), { code: 'WAL_FAILED' });
  assert.equal(gates[1].arrivals, 0);
});

test('a sync that is under way when the log fails says that the names are durable', async () => {
  const { directory, lifecycle, gates } = await gatedDirectory(false);
  const running = assert.rejects(directory.sync(), { code: 'WAL_FAILED' });
  lifecycle.fail(new Error('something else has failed'));
  gates[0].open();
  await running;
});

test('a directory whose lock has been lost unnoticed is changed once more', async () => {
  const { directory, lifecycle } = await gatedDirectory(false);
  let isHeld = true;
  lifecycle.locked({ isHeld: () => isHeld, release: async () => {} });
  await directory.use('a', { access: 'create' }, (file) => directory.write(file, [Buffer.from('mine')], 0));
  isHeld = false;
  const names = await directory.use('a', { access: 'read' }, (file) => file.size());
  assert.equal(names, 4);
  for (const change of [
    () => directory.rename('a', 'b'),
    () => directory.remove('a'),
    () => directory.removeIfThere('a'),
    () => directory.open('c', { access: 'create' }),
    () => directory.use('a', { access: 'write' }, async () => {}),
    () => directory.use('a', { access: 'read' }, (file) => directory.write(file, [Buffer.from('late')], 0)),
    () => directory.sync(),
  ]) await assert.rejects(change, { code: 'WAL_FAILED' }, String(change));
});
