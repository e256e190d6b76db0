/** The level of the examples under `crashTest`: puts, batches, deletions and `clear`, its log and its snapshot. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { WalLevel } from '../../examples/level.js';
import type { FileManager } from '../../src/index.js';
import { crashTest } from '../support/crash-test.js';

/** So small that every few changes fill a segment. */
const SMALL = { preallocateBytes: 4096, checkpointAfterBytes: 400, bufferBytes: 4096, maxPendingBytes: 8192 };

async function open(fileManager: FileManager, directory: string): Promise<WalLevel> {
  const level = new WalLevel(directory, { log: { ...SMALL, fileManager } });
  await level.open();
  return level;
}

/** Each change leaves the level as no other does. */
function change(level: WalLevel, number: number): Promise<void> {
  const value = `value ${number}`.padEnd(60, '.');
  if (number % 5 === 3) return level.put('d', value);
  if (number % 5 === 4) return level.clear({ gte: 'a', lt: 'c' });
  return level.batch([
    { type: 'put', key: `a${number % 5}`, value }, { type: 'put', key: `b${number % 5}`, value: '' },
    { type: 'put', key: `c${number % 5}`, value }, { type: 'del', key: 'd' },
  ]);
}

/** What the first `count` changes make of an empty level. */
function contentAfter(count: number): Map<string, string> {
  const content = new Map<string, string>();
  for (let number = 0; number < count; number++) {
    const value = `value ${number}`.padEnd(60, '.');
    if (number % 5 === 3) content.set('d', value);
    else if (number % 5 === 4) for (const key of content.keys()) if (key < 'c') content.delete(key);
    if (number % 5 > 2) continue;
    content.set(`a${number % 5}`, value).set(`b${number % 5}`, '').set(`c${number % 5}`, value).delete('d');
  }
  return content;
}

test('a level loses a change when it crashes, makes one up, or has a part of a batch or of a clear', async (context) => {
  const { moments, states } = await crashTest<WalLevel>({
    open,
    change,
    async count(level, begun) {
      const content = new Map(await level.iterator().all());
      for (let count = begun; count >= 0; count--) if (isDeepStrictEqual(content, contentAfter(count))) return count;
      return assert.fail(`no changes leave ${JSON.stringify([...content])}`);
    },
  }, { changes: 11, seeds: [0, 3], choicesPerMoment: 4 });
  assert.ok(states > 500, `only ${states} states`);
  context.diagnostic(`${states} crash states from ${moments} moments`);
});
