/** When a lock's ownership can be relied on, and what is said of the owner that it was taken from. */
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { ownerOf } from '../../src/cli/report/opened-by.js';
import type { DirectoryLock } from '../../src/files/file-manager.js';
import { lockDirectory } from '../../src/files/lock/directory-lock.js';
import { lockByHeartbeat } from '../../src/files/lock/heartbeat-lock.js';
import { STALE_MS } from '../../src/files/lock/heartbeat-directory.js';
import { HELD_MS } from '../../src/files/lock/heartbeat.js';
import { encodeOwner, thisOwner, type LockOwner } from '../../src/files/lock/lock-owner.js';
import { loadFlock } from '../../src/files/lock/optional.js';
import { deferred } from '../../src/base/async.js';
import { turns, until } from '../tools/helpers.js';

const flock = await loadFlock();
const PROVIDERS = ['flock', 'lockfile'] as const;
type Provider = (typeof PROVIDERS)[number];

const withoutFlock = flock === null ? 'fs-ext is not installed' : false;
const linuxOnly = process.platform === 'linux' ? false : 'needs /proc';
const LONG_AGO = new Date(Date.now() - 3600_000);

async function newDirectory(t: TestContext): Promise<string> {
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'wal-owner-'));
  t.after(() => fs.rm(directory, { recursive: true, force: true }));
  return directory;
}

function open(directory: string, provider: Provider): Promise<DirectoryLock> {
  return lockDirectory(directory, () => undefined, provider === 'flock' ? flock : null);
}

/** A lock whose clock and whose beats the test decides. */
class Holder {
  readonly directory: string;
  readonly told: Error[] = [];
  clock = 1e6;
  readonly #t: TestContext;
  #lock: DirectoryLock | undefined;

  private constructor(t: TestContext, directory: string) {
    this.#t = t;
    this.directory = directory;
  }

  /** To be called after the test's timers have been mocked. */
  static async in(t: TestContext, directory: string): Promise<Holder> {
    const holder = new Holder(t, directory);
    holder.#lock = await lockByHeartbeat(directory, (cause) => holder.told.push(cause), () => holder.clock);
    t.after(() => holder.#lock?.release());
    return holder;
  }

  get isHeld(): boolean | undefined {
    return this.#lock?.isHeld?.();
  }

  async release(): Promise<void> {
    await this.#lock?.release();
  }

  /** Lets the timer of the next beat come, and resolves when the system has been asked to set it. */
  async beat(utimes: { mock: { callCount(): number } }): Promise<void> {
    const before = utimes.mock.callCount();
    await until(() => {
      // The timer is there once the beat before has been done.
      this.#t.mock.timers.tick(STALE_MS);
      return utimes.mock.callCount() > before;
    });
    await turns(5);
  }

  async file(): Promise<string> {
    const target = path.join(this.directory, 'LOCK.lock');
    return path.join(target, (await fs.readdir(target))[0]);
  }
}

type Utimes = (file: string, atime: Date, mtime: Date) => Promise<void>;

/** Counts beats, and lets a test decide what becomes of them. */
function watchBeats(t: TestContext): { mock: { callCount(): number; mockImplementation(fake: Utimes): void } } {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  return t.mock.method(fs, 'utimes');
}

test('ownership is relied on although the heartbeat has been silent for nearly as long as an opener waits', async (t) => {
  watchBeats(t);
  const holder = await Holder.in(t, await newDirectory(t));
  assert.equal(holder.isHeld, true);
  holder.clock += HELD_MS;
  assert.equal(holder.isHeld, true);
  holder.clock += 1;
  assert.equal(holder.isHeld, false);
  assert.deepEqual(holder.told, [], 'it is told in the middle of the question');
  await turns(2);
  assert.equal(holder.told.length, 1);
  holder.clock -= 1;
  assert.equal(holder.isHeld, false, 'ownership comes back');
  await turns(2);
  assert.equal(holder.told.length, 1);
  assert.ok(HELD_MS <= STALE_MS - 2000, 'some file systems keep times in steps of two seconds');
});

test('a beat whose timer comes late revives an ownership that was lost meanwhile', async (t) => {
  const utimes = watchBeats(t);
  const holder = await Holder.in(t, await newDirectory(t));
  const file = await holder.file();
  const { mtimeMs } = await fs.stat(file);
  const before = utimes.mock.callCount();
  // The event loop was blocked, so the timer comes before anything could ask.
  holder.clock += HELD_MS + 1;
  t.mock.timers.tick(STALE_MS);
  await until(() => holder.told.length === 1);
  assert.equal(holder.isHeld, false);
  assert.equal(utimes.mock.callCount(), before, 'it has beaten all the same');
  assert.equal((await fs.stat(file)).mtimeMs, mtimeMs);
});

test('a beat that takes effect late revives an ownership that was lost meanwhile', async (t) => {
  const utimes = watchBeats(t);
  const holder = await Holder.in(t, await newDirectory(t));
  const gate = deferred();
  utimes.mock.mockImplementation(() => gate.promise);
  holder.clock += 2000;
  await holder.beat(utimes);
  // The beat before it is too old by now. This one would not be, had it taken effect at once.
  holder.clock += HELD_MS - 2000 + 1;
  gate.resolve();
  await turns(5);
  assert.equal(holder.isHeld, false);
  assert.equal(holder.told.length, 1);
});

test('the age of a heartbeat is counted from its end, when it may be as old as its beginning', async (t) => {
  const utimes = watchBeats(t);
  const holder = await Holder.in(t, await newDirectory(t));
  const gate = deferred();
  utimes.mock.mockImplementation(() => gate.promise);
  holder.clock += 2000;
  await holder.beat(utimes);
  holder.clock += 3000;
  gate.resolve();
  await turns(20);
  holder.clock += HELD_MS - 3000;
  assert.equal(holder.isHeld, true, 'a beat that was slow is worth nothing');
  holder.clock += 1;
  assert.equal(holder.isHeld, false);
});

test('a beat that failed counts, or one that fails loses the directory at once', async (t) => {
  const utimes = watchBeats(t);
  const holder = await Holder.in(t, await newDirectory(t));
  const failing = Object.assign(new Error('input/output error'), { code: 'EIO' });
  utimes.mock.mockImplementation(() => Promise.reject(failing));
  holder.clock += 2000;
  await holder.beat(utimes);
  assert.equal(holder.isHeld, true);
  utimes.mock.mockImplementation(async () => undefined);
  holder.clock += 2000;
  await holder.beat(utimes);
  utimes.mock.mockImplementation(() => Promise.reject(failing));
  for (let time = 0; time < 3; time++) {
    holder.clock += 2000;
    await holder.beat(utimes);
    assert.equal(holder.isHeld, true);
  }
  holder.clock += 1001;
  assert.equal(holder.isHeld, false);
  await turns(2);
  assert.equal(holder.told[0].cause, failing);
});

test('a beat that arrives late makes the next owner look silent', async (t) => {
  const utimes = watchBeats(t);
  const directory = await newDirectory(t);
  const holder = await Holder.in(t, directory);
  const late = deferred();
  utimes.mock.mockImplementation(async (file) => {
    await late.promise;
    const handle = await fs.open(file, 'r+');
    try {
      await handle.utimes(LONG_AGO, LONG_AGO);
    } finally {
      await handle.close();
    }
  });
  await holder.beat(utimes);
  await fs.rm(path.join(directory, 'LOCK.lock'), { recursive: true });
  utimes.mock.mockImplementation(async () => undefined);
  const next = await Holder.in(t, directory);
  const { mtimeMs } = await fs.stat(await next.file());
  late.resolve();
  await until(() => holder.told.length === 1);
  assert.equal(holder.isHeld, false);
  assert.equal((await fs.stat(await next.file())).mtimeMs, mtimeMs);
  assert.equal(next.isHeld, true);
});

test('row 30: a clock set forward or back changes what is thought of a heartbeat', async (t) => {
  const utimes = watchBeats(t);
  const holder = await Holder.in(t, await newDirectory(t));
  const { now } = Date;
  t.after(() => {
    Date.now = now;
  });
  for (const days of [1, -1, 0]) {
    Date.now = () => now() + days * 86_400_000;
    assert.equal(holder.isHeld, true);
    holder.clock += 2000;
    await holder.beat(utimes);
    assert.equal(holder.isHeld, true);
  }
  assert.deepEqual(holder.told, []);
});

test('a directory that was given up is still relied on, or said to be lost', async (t) => {
  watchBeats(t);
  const holder = await Holder.in(t, await newDirectory(t));
  await holder.release();
  assert.equal(holder.isHeld, false);
  const other = await Holder.in(t, await newDirectory(t));
  other.clock += STALE_MS;
  assert.equal(other.isHeld, false);
  // Before it can be told.
  await other.release();
  await turns(2);
  assert.deepEqual([...holder.told, ...other.told], []);
});

async function leaveHeartbeat(directory: string, record: LockOwner | string, name = 'some.held'): Promise<void> {
  const file = path.join(directory, 'LOCK.lock', name);
  await fs.mkdir(path.dirname(file));
  await fs.writeFile(file, typeof record === 'string' ? record : encodeOwner(record));
  await fs.utimes(file, LONG_AGO, LONG_AGO);
}

async function leaveFlockRecord(directory: string, record: LockOwner | string): Promise<void> {
  await fs.writeFile(path.join(directory, 'LOCK'), typeof record === 'string' ? record : encodeOwner(record));
}

const elsewhere = { host: 'elsewhere', bootId: 'another' };
const dead = { startTime: '1' };
const container = { host: 'container', pidNamespace: 'pid:[1]' };
const blank = encodeOwner().toString();

/** What an earlier owner left, and whether it may still run, to openers by `by`. */
const TAKEOVERS: readonly {
  readonly what: string;
  readonly leave: (directory: string) => Promise<void>;
  readonly mayRun: boolean;
  readonly by?: Provider;
}[] = [
  { what: 'nothing', leave: async () => undefined, mayRun: false },
  { what: 'an empty directory', leave: (to) => fs.mkdir(path.join(to, 'LOCK.lock')), mayRun: false },
  { what: 'a dead heartbeat', leave: (to) => leaveHeartbeat(to, { ...thisOwner('lockfile'), ...dead }), mayRun: false },
  {
    what: 'a silent heartbeat elsewhere',
    leave: (to) => leaveHeartbeat(to, { ...thisOwner('lockfile'), ...elsewhere }),
    mayRun: true,
  },
  {
    what: 'a silent heartbeat in a container',
    leave: (to) => leaveHeartbeat(to, { ...thisOwner('lockfile'), ...container }),
    mayRun: true,
  },
  { what: 'a silent heartbeat whose record is empty', leave: (to) => leaveHeartbeat(to, ''), mayRun: true },
  { what: 'a silent heartbeat whose record is damaged', leave: (to) => leaveHeartbeat(to, '{"pid":'), mayRun: true },
  {
    what: 'a silent claim, which never was an owner\'s',
    leave: (to) => leaveHeartbeat(to, { ...thisOwner('lockfile'), ...elsewhere }, 'some.claim'),
    mayRun: false,
  },
  { what: 'an empty record', leave: (to) => leaveFlockRecord(to, ''), mayRun: false },
  { what: 'a blank record', leave: (to) => leaveFlockRecord(to, blank), mayRun: false },
  { what: 'a damaged record', leave: (to) => leaveFlockRecord(to, '\0'.repeat(1024)), mayRun: true },
  { what: 'a dead record', leave: (to) => leaveFlockRecord(to, { ...thisOwner('flock'), ...dead }), mayRun: false },
  {
    what: 'the record of an owner elsewhere, whose lock the file system may not know of',
    leave: (to) => leaveFlockRecord(to, { ...thisOwner('flock'), ...elsewhere }),
    mayRun: true,
    by: 'flock',
  },
  {
    what: 'the record of an owner in a container, under the same kernel',
    leave: (to) => leaveFlockRecord(to, { ...thisOwner('flock'), ...container }),
    mayRun: false,
    by: 'flock',
  },
];

for (const { what, leave, mayRun, by } of TAKEOVERS) {
  for (const provider of PROVIDERS.filter((each) => by === undefined || each === by)) {
    const skip = linuxOnly || (provider === 'flock' && withoutFlock);
    const title = `taken over from ${what} (${provider}), it is ${mayRun ? 'not ' : ''}said that the owner may still run`;
    test(title, { skip }, async (t) => {
      const directory = await newDirectory(t);
      await leave(directory);
      const lock = await open(directory, provider);
      assert.equal(lock.previousOwnerMayRun ?? false, mayRun);
      await lock.release();
    });
  }
}

for (const first of PROVIDERS) {
  for (const second of PROVIDERS) {
    const skip = linuxOnly || ([first, second].includes('flock') && withoutFlock);
    const title = 'an opener that took over and failed makes the next one forget that the owner may still run';
    test(`${title} (${first}, ${second})`, { skip }, async (t) => {
      const directory = await newDirectory(t);
      await leaveHeartbeat(directory, { ...thisOwner('lockfile'), ...elsewhere });
      await (await open(directory, first)).release();
      const next = await open(directory, second);
      assert.equal(next.previousOwnerMayRun, true);
      await next.forgetPreviousOwner?.();
      await next.forgetPreviousOwner?.();
      await next.release();
      const last = await open(directory, first);
      assert.equal(last.previousOwnerMayRun, false);
      await last.release();
    });
  }
}

test('an owner that has lost the directory forgets what its successor must know', async (t) => {
  const directory = await newDirectory(t);
  await leaveHeartbeat(directory, { ...thisOwner('lockfile'), ...elsewhere });
  let clock = 0;
  const lost = await lockByHeartbeat(directory, () => undefined, () => clock);
  clock = STALE_MS;
  await lost.forgetPreviousOwner?.();
  await lost.release();
  const next = await open(directory, 'lockfile');
  assert.equal(next.previousOwnerMayRun, true);
  await next.release();
});

test('an owner\'s record is not durable when it can be seen, so that a loss of power hides who died', async (t) => {
  const directory = await newDirectory(t);
  const handle = await fs.open(directory);
  await handle.close();
  const events: string[] = [];
  const { rename } = fs;
  const prototype = Object.getPrototypeOf(handle) as typeof handle;
  t.mock.method(prototype, 'sync', async () => void events.push('synced'));
  t.mock.method(fs, 'rename', async (from: string, to: string) => {
    if (path.basename(to) === 'LOCK.lock') events.push('shown');
    await rename(from, to);
  });
  await (await open(directory, 'lockfile')).release();
  assert.deepEqual(events, ['synced', 'shown']);
});

test('a directory whose locks cannot be read is said to have no owner', async (t) => {
  const directory = await newDirectory(t);
  assert.equal(await ownerOf(directory), 'none');
  await fs.mkdir(path.join(directory, 'LOCK'));
  assert.match(await ownerOf(directory), /^unknown; its locks cannot be read: EISDIR/);
  await fs.rmdir(path.join(directory, 'LOCK'));
  await fs.writeFile(path.join(directory, 'LOCK.lock'), '');
  assert.match(await ownerOf(directory), /^unknown; its locks cannot be read: ENOTDIR/);
});
