/** The fault matrix, rows 8, 11 to 16, 32 and 37: files that are not what was written. */
import assert from 'node:assert/strict';
import * as format from '../../src/format/segment-format.js';
import { MemoryFileManager, WalError, type WalOptions } from '../../src/index.js';
import { KeepingManager, openWithFaults, outcomeOf } from '../tools/fault-matrix-parts.js';
import { systemError } from '../tools/faulty-file-manager.js';
import {
  checkpointAll, checkpointed, fillSegment, inMemory, pattern, RecordingManager, type SeenEntry, SMALL,
  Storage, TestEnvironment, turns,
} from '../tools/helpers.js';

/** Behind the header of a segment without version info, and behind its first link. */
const [HEADER_END, FIRST_RECORD] = [25, 62];

/** One segment holds all that a test writes, and little else: these logs are opened thousands of times. */
const LITTLE: WalOptions = { preallocateBytes: 4096, checkpointAfterBytes: 4095, bufferBytes: 4096 };

type Files = ReadonlyMap<string, Buffer>;

/** A log made of `files`, in a place of its own. */
async function logOf(files: Files): Promise<Storage> {
  const storage = new Storage(new MemoryFileManager(), '/wal');
  for (const [name, bytes] of files) await storage.put(name, bytes);
  return storage;
}

/** What opening `files` comes to: what is recovered, or the error; a log that was refused must be as it was. */
async function open(files: Files, options: WalOptions = {}): Promise<SeenEntry[] | WalError> {
  const storage = await logOf(files);
  const manager = new RecordingManager();
  let log;
  try {
    log = await storage.open({ manager, options });
  } catch (error) {
    assert.ok(error instanceof WalError, `refused with ${String(error)}`);
    const after = await storage.files();
    assert.deepEqual([...after.keys()].sort(), [...files.keys()].sort());
    for (const [name, bytes] of files) assert.ok(after.get(name)?.equals(bytes), `${name} was changed`);
    return error;
  }
  await log.shutdown();
  return manager.recovered;
}

function codeOf(found: SeenEntry[] | WalError): string {
  return found instanceof WalError ? found.code : `opened with entries ${found.map(({ id }) => id).join()}`;
}

function replaced(files: Files, name: string, bytes: Buffer): Files {
  return new Map([...files, [name, bytes]]);
}

interface SmallLog {
  readonly files: Files;
  readonly entries: SeenEntry[];
  readonly closed: string[];
  readonly active: string;
}

/** A log of closed segments and an active one, with some flushes in each. */
async function smallLog(base: Storage, segments = 3, flushes = 4): Promise<SmallLog> {
  const { log } = await openWithFaults(base, LITTLE);
  const entries: SeenEntry[] = [];
  const append = async (chunks: string[]): Promise<void> => {
    entries.push({ id: (await log.append(chunks)).id, chunks });
  };
  for (let segment = 0; segment < segments; segment++) {
    if (segment > 0) await log.checkpointActive();
    for (let i = 0; i < flushes; i++) await append([`segment ${segment}`, `entry ${i}`]);
  }
  const files = await base.files();
  const names = [...files.keys()].filter((name) => /^wal-\d+$/.test(name)).sort();
  assert.equal(names.length, segments);
  return { files, entries, closed: names.slice(0, -1), active: names[names.length - 1] };
}

/** Behind the last byte that is not zero. */
function used(bytes: Buffer): number {
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
}

/** Where each flush of the active segment ends. */
function flushEnds(bytes: Buffer): number[] {
  const seed = bytes.readUInt32LE(HEADER_END - 4);
  const marks: number[] = [];
  for (let at = FIRST_RECORD; at < used(bytes); at++) {
    if (bytes[at] === format.MARK_MARKER && format.decodeMark(bytes, at, seed, at) !== undefined) marks.push(at);
  }
  return [...marks, used(bytes)];
}

inMemory('row 8: a size that survived without its bytes reads as the end of the log, wherever the zeros begin', async (base) => {
  const { log, faulty } = await openWithFaults(base, SMALL);
  await log.append('before');
  await log.checkpointActive();
  await turns();
  // No segment follows, so that the one that grows is the last.
  faulty.before = ({ operation }) => {
    if (operation === 'rename') throw systemError('EIO');
  };
  await log.append(pattern(9000).toString('hex'));
  const files = await base.files();
  const whole = await open(files);
  assert.ok(!(whole instanceof WalError) && whole.length === 2);
  const name = [...files.keys()].find((candidate) => (files.get(candidate)?.length ?? 0) > 4096) ?? '';
  const bytes = files.get(name) as Buffer;
  const [from, to] = [flushEnds(bytes).at(-2) ?? 0, used(bytes)];
  for (let cut = from; cut < to; cut += cut % 512 < 2 || cut > to - 20 ? 1 : 61) {
    const zeroed = Buffer.concat([bytes.subarray(0, cut), Buffer.alloc(bytes.length - cut)]);
    assert.deepEqual(await open(replaced(files, name, zeroed)), whole.slice(0, 1), `zeros from ${cut}`);
    // The reverse: bytes beyond the size that survived are not there.
    assert.deepEqual(await open(replaced(files, name, bytes.subarray(0, cut))), whole.slice(0, 1), `cut at ${cut}`);
  }
});

inMemory('row 11: stale bytes of a recycled segment behind the tail are never replayed, whatever their alignment', async (base) => {
  for (let shift = 0; shift < 64; shift++) {
    const storage = new Storage(base.fileManager, `/shift-${shift}`);
    const log = await storage.open({ environment: new TestEnvironment(shift + 1) });
    // Every segment is filled alike, so that old and new records begin at the same offsets but for the shift.
    while (log.stats().segmentsRecycled < 2) await fillSegment(log, 70);
    await checkpointed(log);
    await checkpointAll(log);
    const ids = [(await log.append('x'.repeat(shift))).id, (await log.append('last')).id];
    const copy = await storage.crash();
    const [name] = await copy.liveNames();
    const bytes = await copy.get(name);
    assert.ok(used(bytes) > 1000, 'there are stale bytes behind the tail');
    assert.deepEqual((await copy.contents()).map(({ id }) => id), ids);
    await storage.shutDown();
  }
});

/** Three entries, of which the last takes the whole tail of a file: all it holds but its end record stands there. */
async function unfinishedPayload(payload: Buffer, seed: number): Promise<{ files: Files; expected: string[] }> {
  const storage = new Storage(new MemoryFileManager(), '/payload');
  const log = await storage.open({ manager: new KeepingManager(), options: LITTLE, environment: new TestEnvironment(seed) });
  for (const data of ['first', 'second']) await log.append(data);
  const { chunks } = await log.append(payload);
  const bytes = await storage.get('wal-1');
  // The front of the entry never got there: the payload's bytes stand right behind the tail, and at every place after it.
  const start = chunks[0].position.offset - format.ENTRY_LENGTH - format.MARK_LENGTH;
  const data = chunks[0].position.offset + format.CHUNK_HEADER_LENGTH;
  const torn = Buffer.concat([bytes.subarray(0, start), bytes.subarray(data), Buffer.alloc(data - start)]);
  await storage.shutDown();
  return { files: new Map([['wal-1', torn]]), expected: ['first', 'second'] };
}

inMemory('row 12: genuine frames as a payload, of this segment, an older one or another log, are never parsed as records', async (base) => {
  const { log, storage } = await openWithFaults(base, LITTLE);
  for (const data of ['first', 'second', 'third']) await log.append(data);
  const frames = (await storage.get('wal-1')).subarray(0, log.stats().flushedBytes + HEADER_END);
  // The same salts as in this very segment, as in the one before it, and as in another log.
  for (const seed of [1, 2, 77]) {
    for (const from of [0, HEADER_END, FIRST_RECORD, FIRST_RECORD + format.MARK_LENGTH]) {
      for (let padding = 0; padding < 20; padding++) {
        const payload = Buffer.concat([Buffer.alloc(padding), frames.subarray(from), frames.subarray(from)]);
        const { files, expected } = await unfinishedPayload(payload, seed);
        const found = await open(files, LITTLE);
        assert.ok(!(found instanceof WalError), `taken for damage: ${codeOf(found)}`);
        assert.deepEqual(found.map(({ chunks }) => chunks.join()), expected, `seed ${seed}, from ${from}, padding ${padding}`);
      }
    }
  }
});

inMemory('row 13: any single bit flipped before the last flush is WAL_CORRUPT, and no file is touched', async (base) => {
  const { files, closed, active } = await smallLog(base, 2, 3);
  const wrong: string[] = [];
  for (const name of [...closed, active]) {
    const bytes = files.get(name) as Buffer;
    const end = name === active ? flushEnds(bytes).at(-2) ?? 0 : used(bytes);
    for (let bit = 0; bit < end * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      const code = codeOf(await open(replaced(files, name, flipped), LITTLE));
      // A version that is not known is refused as such: the rest of the header cannot be read.
      const isVersion = bit >> 3 === 3 && code === 'WAL_UNSUPPORTED_VERSION';
      if (code !== 'WAL_CORRUPT' && !isVersion) wrong.push(`bit ${bit & 7} of byte ${bit >> 3} of ${name}: ${code}`);
    }
  }
  assert.deepEqual(wrong, []);
});

inMemory('row 13: a single bit flipped in the version of the only segment is refused, and not taken for an older format', async (base) => {
  const { log } = await openWithFaults(base, LITTLE);
  for (const data of ['first', 'second', 'third']) await log.append(data);
  const files = await base.files();
  for (let bit = 0; bit < 8; bit++) {
    const flipped = Buffer.from(files.get('wal-1') as Buffer);
    flipped[3] ^= 1 << bit;
    assert.match(codeOf(await open(replaced(files, 'wal-1', flipped), LITTLE)), /^WAL_(CORRUPT|UNSUPPORTED_VERSION)$/);
  }
});

inMemory('row 13: any single bit flipped in the last flush, or behind it, is a torn tail or WAL_CORRUPT, never wrong data', async (base) => {
  const { files, entries, active } = await smallLog(base);
  const bytes = files.get(active) as Buffer;
  const [start, end] = [flushEnds(bytes).at(-2) ?? 0, used(bytes)];
  for (let bit = start * 8; bit < (end + 30) * 8; bit++) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    const found = await open(replaced(files, active, flipped), LITTLE);
    if (found instanceof WalError) assert.equal(found.code, 'WAL_CORRUPT');
    else assert.deepEqual(found, entries.slice(0, bit >> 3 < end ? -1 : undefined), `bit ${bit & 7} of byte ${bit >> 3}`);
  }
});

inMemory('row 14: a length field of 0, 1, max or beyond the file allocates nothing large and is classified', async (base) => {
  const { files, entries, active, closed } = await smallLog(base);
  for (const name of [...closed, active]) {
    const bytes = files.get(name) as Buffer;
    const lastFlush = name === active ? flushEnds(bytes).at(-2) ?? 0 : Infinity;
    for (let at = bytes.indexOf('segment') - 4; at > 0; at = bytes.indexOf('segment', at + 8) - 4) {
      assert.equal(bytes.readUInt32LE(at), 'segment 0'.length);
      for (const length of [0, 1, 8, 10, bytes.length - at, bytes.length, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
        const changed = Buffer.from(bytes);
        changed.writeUInt32LE(length, at);
        const storage = await logOf(replaced(files, name, changed));
        const { storage: watched, faulty } = storage.withFaults();
        const manager = new RecordingManager();
        const outcome = await outcomeOf(watched.open({ manager, options: LITTLE }));
        assert.equal(outcome, at < lastFlush ? 'WAL_CORRUPT' : 'resolved');
        if (outcome === 'resolved') assert.deepEqual(manager.recovered, entries.slice(0, -1));
        const largest = Math.max(...faulty.of('read').map((call) => call.length ?? 0));
        assert.ok(largest <= 64 * 1024, `${largest} bytes were asked for at once`);
        await storage.shutDown();
      }
    }
  }
});

inMemory('row 15: the last segment cut at any byte leaves a beginning of the log, or is WAL_CORRUPT', async (base) => {
  const { files, entries, active } = await smallLog(base);
  const bytes = files.get(active) as Buffer;
  const ends = flushEnds(bytes);
  for (let cut = 0; cut <= used(bytes) + 1; cut++) {
    const found = await open(replaced(files, active, bytes.subarray(0, cut)), LITTLE);
    // Of the header itself a crash leaves nothing or all: a part of it is damage.
    if (cut > 0 && cut < HEADER_END) assert.equal(codeOf(found), 'WAL_CORRUPT', `cut at ${cut}`);
    // The flushes that are whole are there, the others are not.
    else assert.deepEqual(found, entries.slice(0, 8 + ends.slice(1).filter((end) => end <= cut).length), `cut at ${cut}`);
  }
});

inMemory('row 15: any other segment cut at any byte is WAL_CORRUPT', async (base) => {
  const { files, entries, closed } = await smallLog(base);
  for (const name of closed) {
    const bytes = files.get(name) as Buffer;
    for (let cut = 0; cut < used(bytes); cut++) {
      assert.equal(codeOf(await open(replaced(files, name, bytes.subarray(0, cut)), LITTLE)), 'WAL_CORRUPT', `${name} cut at ${cut}`);
    }
    assert.deepEqual(await open(replaced(files, name, bytes.subarray(0, used(bytes))), LITTLE), entries);
  }
});

inMemory('row 16: a segment that is missing in the middle is WAL_CORRUPT; the loss of the last cannot be seen from inside', async (base) => {
  const { files, entries } = await smallLog(base);
  const without = (...names: string[]): Files => new Map([...files].filter(([name]) => !names.includes(name)));
  const found = await open(without('wal-5'), LITTLE);
  assert.ok(found instanceof WalError && found.code === 'WAL_CORRUPT' && found.segmentId === 5);
  assert.deepEqual(await open(without('wal-9'), LITTLE), entries.slice(0, 8));
  // Nor that of the oldest: it looks as if it had been checkpointed.
  assert.deepEqual(await open(without('wal-1'), LITTLE), entries.slice(4));
  // Emptied is not the same as missing.
  assert.equal(codeOf(await open(replaced(files, 'wal-1', Buffer.alloc(4096)), LITTLE)), 'WAL_CORRUPT');
});

inMemory('row 32: an unknown version byte is WAL_UNSUPPORTED_VERSION before anything is written', async (base) => {
  const { files, closed, active } = await smallLog(base);
  for (const name of [...closed, active]) {
    for (let version = 2; version < 256; version++) {
      const changed = Buffer.from(files.get(name) as Buffer);
      changed[3] = version;
      const storage = await logOf(replaced(files, name, changed));
      const { storage: watched, faulty } = storage.withFaults();
      assert.equal(await outcomeOf(watched.open({ options: LITTLE })), 'WAL_UNSUPPORTED_VERSION');
      for (const operation of ['write', 'truncate', 'rename', 'remove'] as const) assert.deepEqual(faulty.of(operation), []);
    }
  }
});

inMemory('row 37: a valid record at a wrong offset is not accepted, wherever it is put', async (base) => {
  const { files, entries, active } = await smallLog(base);
  const bytes = files.get(active) as Buffer;
  const [third, last, end] = flushEnds(bytes).slice(-3);
  const frames = [bytes.subarray(last, end), bytes.subarray(last + format.MARK_LENGTH, end), bytes.subarray(third, end)];
  for (const frame of frames) {
    // Behind the log: it ends where it did.
    for (let at = end; at < end + 40; at++) {
      const moved = Buffer.from(bytes);
      frame.copy(moved, at);
      assert.deepEqual(await open(replaced(files, active, moved), LITTLE), entries, `at ${at}`);
    }
    // In it: never as something else than it was.
    for (let at = FIRST_RECORD; at + frame.length <= last; at++) {
      const moved = Buffer.from(bytes);
      frame.copy(moved, at);
      if (!moved.equals(bytes)) assert.equal(codeOf(await open(replaced(files, active, moved), LITTLE)), 'WAL_CORRUPT', `at ${at}`);
    }
  }
});

inMemory('row 37: the records of a segment are not accepted in the file of another, nor a file of another log in this one', async (base) => {
  const { files, closed, active } = await smallLog(base);
  const strange = new Storage(base.fileManager, '/strange');
  const log = await strange.open({ manager: new KeepingManager(), options: LITTLE, environment: new TestEnvironment(99) });
  for (let segment = 0; segment < 3; segment++) {
    if (segment > 0) await log.checkpointActive();
    for (let i = 0; i < 4; i++) await log.append([`segment ${segment}`, `entry ${i}`]);
  }
  await turns();
  for (const name of [...closed, active]) {
    const bytes = files.get(name) as Buffer;
    const others = [...closed, active].filter((other) => other !== name).map((other) => files.get(other) as Buffer);
    const foreign = await strange.get(name);
    for (const other of [...others, foreign]) {
      const exchanged = Buffer.concat([bytes.subarray(0, HEADER_END), other.subarray(HEADER_END)]);
      const found = await open(replaced(files, name, exchanged), LITTLE);
      // Nothing is left in it that could tell it from a file that was made ready and never used.
      if (name === active) assert.ok(found instanceof WalError || found.length === 8, codeOf(found));
      else assert.equal(codeOf(found), 'WAL_CORRUPT');
    }
    assert.equal(codeOf(await open(replaced(files, name, foreign), LITTLE)), 'WAL_CORRUPT', `${name} of another log`);
  }
  await strange.shutDown();
});

inMemory('row 37: a segment under another name is not written over by the segment that is to have that name', async (base) => {
  const { files, entries, active } = await smallLog(base);
  const next = entries[entries.length - 1].id + 1;
  for (const newName of ['wal-2', `wal-${next}`, `wal-${next + 1}`, `wal-${next + 2}`]) {
    const storage = await logOf(new Map([...files].map(([name, bytes]) => [name === active ? newName : name, bytes])));
    const ids = entries.map(({ id }) => id);
    for (let round = 0; round < 3; round++) {
      const manager = new KeepingManager();
      const opening = storage.open({ manager, options: LITTLE });
      const outcome = await outcomeOf(opening);
      // A refusal keeps it too, for whoever gives it back its name.
      if (round === 0 && outcome === 'WAL_CORRUPT') break;
      assert.equal(outcome, 'resolved');
      assert.deepEqual(manager.recoveredIds, ids, `as ${newName}, round ${round}`);
      const log = await opening;
      ids.push((await log.append(`round ${round}`)).id);
      await log.checkpointActive();
      ids.push((await log.append(`behind ${round}`)).id);
      await log.shutdown();
    }
  }
});
