/** Topics, crashed at every call of their log and of their own files. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutItsWaiters } from '../../src/base/keep-alive.js';
import { crashTopics, faultTopics } from '../tools/topics-crashes.js';

for (const seed of [0, 2, 3, 5]) {
  test(`topics lose, make up or repeat something when they crash (seed ${seed})`, async (context) => {
    const { moments, states } = await withoutItsWaiters(() => crashTopics(seed, 6, 3));
    assert.ok(states > 200, `only ${states} states`);
    context.diagnostic(`${states} states from ${moments} moments`);
  });
}

for (const seed of [0, 3]) {
  test(`topics lose, make up or repeat something, or hang, after an error of the disk (seed ${seed})`, async (context) => {
    const { runs, refused } = await withoutItsWaiters(() => faultTopics(seed, 5, (run) => run % 2 === 0));
    assert.ok(runs > 100 && refused > 50, `only ${runs} runs, in which ${refused} calls were refused`);
    context.diagnostic(`${runs} runs, ${refused} refused`);
  });
}
