import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crashArchive } from '../tools/archive-crashes.js';

const SEEDS = 10;
const PROCESSES = 8;

for (let seed = 0; seed < SEEDS; seed++) {
  test(`what was confirmed is not in the archive after processes have died at any request (seed ${seed})`, async () => {
    const { confirmed } = await crashArchive(seed, PROCESSES);
    assert.ok(confirmed >= 20, `only ${confirmed} entries were confirmed`);
  });
}
