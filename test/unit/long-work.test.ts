/** Writing very much at once: the event loop turns meanwhile. Turns are counted, for their length depends on the machine. */
import assert from 'node:assert/strict';
import type { WalOptions } from '../../src/index.js';
import { forEachFileManager, HoardingManager, inMemory } from '../tools/helpers.js';
import { TurnMeter } from '../tools/turn-meter.js';

const COUNT = 20_000;
/** A turn takes some thousand entries. */
const LEAST_TURNS = COUNT / 2000;
/** No segment gets full: its checkpoint would never end, and neither would a shutdown. */
const HUGE: WalOptions = {
  preallocateBytes: 64 * 1024 * 1024, checkpointAfterBytes: 48 * 1024 * 1024,
  bufferBytes: 1024 * 1024, maxPendingBytes: 256 * 1024 * 1024,
};
const words = Array.from({ length: COUNT }, (_, i) => `word ${i}`);

forEachFileManager('a batch of very many entries holds the event loop', async (storage) => {
  const log = await storage.open({ manager: new HoardingManager(), options: HUGE });
  using meter = new TurnMeter();
  const batch = log.appendBatch(words);
  const next = log.append('next');
  const entries = await batch;
  assert.equal(words[0], 'word 0', 'the list is still its caller\'s');
  assert.ok(meter.turns >= LEAST_TURNS, `${meter.turns} turns`);
  assert.deepEqual(entries.map(({ id }) => id), words.map((_, i) => i + 1));
  assert.equal((await next).id, COUNT + 1);
  await log.shutdown();
  const chunks = (await storage.contents(HUGE)).map((entry) => entry.chunks[0]);
  assert.deepEqual(chunks, [...words, 'next']);
});

forEachFileManager('an entry of very many chunks holds the event loop', async (storage) => {
  const log = await storage.open({ manager: new HoardingManager(), options: HUGE });
  using meter = new TurnMeter();
  const { chunks } = await log.append(words);
  assert.ok(meter.turns >= LEAST_TURNS, `${meter.turns} turns`);
  assert.deepEqual(chunks.map(({ length }) => length), words.map(({ length }) => length));
  await log.shutdown();
  assert.deepEqual((await storage.contents(HUGE)).map((entry) => entry.chunks), [words]);
});

inMemory('a large chunk holds the event loop', async (storage) => {
  const log = await storage.open({ manager: new HoardingManager(), options: HUGE });
  using meter = new TurnMeter();
  const { chunks } = await log.append(Buffer.alloc(40 * 1024 * 1024));
  assert.ok(meter.turns >= 8, `${meter.turns} turns`);
  assert.equal(chunks[0].length, 40 * 1024 * 1024);
});

forEachFileManager('very many appends that have waited in line hold the event loop', async (storage) => {
  const log = await storage.open({ manager: new HoardingManager(), options: HUGE });
  const writer = await log.beginEntry();
  const appends = words.map((word) => log.append(word));
  using meter = new TurnMeter();
  const order: number[] = [];
  for (const append of appends) void append.then(({ id }) => order.push(id));
  await writer.rollback();
  const entries = await Promise.all(appends);
  assert.ok(meter.turns >= LEAST_TURNS, `${meter.turns} turns`);
  assert.deepEqual(entries.map(({ id }) => id), words.map((_, i) => i + 2));
  assert.deepEqual(order, entries.map(({ id }) => id));
  await log.shutdown();
  assert.equal((await storage.contents(HUGE)).length, COUNT);
});
