/** That the system is asked to sync. No test here can take the power away, so none would miss it otherwise. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import fsPromises, { mkdtemp } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { NodeFileManager } from '../../src/index.js';

const SYNC = process.platform === 'darwin' ? 'fsync' : 'fdatasync';

async function newDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'segmented-wal-sync-'));
  t.after(() => fs.rmSync(directory, { recursive: true }));
  return directory;
}

test('a file is said to be synced although the system was not asked', async (t) => {
  const file = await new NodeFileManager().open(path.join(await newDirectory(t), 'file'), { access: 'create' });
  const sync = t.mock.method(fs, SYNC);
  const blocking = t.mock.method(fs, `${SYNC}Sync`);
  await file.write([Buffer.from('bytes')], 0);
  assert.equal(sync.mock.callCount() + blocking.mock.callCount(), 0);
  await file.sync();
  assert.equal(sync.mock.callCount(), 1);
  file.syncBlocking?.();
  assert.equal(blocking.mock.callCount(), 1);
  await file.close();
});

test('a directory is said to be synced although the system was not asked', {
  skip: process.platform === 'win32' && 'a directory cannot be synced there',
}, async (t) => {
  const directory = await newDirectory(t);
  const handle = await fsPromises.open(directory);
  await handle.close();
  const sync = t.mock.method(Object.getPrototypeOf(handle) as typeof handle, 'sync');
  await new NodeFileManager().syncDirectory(directory);
  assert.equal(sync.mock.callCount(), 1);
});
