/** The protocol by which the writers of an archive are kept apart, before anything is built on it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exploreArchive, exploreArchiveRandomly, type Setting } from '../tools/archive-model.js';

const EXHAUSTIVE: Readonly<Record<string, Setting>> = {
  'while one takes over, the other archives and lets go of what is old': {
    writers: [['append', 'append', 'append', 'retain'], ['append']], losses: 0, late: 0, requests: 16,
  },
  'while answers are lost and requests are carried out late': {
    writers: [['append'], ['append']], losses: 1, late: 1, requests: 12,
  },
};

const THREE: Setting = {
  writers: [
    ['append', 'append', 'append', 'retain', 'append'], ['append', 'append', 'retain', 'append'], ['append', 'append', 'retain'],
  ],
  losses: 3, late: 2, requests: 30,
};
const PATHS = 1500;

describe('two writers confirm one entry, or one that is not in a restore', () => {
  for (const [when, setting] of Object.entries(EXHAUSTIVE)) {
    test(when, async (context) => {
      const { states, violation } = await exploreArchive(setting);
      assert.equal(violation, undefined);
      assert.ok(states > 5000, `only ${states} states`);
      context.diagnostic(`${states} states`);
    });
  }
});

test('three writers confirm one entry, or one that is not in a restore, in some order of their requests', async (context) => {
  const { states, violation } = await exploreArchiveRandomly(THREE, 1, PATHS);
  assert.equal(violation, undefined);
  assert.ok(states > 10_000, `only ${states} states`);
  context.diagnostic(`${states} states`);
});
