/** The failover that is shown as an example. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ROOT } from '../tools/example-project.js';

const run = promisify(execFile);

for (const [what, words] of [['killed', []], ['frozen', ['--freeze']]] as const) {
  const skip = what === 'frozen' && process.platform === 'win32' && 'a process cannot be frozen there';
  test(`a machine that was ${what} takes an order with it that was confirmed, or confirms one later`, { skip }, async () => {
    const { stdout } = await run(process.execPath, [path.join(ROOT, 'dist/examples/failover.js'), '--orders', '40', ...words]);
    assert.match(stdout, /B has restored \d+ orders and taken over after \d+ ms, as epoch 2/);
    assert.match(stdout, /lost of the \d+ that were confirmed: 0\n/);
    assert.match(stdout, /is refused: ARCHIVE_\w+; it has confirmed 0 orders/);
  });
}
