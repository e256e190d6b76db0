import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { SqliteTable } from '../../examples/sqlite-table.js';
import type { WriteBehind, WriteBehindOptions } from '../../examples/write-behind.js';
import { LogVoid, WriteAheadLog } from '../../src/index.js';
import { withTemporaryDirectory } from '../tools/helpers.js';
import { KilledEngineRounds } from '../tools/killed-engine-rounds.js';
import { Random } from '../support/random.js';

/** So small that a few values fill a segment. */
const OPTIONS: WriteBehindOptions = {
  preallocateBytes: 4096, checkpointAfterBytes: 600, bufferBytes: 4096, maxPendingBytes: 8192,
};
/** Checkpoints only what it is told to. */
const ROOMY: WriteBehindOptions = { ...OPTIONS, checkpointAfterBytes: 4000 };

async function open(directory: string, options = OPTIONS): Promise<WriteBehind> {
  const { WriteBehind } = await import('../../examples/write-behind.js');
  return WriteBehind.open(directory, options);
}

async function openTable(directory: string): Promise<SqliteTable> {
  const { SqliteTable } = await import('../../examples/sqlite-table.js');
  return new SqliteTable(path.join(directory, 'table.sqlite'));
}

function contentOf(store: { keys(): string[]; get(key: string): string | undefined }): Record<string, string | undefined> {
  return Object.fromEntries(store.keys().sort().map((key) => [key, store.get(key)]));
}

async function checkpoint({ log }: WriteBehind): Promise<void> {
  await log.checkpointActive();
  while (log.stats().segmentsToCheckpoint > 0) await once(log, 'checkpoint');
}

describe('a write-behind store', { skip: await whyNotLoaded() }, () => {
  test('reads what a Map would hold, whether SQLite has it yet or not, and when it is opened again', async () => {
    await withTemporaryDirectory(async (directory) => {
      const random = new Random(1);
      const model = new Map<string, string>();
      let store = await open(directory);
      for (let i = 0; i < 300; i++) {
        const key = random.pick(['', 'a', 'b', 'c', 'ключ', '🔑', 'a\0b', '__proto__']);
        if (random.oneIn(3)) {
          await store.delete(key);
          model.delete(key);
        } else {
          await store.set(key, `value ${i}`);
          model.set(key, `value ${i}`);
        }
        if (random.oneIn(60)) await checkpoint(store);
        if (random.oneIn(60)) {
          await store.close();
          store = await open(directory);
        }
        assert.deepEqual(store.keys().sort(), [...model.keys()].sort());
        for (const [key, value] of model) assert.equal(store.get(key), value);
      }
      await store.close();
    });
  });

  test('keeps the last of many concurrent changes of one key', async () => {
    await withTemporaryDirectory(async (directory) => {
      // Room for all of them in one segment: the large one takes another way there, and is heard of last.
      const store = await open(directory, { ...OPTIONS, preallocateBytes: 64 * 1024, checkpointAfterBytes: 60 * 1024 });
      const values = Array.from({ length: 60 }, (_, i) => (i === 40 ? 'y'.repeat(10_000) : `value ${i}`));
      await Promise.all(values.map((value) => store.set('key', value)));
      assert.equal(store.get('key'), 'value 59');
      await checkpoint(store);
      assert.equal(store.pending, 0);
      assert.equal(store.get('key'), 'value 59');
      await store.close();
    });
  });

  test('gives SQLite a segment whole, with the id of its last entry, and nothing of the next one', async () => {
    await withTemporaryDirectory(async (directory) => {
      const store = await open(directory, ROOMY);
      await store.set('a', 'a1');
      await store.set('b', 'b1');
      await checkpoint(store);
      await store.delete('a');
      await store.set('c', 'c1');
      assert.deepEqual(contentOf(store), { b: 'b1', c: 'c1' });
      assert.equal(store.pending, 2);
      await store.close();
      const table = await openTable(directory);
      assert.equal(table.lastId, 2);
      assert.deepEqual(contentOf(table), { a: 'a1', b: 'b1' });
      table.close();
    });
  });

  test('changes nothing when SQLite is handed a segment that it has, although a key has been changed since', async () => {
    await withTemporaryDirectory(async (directory) => {
      const table = await openTable(path.join(directory));
      table.apply(7, new Map([['key', 'of entry 7']]));
      table.apply(9, new Map([['key', undefined], ['other', 'of entry 9']]));
      table.apply(7, new Map([['key', 'of entry 7']]));
      assert.equal(table.lastId, 9);
      assert.deepEqual(contentOf(table), { other: 'of entry 9' });
      table.close();
    });
  });

  test('skips what SQLite has when a crash came between its commit and the end of the checkpoint', async () => {
    await withTemporaryDirectory(async (directory) => {
      let store = await open(directory, ROOMY);
      await store.set('a', 'a1');
      await store.set('a', 'a2');
      await store.close();
      // As the checkpoint would have left it, but the log knows nothing of that.
      const table = await openTable(directory);
      table.apply(2, new Map([['a', 'a2']]));
      table.close();
      store = await open(directory, ROOMY);
      assert.equal(store.log.recovery.entries, 0);
      assert.equal(store.pending, 0);
      await store.set('a', 'a3');
      await checkpoint(store);
      assert.deepEqual(contentOf(store), { a: 'a3' });
      await store.close();
    });
  });

  test('loses nothing it has acknowledged and makes nothing up, whenever it is killed', async () => {
    await withTemporaryDirectory(async (directory) => {
      const rounds = new KilledEngineRounds('write-behind', directory, new Random(2));
      for (let round = 0; round < 6; round++) await rounds.run();
      assert.ok(rounds.checkpoints > 0);
    });
  });

  test('refuses a damaged log, and leaves it as it is', async () => {
    await withTemporaryDirectory(async (directory) => {
      const store = await open(directory);
      await store.set('a', 'a1');
      await store.set('b', 'b1');
      await store.close();
      const [name] = fs.readdirSync(directory).filter((name) => /^wal-\d+$/.test(name));
      const file = path.join(directory, name);
      const bytes = fs.readFileSync(file);
      bytes[100] ^= 0x10;
      fs.writeFileSync(file, bytes);
      for (let i = 0; i < 2; i++) await assert.rejects(open(directory), { code: 'WAL_CORRUPT' });
      bytes[100] ^= 0x10;
      fs.writeFileSync(file, bytes);
      const reopened = await open(directory);
      assert.deepEqual(contentOf(reopened), { a: 'a1', b: 'b1' });
      await reopened.close();
    });
  });

  for (const isEmpty of [true, false]) {
    test(`refuses a file that is no database, and gives its directory back (${isEmpty ? 'no' : 'one'} entry)`, async () => {
      await withTemporaryDirectory(async (directory) => {
        const store = await open(directory);
        if (!isEmpty) await store.set('a', 'a1');
        await store.close();
        const file = path.join(directory, 'table.sqlite');
        fs.rmSync(`${file}-wal`, { force: true });
        fs.writeFileSync(file, 'not a database, however long one reads in it'.repeat(20));
        for (let i = 0; i < 2; i++) await assert.rejects(open(directory), /file is not a database/);
        fs.rmSync(file);
        const reopened = await open(directory);
        assert.deepEqual(contentOf(reopened), isEmpty ? {} : { a: 'a1' });
        await reopened.close();
      });
    });
  }

  test('refuses a second opening, the log of something else, and any change once it is closed', async () => {
    await withTemporaryDirectory(async (directory) => {
      const store = await open(path.join(directory, 'store'));
      await assert.rejects(open(path.join(directory, 'store')), { code: 'WAL_LOCKED' });
      await store.close();
      await store.close();
      await assert.rejects(store.set('a', 'a1'), { code: 'WAL_CLOSED' });

      const log = await WriteAheadLog.recover(path.join(directory, 'other'), LogVoid, OPTIONS);
      await log.append('not a key and a value');
      await log.shutdown();
      const message = /not the log of a write-behind store/;
      await assert.rejects(open(path.join(directory, 'other')), { code: 'WAL_LOG_MANAGER_FAILED', message });
    });
  });

  test('refuses a key or a value that would not come back as it was', async () => {
    await withTemporaryDirectory(async (directory) => {
      const store = await open(directory);
      await assert.rejects(store.set('\ud800', 'half a character'), TypeError);
      await assert.rejects(store.set('key', '\udc00'), TypeError);
      await assert.rejects(store.set(7 as unknown as string, 'a number'), TypeError);
      await assert.rejects(store.delete(undefined as unknown as string), TypeError);
      assert.equal(store.log.stats().commits, 0);
      await store.close();
    });
  });
});

/** SQLite is compiled when it is installed, unless there is a binary for this system. */
async function whyNotLoaded(): Promise<string | false> {
  try {
    const { openDurably } = await import('../../examples/sqlite-table.js');
    openDurably(':memory:').close();
    return false;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return `better-sqlite3 comes with npm ci --prefix bench: ${reason}`;
  }
}
