/** The parsers, fed with damaged and made-up files: `npm test` tries a few of what `fuzz.js` tries by the million. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const FUZZ = fileURLToPath(new URL('../tools/fuzz.js', import.meta.url));
const INPUTS = 20_000;

// In a process of its own: what allocates too much, or loops without end, takes nothing else with it.
test('no bytes make recovery or readAt hang, crash, allocate much, or show what was never committed', async (context) => {
  const fuzz = promisify(execFile)(process.execPath, [FUZZ, '--inputs', String(INPUTS), '--seed', '1'], { timeout: 300_000 });
  const { stdout } = await fuzz.catch((error: { stdout?: string; stderr?: string; signal?: string }) => {
    return assert.fail(`${error.signal ?? ''} ${error.stdout} ${error.stderr}`);
  });
  assert.match(stdout, new RegExp(`^${INPUTS} inputs in .* 0 findings$`, 'm'));
  // Both ways must have been taken often, or the inputs are too crude, or too harmless.
  for (const outcome of ['opened', 'WAL_CORRUPT', 'WAL_UNSUPPORTED_VERSION']) {
    const count = Number(new RegExp(`(\\d+) ${outcome}`).exec(stdout)?.[1] ?? 0);
    assert.ok(count > INPUTS / 500, `only ${count} inputs ${outcome}`);
  }
  context.diagnostic(stdout.trim());
});
