/** Entries far larger than the memory they may take. `node dist/test/tools/large-entry-2gib.js` does the same with 2 GiB. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('a streamed chunk of 256 MiB is written and recovered within 100 MiB of memory', { timeout: 300_000 }, () => {
  const script = fileURLToPath(new URL('../tools/large-entry-2gib.js', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, '256'], { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(stdout, /memory grew by \d+ MiB/);
});
