import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { findLost } from '../../examples/demo-data.js';
import { KeyValueStore } from '../../examples/key-value-store.js';
import { MemoryFileManager } from '../../src/index.js';
import { ROOT } from '../tools/example-project.js';

const run = promisify(execFile);
const DEMO = path.join(ROOT, 'dist/examples/demo.js');
/** Runs a command on a terminal. */
const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0;

test('the demo kills a writer in mid-load, and finds every record it had acknowledged', async () => {
  const { stdout } = await run(process.execPath, [DEMO, '--records', '2000']);
  const acknowledged = Number(/killed the writer when it had acknowledged (\d+) of 2000 records/.exec(stdout)?.[1]);
  assert.ok(acknowledged >= 1000, stdout);
  const found = `${acknowledged} of the ${acknowledged} records acknowledged before the kill are there`;
  assert.ok(stdout.includes(found), stdout);
  assert.match(stdout, /2000 of the 2000 records in all are there/);
  assert.match(stdout, /commits per flush +\d+\.\d +\d+\.\d/);
});

test('the demo draws a progress bar on a terminal', { skip: hasScript ? false : 'no `script` command' }, async () => {
  const { stdout } = await run('script', ['-qec', `"${process.execPath}" "${DEMO}" --records 300`, '/dev/null']);
  assert.match(stdout, /loading █+░* \d+\/300/);
  assert.match(stdout, /checking █{40} 300\/300/);
});

test('the demo does not overlook a record that is missing, or one with other bytes', async () => {
  const store = await KeyValueStore.open('/store', { fileManager: new MemoryFileManager() });
  await store.set('good', 'value');
  await store.set('damaged', 'valve');
  const records = ['good', 'damaged', 'missing'].map((key) => ({ key, value: 'value' }));
  assert.deepEqual((await findLost(store, records)).sort(), ['damaged', 'missing']);
});
