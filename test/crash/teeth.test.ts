import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { MUTATIONS } from '../tools/mutations/index.js';
import { LANES, mutate, Mutant } from '../tools/teeth.js';

const free: Mutant[] = [];
before(async () => {
  for (let i = 0; i < LANES; i++) free.push(await Mutant.create());
});
after(async () => {
  for (const mutant of free) await mutant[Symbol.asyncDispose]();
});

describe('the suite catches a log that is wrong in one place', { concurrency: LANES }, () => {
  for (const mutation of MUTATIONS) {
    test(mutation.name, { skip: mutation.skip }, async (context) => {
      const mutant = free.pop() as Mutant;
      try {
        const { caughtBy, message, states } = await mutant.try(mutation);
        assert.ok(caughtBy !== undefined, `nothing caught it in ${states} crash states. ${message}`);
        context.diagnostic(`seeded bug caught: ${mutation.name}: by ${caughtBy}: ${message.slice(0, 80)}`);
      } finally {
        free.push(mutant);
      }
    });
  }
});

test('the suite finds fault with a copy of the log as it is', async () => {
  const mutant = free.pop() as Mutant;
  try {
    const parts = [
      { kind: 'crashes', workload: 'first commit' },
      { kind: 'test', file: 'unit/rare-faults', test: 'a disk that gives a few bytes at a time is read to its end' },
    ] as const;
    for (const part of parts) {
      const { caughtBy, message } = await mutant.look(part);
      assert.deepEqual([caughtBy, message], [undefined, '']);
    }
  } finally {
    free.push(mutant);
  }
});

test('a bug whose place is not there any more, or there twice, is taken for one that was caught', () => {
  const edit = { file: 'index.ts', find: 'let a;', replace: 'let b;' };
  for (const text of ['let c;', 'let a; let a;', '']) assert.throws(() => mutate(text, edit), /^Error: [02] times in index.ts/);
  assert.equal(mutate('if (x)\n    y();', { ...edit, find: 'if (x) y();', replace: 'z();' }), 'z();');
});
