/** The protocol by which the writers of an archive are kept apart: every order of their requests, up to a bound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ARCHIVE_SETTINGS, exploreArchive, exploreArchiveRandomly, THREE_WRITERS } from '../tools/archive-model.js';

/** More is tried by `npm run test:soak`. */
const RANDOM_PATHS = 100;

for (const [when, { setting, states: expected }] of Object.entries(ARCHIVE_SETTINGS)) {
  test(`two writers confirm one entry, or one that is not in a restore, ${when}`, async (context) => {
    const { states, violation } = await exploreArchive(setting);
    assert.equal(violation, undefined);
    assert.ok(states >= expected, `only ${states} states`);
    context.diagnostic(`${states} states`);
  });
}

test('three writers confirm one entry, or one that is not in a restore, in some order of their requests', async (context) => {
  const { states, violation } = await exploreArchiveRandomly(THREE_WRITERS, 1, RANDOM_PATHS);
  assert.equal(violation, undefined);
  assert.ok(states > 5000, `only ${states} states`);
  context.diagnostic(`${states} states`);
});
