/** Reading an archive: what is there comes out, once, in order, and what is not there is an error. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ArchiveReader, type ArchivedEntriesOptions } from '../../src/archive/archive-reader.js';
import type { ArchivedEntry } from '../../src/archive/archived-entry.js';
import { ArchiveError, type ArchiveErrorCode } from '../../src/archive/errors.js';
import type { ObjectStore } from '../../src/archive/object-store.js';
import { slotKey } from '../../src/archive/slot-format.js';
import { ArchiveFixture, LOG_ID, PREFIX } from '../tools/archive-fixture.js';
import { isSettled, turns } from '../tools/helpers.js';

const open = (archive: ArchiveFixture, store: ObjectStore = archive.store): Promise<ArchiveReader> => {
  return ArchiveReader.open(store, { prefix: PREFIX });
};

async function read(reader: ArchiveReader, options: ArchivedEntriesOptions = {}): Promise<string[]> {
  const entries: string[] = [];
  for await (const entry of reader.entries(options)) {
    const chunks = (await entry.readAllChunks()).map((chunk) => Buffer.from(chunk).toString());
    entries.push(`${entry.id}${entry.endsBatch ? '' : '+'} ${chunks.join('|')}`);
  }
  return entries;
}

function isCode(code: ArchiveErrorCode): (error: unknown) => boolean {
  return (error) => error instanceof ArchiveError && error.code === code;
}

/** Seven entries of two writers in three slots, with two ids that were passed over. */
async function fill(archive: ArchiveFixture): Promise<string[]> {
  archive.time = 1000;
  await archive.open('one');
  await archive.append([[['a', 'b']], [['c'], []]]);
  archive.time = 2000;
  await archive.append([[['d'.repeat(100)]]], 2);
  await archive.open('two');
  archive.time = 3000;
  await archive.append([[['e']], [['f'], ['g']]]);
  return ['1 a|b', '2+ c', '3 ', `6 ${'d'.repeat(100)}`, '7 e', '8+ f', '9 g'];
}

const FORMS: Readonly<Record<string, (archive: ArchiveFixture) => void>> = {
  'in their slots': () => undefined,
  'in parts': (archive) => (archive.partBytes = 7),
  'compressed': (archive) => (archive.compress = 'gzip'),
  'in compressed parts': (archive) => {
    archive.partBytes = 30;
    archive.compress = 'gzip';
  },
};

describe('entries of an archive are lost or changed', () => {
  for (const [form, choose] of Object.entries(FORMS)) {
    for (const merges of [0, 1, 2]) {
      test(`${form}, merged ${merges} times`, async () => {
        const archive = new ArchiveFixture();
        choose(archive);
        const expected = await fill(archive);
        if (merges > 0) await archive.merge();
        await archive.append([[['h']]]);
        if (merges > 1) await archive.merge();
        await archive.append([[['i']]]);
        expected.push('10 h', '11 i');
        const reader = await open(archive);
        assert.deepEqual(await read(reader), expected);
        for (let from = 1; from <= 12; from++) {
          const later = expected.filter((entry) => parseInt(entry, 10) >= from);
          assert.deepEqual(await read(reader, { from }), later, `from ${from}`);
          assert.deepEqual(await read(reader, { to: from }), expected.filter((entry) => parseInt(entry, 10) <= from), `to ${from}`);
        }
        const report = await reader.verify();
        assert.deepEqual({ entries: report.entries, problems: report.problems }, { entries: 9, problems: [] });
      });
    }
  }
});

test('a reader tells something else of an archive than there is', async () => {
  const archive = new ArchiveFixture();
  await fill(archive);
  archive.time = 4000;
  await archive.snapshot(3, 'the state up to 3');
  const reader = await open(archive);
  assert.equal(reader.logId, LOG_ID);
  assert.deepEqual(reader.range, { firstId: 1, lastId: 9, time: new Date(4000) });
  const epochs = reader.epochs.map(({ epoch, firstId, time, writer }) => [epoch, firstId, time.getTime(), writer]);
  assert.deepEqual(epochs, [[1, 1, 1000, 'one'], [2, 7, 2000, 'two']]);
  const [snapshot] = reader.snapshots;
  assert.deepEqual([snapshot.lastId, snapshot.time.getTime()], [3, 4000]);
  const pieces: Uint8Array[] = [];
  for await (const piece of snapshot) pieces.push(piece);
  assert.equal(Buffer.concat(pieces).toString(), 'the state up to 3');
});

test('epochs are forgotten once their slots have been merged', async () => {
  const archive = new ArchiveFixture();
  for (let i = 1; i <= 5; i++) {
    await archive.open(`writer ${i}`);
    for (let k = 0; k < i; k++) await archive.append([[[`${i}`]]]);
    if (i === 3) await archive.merge();
  }
  const { epochs } = await open(archive);
  assert.deepEqual(epochs.map(({ epoch, writer }) => `${writer} ${epoch}`), [1, 2, 3, 4, 5].map((i) => `writer ${i} ${i}`));
});

test('entries that were archived after a moment are read up to it', async () => {
  const archive = new ArchiveFixture();
  const expected = await fill(archive);
  const reader = await open(archive);
  assert.deepEqual(await read(reader, { to: new Date(999) }), []);
  assert.deepEqual(await read(reader, { to: new Date(1999) }), expected.slice(0, 3));
  assert.deepEqual(await read(reader, { to: new Date(2000) }), expected.slice(0, 4));
  assert.deepEqual(await read(reader, { to: new Date(3000) }), expected);
});

test('an archive that is not there is an empty one', async () => {
  await assert.rejects(open(new ArchiveFixture()), isCode('ARCHIVE_NOT_FOUND'));
});

test('an archive without entries cannot be read', async () => {
  const archive = new ArchiveFixture(undefined, 5);
  await archive.open('one');
  const reader = await open(archive);
  assert.deepEqual([reader.range.firstId, reader.range.lastId], [5, 4]);
  assert.deepEqual(await read(reader), []);
  assert.deepEqual((await reader.verify()).problems, []);
});

test('what cannot be in the archive is asked for, and there is nothing to hear', async () => {
  const archive = new ArchiveFixture(undefined, 5);
  await fill(archive);
  const reader = await open(archive);
  assert.throws(() => reader.entries({ from: 4 }), isCode('ARCHIVE_GONE'));
  assert.throws(() => reader.entries({ from: 15 }), RangeError);
  assert.throws(() => reader.entries({ from: '5' as never }), TypeError);
  assert.throws(() => reader.entries({ to: -1 }), RangeError);
  await assert.rejects(ArchiveReader.open(archive.store, { prefix: '' }), TypeError);
});

describe('a reader stands still, leaves entries out or has them twice while the archive is written', () => {
  /** A store that does something before it answers a request for a key. */
  function interrupted(store: ObjectStore, before: (key: string) => Promise<void>): ObjectStore {
    return {
      create: (...parameters) => store.create(...parameters),
      list: (...parameters) => store.list(...parameters),
      delete: (...parameters) => store.delete(...parameters),
      async get(key, options) {
        await before(key);
        return store.get(key, options);
      },
    };
  }

  for (let at = 1; at <= 7; at++) {
    test(`slots are merged before slot ${at} is read`, async () => {
      const archive = new ArchiveFixture();
      const expected = await fill(archive);
      await archive.append([[['h']]]);
      let isArmed = false;
      const store = interrupted(archive.store, async (key) => {
        if (!isArmed || key !== slotKey(PREFIX, at)) return;
        isArmed = false;
        await archive.merge();
        await archive.append([[['i']]]);
      });
      const reader = await open(archive, store);
      isArmed = true;
      const found = await read(reader);
      assert.deepEqual(found.slice(0, 8), [...expected, '10 h']);
    });
  }

  test('what it reads next is deleted', async () => {
    const archive = new ArchiveFixture();
    await fill(archive);
    await archive.merge();
    await archive.append([[['h']]]);
    const reader = await open(archive);
    await archive.snapshot(9, 'state');
    await assert.rejects(read(reader), isCode('ARCHIVE_GONE'));
    await assert.rejects(read(reader, { from: 5 }), isCode('ARCHIVE_GONE'));
    assert.deepEqual(await read(reader, { from: 10 }), ['10 h']);
    assert.deepEqual((await open(archive)).range.firstId, 10);
  });

  test('a part of what it reads is deleted', async () => {
    const archive = new ArchiveFixture();
    archive.partBytes = 10;
    await fill(archive);
    await archive.merge();
    await archive.append([[['h']]]);
    const reader = await open(archive);
    const entries = reader.entries();
    await entries.next();
    await archive.snapshot(9, 'state');
    await assert.rejects(async () => {
      for await (const _ of entries) continue;
    }, isCode('ARCHIVE_GONE'));
  });
});

{
  const find = async (archive: ArchiveFixture): Promise<string[]> => {
    const { problems } = await (await open(archive)).verify();
    return problems.map(({ code, slot }) => `${code} ${slot ?? ''}`.trim());
  };

  test('damage is not seen, or taken for something else: a slot is missing', async () => {
    const archive = new ArchiveFixture();
    await fill(archive);
    await archive.store.delete([slotKey(PREFIX, 3)], archive.at);
    await assert.rejects(read(await open(archive)), isCode('ARCHIVE_GAP'));
    assert.deepEqual(await find(archive), ['ARCHIVE_GAP 3']);
    const { entries } = await (await open(archive)).verify();
    assert.equal(entries, 6, 'what comes after it is read');
  });

  test('damage is not seen, or taken for something else: a slot is another', async () => {
    const archive = new ArchiveFixture();
    await fill(archive);
    await archive.replace(slotKey(PREFIX, 2), (bytes) => Buffer.concat([bytes.subarray(0, -2), Buffer.of(0x7f), bytes.subarray(-1)]));
    await assert.rejects(read(await open(archive)), isCode('ARCHIVE_CORRUPT'));
    assert.deepEqual(await find(archive), ['ARCHIVE_CORRUPT 2']);
  });

  test('damage is not seen, or taken for something else: a slot is whole, but of another archive', async () => {
    const [archive, other] = [new ArchiveFixture(), new ArchiveFixture()];
    await fill(archive);
    other.time = 1;
    await other.open('one');
    await other.append([[['x', 'y']], [['z'], []]]);
    const foreign = await other.store.get(slotKey(PREFIX, 2), other.at);
    await archive.replace(slotKey(PREFIX, 2), () => foreign ?? assert.fail());
    await assert.rejects(read(await open(archive)), isCode('ARCHIVE_CORRUPT'));
    assert.deepEqual(await find(archive), ['ARCHIVE_CORRUPT 2', 'ARCHIVE_CORRUPT 3'].slice(0, 1));
  });

  test('damage is not seen, or taken for something else: a run or a part is missing, or another', async () => {
    for (const change of ['missing', 'shorter', 'another'] as const) {
      for (const partBytes of [undefined, 10]) {
        const archive = new ArchiveFixture();
        archive.partBytes = partBytes;
        await fill(archive);
        if (partBytes === undefined) await archive.merge();
        await archive.append([[['h']]]);
        // The eighth part is in the middle of a chunk, whose bytes nothing else covers.
        const keys = (await archive.keys()).filter((each) => each.startsWith(`${PREFIX}/runs/`));
        const key = keys.at(partBytes === undefined ? 0 : 7) ?? assert.fail();
        if (change === 'missing') await archive.store.delete([key], archive.at);
        else await archive.replace(key, (bytes) => (change === 'shorter' ? bytes.subarray(1) : bytes.fill(0x55, 3, 5)));
        const code = change === 'missing' ? 'ARCHIVE_GAP' : 'ARCHIVE_CORRUPT';
        await assert.rejects(read(await open(archive)), isCode(code), `${change} ${partBytes}`);
        const problems = await find(archive);
        assert.ok(problems.length === 1 && problems[0].startsWith(code), `${change} ${partBytes}: ${problems.join()}`);
      }
    }
  });

  test('damage is not seen, or taken for something else: a snapshot is another', async () => {
    const archive = new ArchiveFixture();
    await fill(archive);
    await archive.snapshot(3, 'the state up to 3', false);
    const key = (await archive.keys()).find((each) => each.startsWith(`${PREFIX}/snapshots/`)) ?? assert.fail();
    await archive.replace(key, (bytes) => bytes.fill(0, 3, 5));
    assert.deepEqual(await find(archive), ['ARCHIVE_CORRUPT']);
  });
}

{
  const idOf = ({ value }: IteratorResult<ArchivedEntry, unknown>): number => (value as ArchivedEntry).id;

  /** Timers that a test ends. */
  class Timers {
    pending: (() => void)[] = [];
    callAfter(ms: number, callback: () => void): () => void {
      // Timeouts of requests are left alone.
      if (ms !== 30_000) this.pending.push(callback);
      return () => (this.pending = this.pending.filter((each) => each !== callback));
    }

    async fire(): Promise<void> {
      await turns();
      for (const callback of this.pending.splice(0)) callback();
      await turns();
    }
  }

  test('a standby does not see what is archived later, or what has been merged since it looked', async () => {
    const [archive, timers] = [new ArchiveFixture(), new Timers()];
    const expected = await fill(archive);
    const reader = await ArchiveReader.openWith(timers, archive.store, { prefix: PREFIX });
    const aborter = new AbortController();
    const entries = reader.entries({ follow: true, signal: aborter.signal });
    const seen: number[] = [];
    for (let i = 0; i < expected.length; i++) seen.push(idOf(await entries.next()));
    assert.deepEqual(seen, [1, 2, 3, 6, 7, 8, 9]);
    const next = entries.next();
    assert.equal(await isSettled(next), false);
    await archive.append([[['h']]]);
    await timers.fire();
    assert.equal(idOf(await next), 10);
    const after = entries.next();
    assert.equal(await isSettled(after), false);
    // Written and merged between two looks: its name never appears.
    await archive.open('three');
    await archive.append([[['i']]]);
    await archive.merge();
    for (let waitedMs = 0; waitedMs < 31_000; waitedMs += 1000) await timers.fire();
    assert.equal(idOf(await after), 11);
    const last = entries.next();
    aborter.abort(new Error('enough'));
    await assert.rejects(last, /enough/);
  });

  test('a standby misses what was deleted while it was away, without a word', async () => {
    const [archive, timers] = [new ArchiveFixture(), new Timers()];
    await fill(archive);
    const reader = await ArchiveReader.openWith(timers, archive.store, { prefix: PREFIX });
    const entries = reader.entries({ from: 10, follow: true });
    const next = entries.next();
    await turns();
    await archive.append([[['h']]]);
    await archive.merge();
    await archive.snapshot(10, 'state');
    const outcome = assert.rejects(next, isCode('ARCHIVE_GONE'));
    for (let waitedMs = 0; waitedMs < 31_000; waitedMs += 1000) await timers.fire();
    await outcome;
  });
}

test('a restore asks for one object after the other', async () => {
  const archive = new ArchiveFixture();
  await archive.open('one');
  for (let i = 0; i < 60; i++) await archive.append([[[`${i}`]]]);
  const reader = await open(archive);
  let [now, most] = [0, 0];
  const { store } = archive;
  const get = store.get.bind(store);
  store.get = async (...parameters) => {
    most = Math.max(most, ++now);
    await turns(2);
    now--;
    return get(...parameters);
  };
  assert.equal((await read(reader)).length, 60);
  assert.ok(most >= 12 && most <= 16, `${most} requests at once`);
});

test('a store that does not answer holds a reader for ever', async () => {
  const archive = new ArchiveFixture();
  await fill(archive);
  const timers = { callAfter: (_ms: number, callback: () => void) => {
    const immediate = setImmediate(callback);
    return () => clearImmediate(immediate);
  } };
  let requests = 0;
  archive.store.list = async function* () {
    requests++;
    yield await new Promise<string>(() => undefined);
  };
  await assert.rejects(ArchiveReader.openWith(timers, archive.store, { prefix: PREFIX }), /no answer within/);
  assert.ok(requests > 1 && requests < 20, `${requests} requests`);
});
