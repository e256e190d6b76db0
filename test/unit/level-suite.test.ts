/** The level of the examples under the test suite that abstract-level publishes for its databases. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import suite from 'abstract-level/test/index.js';
import tape, { type Row } from 'tape';
import { WalLevel, type WalLevelOptions } from '../../examples/level.js';
import { MemoryFileManager, type WalOptions } from '../../src/index.js';

const LOG: WalOptions = { preallocateBytes: 16 * 1024, bufferBytes: 4096 };

/** Checkpoints every write before it says that it is done: what is read then has been written, saved and freed. */
class CheckpointingLevel extends WalLevel {
  override async _put(...args: Parameters<WalLevel['_put']>): Promise<void> {
    await super._put(...args);
    await this.log.checkpoint();
  }

  override async _del(...args: Parameters<WalLevel['_del']>): Promise<void> {
    await super._del(...args);
    await this.log.checkpoint();
  }

  override async _batch(...args: Parameters<WalLevel['_batch']>): Promise<void> {
    await super._batch(...args);
    await this.log.checkpoint();
  }

  override async _clear(...args: Parameters<WalLevel['_clear']>): Promise<void> {
    await super._clear(...args);
    await this.log.checkpoint();
  }
}

/** The parts that write most. */
const WRITING = [
  'put', 'del', 'put-get-del', 'batch', 'chained-batch', 'clear', 'clear-range', 'iterator-snapshot',
  'iterator-explicit-snapshot',
];

type Options = Parameters<typeof suite>[0];

type LevelClass = new (location: string, options: WalLevelOptions<string, string>) => WalLevel;

interface Outcome {
  readonly passed: number;
  readonly failed: readonly Row[];
  readonly snapshots: number;
}

/** Carries out what `define` defines, each test with levels of its own. */
async function run(Level: LevelClass, define: (options: Options) => void): Promise<Outcome> {
  const harness = tape.createHarness();
  let passed = 0;
  let snapshots = 0;
  const failed: Row[] = [];
  const rows = harness.createStream({ objectMode: true });
  rows.on('data', (row: Row) => {
    if (row.type !== 'assert') return;
    if (row.ok === true) passed++;
    else failed.push(row);
  });
  class CountingFileManager extends MemoryFileManager {
    override rename(from: string, to: string): Promise<void> {
      if (to.endsWith('/snapshot')) snapshots++;
      return super.rename(from, to);
    }
  }
  define({
    test: harness,
    factory: (options: WalLevelOptions<string, string> = {}) => {
      return new Level('/level', { ...options, log: { ...LOG, fileManager: new CountingFileManager() } });
    },
  });
  await once(rows, 'end');
  return { passed, failed, snapshots };
}

test('a level does something else than abstract-level expects of every database', async (context) => {
  const { passed, failed } = await run(WalLevel, suite);
  assert.deepEqual(failed, []);
  assert.ok(passed >= 5132, `only ${passed} assertions`);
  context.diagnostic(`${passed} assertions`);
});

test('a level does something else than that when everything is checkpointed as soon as it is written', async (context) => {
  const parts = await Promise.all(WRITING.map((part) => import(`abstract-level/test/${part}-test.js`) as Promise<Part>));
  const { passed, failed, snapshots } = await run(CheckpointingLevel, (options) => {
    const common = suite.common(options);
    for (const part of parts) part.default.all(options.test, common);
  });
  assert.deepEqual(failed, []);
  assert.ok(passed > 500, `only ${passed} assertions`);
  assert.ok(snapshots > 100, `only ${snapshots} snapshots were written`);
  context.diagnostic(`${passed} assertions, ${snapshots} snapshots`);
});

interface Part {
  readonly default: { all(this: void, test: unknown, common: unknown): void };
}
