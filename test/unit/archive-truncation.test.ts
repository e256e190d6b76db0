/** What an archive does with a log that is truncated: what it has confirmed is never mixed with what came later. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { ArchiveError } from '../../src/archive/index.js';
import { newLog, openArchive, settled, textsIn } from '../tools/archive-tools.js';
import { entriesIn } from '../tools/archived-entries.js';
import { FaultyStore } from '../tools/faulty-store.js';

const ONE_SEGMENT = { preallocateBytes: 65_536, checkpointAfterBytes: 32_768 };
const AHEAD = { code: 'ARCHIVE_AHEAD' };

test('entries that replace archived ones are confirmed, and what comes after them is archived after the old ones', async () => {
  const log = await newLog({ entries: ['one', 'two', 'three'] });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  await archive.archived(3);
  await archive.close();
  const { archive: next } = await openArchive(log, store);
  await settled();
  const failed = once(next, 'failed');
  await log.truncateAfter(2);
  await log.append('THREE');
  await assert.rejects(next.archived(3), AHEAD);
  await log.append('FOUR');
  await assert.rejects(next.archived(4), AHEAD);
  assert.equal(((await failed) as [ArchiveError])[0].code, AHEAD.code);
  await next.archived(2);
  assert.deepEqual(await textsIn(store), ['1 one', '2 two', '3 three']);
});

test('a truncation is missed between the comparison with the archive and the first entry that is shipped', async () => {
  const log = await newLog({ entries: ['one', 'two', 'three'] });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  await archive.archived(3);
  await archive.close();
  store.before = async ({ operation, key }) => {
    if (operation !== 'create' || !key.startsWith('a/log/')) return;
    store.before = () => undefined;
    await log.truncateAfter(2);
    await log.appendBatch(['THREE', 'FOUR']);
  };
  const { archive: next } = await openArchive(log, store);
  await assert.rejects(next.archived(4), AHEAD);
  await assert.rejects(next.archived(3), AHEAD);
  assert.deepEqual(await textsIn(store), ['1 one', '2 two', '3 three']);
});

test('a truncation is missed while an archive is closed, or an entry that was dropped is still sent', async () => {
  const log = await newLog({ options: ONE_SEGMENT });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { maxBytes: 4096 });
  let answer = (): void => undefined;
  store.before = ({ operation, key }) => {
    return operation === 'create' && key.startsWith('a/log/') ? new Promise<void>((resolve) => (answer = resolve)) : undefined;
  };
  await log.append('one');
  await settled();
  // It fills a slot by itself, and waits for the one before.
  await log.append('2'.repeat(5000));
  await settled();
  await log.truncateAfter(1);
  await log.appendBatch(['TWO', 'THREE']);
  store.before = () => undefined;
  const closing = archive.close();
  answer();
  await closing;
  assert.deepEqual([await textsIn(store), archive.archivedId], [['1 one'], 1]);
  const { archive: next } = await openArchive(log, store);
  await next.archived(3);
  assert.deepEqual(await textsIn(store), ['1 one', '2 TWO', '3 THREE']);
});

test('an entry is confirmed that replaced another one while that was stored', async () => {
  const log = await newLog({ entries: ['one'] });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  await archive.archived(1);
  let answer = (): void => undefined;
  store.before = ({ operation, key }) => {
    return operation === 'create' && key.startsWith('a/log/') ? new Promise<void>((resolve) => (answer = resolve)) : undefined;
  };
  await log.append('two');
  await settled();
  await log.truncateAfter(1);
  const refused = assert.rejects(archive.archived((await log.append('TWO')).id), AHEAD);
  answer();
  await refused;
  assert.deepEqual(await textsIn(store), ['1 one', '2 two']);
  await archive.archived(1);
});

test('an entry that a truncation makes the last of its batch is archived in a batch with the next, or hangs', async () => {
  const log = await newLog({ options: ONE_SEGMENT });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store, { maxBytes: 4096 });
  let answer = (): void => undefined;
  store.before = ({ key }) => {
    return key.startsWith('a/runs/') ? new Promise<void>((resolve) => (answer = resolve)) : undefined;
  };
  await log.appendBatch(['1'.repeat(5000), 'two', 'three']);
  await settled();
  await log.truncateAfter(1);
  await log.append('alone');
  store.before = () => undefined;
  answer();
  await assert.rejects(archive.archived(1), AHEAD);
  await archive.close();
  const { archive: next } = await openArchive(log, store);
  await next.archived(2);
  const entries = await entriesIn(store, 'a');
  assert.deepEqual(entries.map(({ id, endsBatch }) => [id, endsBatch]), [[1, true], [2, true]]);
});

test('an archive goes on although entries before its last one, which is equal, have been replaced', async () => {
  const log = await newLog({ entries: ['one', 'two', 'tick'] });
  const store = new FaultyStore();
  const { archive } = await openArchive(log, store);
  await archive.archived(3);
  await log.truncateAfter(1);
  await log.append('TWO');
  await log.append('tick');
  await archive.close();
  await assert.rejects(openArchive(log, store), { code: 'ARCHIVE_DIVERGED' });
});

test('a log keeps entries for an archive that it could not take over', async () => {
  const store = new FaultyStore();
  const { archive } = await openArchive(await newLog({ entries: ['one'] }), store);
  await archive.archived(1);
  const log = await newLog({ entries: ['another'] });
  await assert.rejects(openArchive(log, store), { code: 'ARCHIVE_DIVERGED' });
  assert.equal(log.existingHold('archive a'), undefined);
});
