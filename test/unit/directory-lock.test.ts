import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { lockDirectory } from '../../src/files/lock/directory-lock.js';
import type { DirectoryLock } from '../../src/files/file-manager.js';
import { STALE_MS } from '../../src/files/lock/heartbeat-directory.js';
import { encodeOwner, thisOwner, type LockOwner } from '../../src/files/lock/lock-owner.js';
import { loadFlock } from '../../src/files/lock/optional.js';
import { WalError } from '../../src/index.js';
import { interceptCalls, runInterleaved, schedules } from '../tools/interleavings.js';

type Provider = 'flock' | 'lockfile';

const OPENER = path.join(import.meta.dirname, '../tools/lock-opener.js');
const flock = await loadFlock();
const PAIRS: readonly (readonly [Provider, Provider])[] = [
  ['flock', 'flock'], ['lockfile', 'lockfile'], ['flock', 'lockfile'], ['lockfile', 'flock'],
];
/** Above the largest process id that Linux gives out. */
const UNUSED_PID = 2 ** 22 + 1;
const LONG_AGO = new Date(Date.now() - 3600_000);

/** A reason to skip a test that uses these kinds of lock here, or false. */
function unavailable(...providers: readonly string[]): string | false {
  return providers.includes('flock') && flock === null ? 'fs-ext is not installed' : false;
}

const linuxOnly = process.platform === 'linux' ? false : 'needs /proc';

async function newDirectory(t: TestContext): Promise<string> {
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'wal-lock-'));
  t.after(() => fs.rm(directory, { recursive: true, force: true }));
  return directory;
}

function open(directory: string, provider: Provider, onCompromised = failOnLoss): Promise<DirectoryLock> {
  return lockDirectory(directory, onCompromised, provider === 'flock' ? flock : null);
}

function failOnLoss(cause: Error): void {
  assert.fail(`the lock was lost: ${cause.message}`);
}

const isLocked = (error: unknown): boolean => error instanceof WalError && error.code === 'WAL_LOCKED';

/** An opener elsewhere: commands go in, lines come out in order. */
interface Opener {
  readonly pid: number;
  ask(command: string): Promise<string>;
  nextLine(): Promise<string>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

/** Hands lines out in order, whether they come before they are asked for or after. */
class Lines {
  readonly #lines: string[] = [];
  #wanted: ((line: string) => void) | undefined;

  push(line: string): void {
    if (this.#wanted === undefined) {
      this.#lines.push(line);
      return;
    }
    this.#wanted(line);
    this.#wanted = undefined;
  }

  next(): Promise<string> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    return new Promise((resolve) => {
      this.#wanted = resolve;
    });
  }
}

async function startProcess(t: TestContext, directory: string, provider: Provider | 'default'): Promise<Opener> {
  const child = spawn(process.execPath, [OPENER, directory, provider], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const lines = new Lines();
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  void ended.then(() => lines.push('ended'));
  assert.equal(await lines.next(), 'ready');
  return {
    pid: child.pid ?? 0,
    nextLine: () => lines.next(),
    ask: (command) => {
      child.stdin.write(`${command}\n`);
      return lines.next();
    },
    kill: async (signal) => {
      child.kill(signal);
      if (signal === 'SIGKILL') await ended;
      else await inState(child.pid ?? 0, 'T');
    },
  };
}

async function startThread(
  t: TestContext, directory: string,
): Promise<Pick<Opener, 'ask'> & { end(): Promise<unknown> }> {
  const worker = new Worker(OPENER, { argv: [directory, 'default'] });
  t.after(() => worker.terminate());
  const lines = new Lines();
  worker.on('message', (line: string) => lines.push(line));
  assert.equal(await lines.next(), 'ready');
  return {
    ask: (command) => {
      worker.postMessage(command);
      return lines.next();
    },
    end: () => worker.terminate(),
  };
}

/**
 * Resolves when a process is stopped (T), or a zombie (Z) whose threads have all ended: a signal takes effect some time
 * after it was sent.
 */
async function inState(pid: number, state: 'T' | 'Z'): Promise<void> {
  for (;;) {
    const stat = await fs.readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === state && (state === 'T' || Number(fields[17]) <= 1)) return;
  }
}

/** The record of an owner that is dead for certain: its pid is in use, by a process that started at another time. */
function deadOwner(provider: Provider): LockOwner {
  return { ...thisOwner(provider), startTime: '1' };
}

function openDescriptors(): Promise<string[]> {
  return fs.readdir('/proc/self/fd');
}

/** Leaves a heartbeat directory as an owner with this record would have left it. */
async function leaveHeartbeat(directory: string, owner: LockOwner | string, beat = new Date()): Promise<void> {
  const target = path.join(directory, 'LOCK.lock');
  await fs.mkdir(target);
  const [name, record] = typeof owner === 'string' ? ['0', owner] : [owner.token, encodeOwner(owner)];
  const file = path.join(target, `${name}.held`);
  await fs.writeFile(file, record);
  await fs.utimes(file, beat, beat);
}

async function leaveFlockRecord(directory: string, record: LockOwner | string): Promise<void> {
  await fs.writeFile(path.join(directory, 'LOCK'), typeof record === 'string' ? record : encodeOwner(record));
}

/** Makes a silent heartbeat, whatever the owner does: the opener must look at the owner itself. */
async function silence(directory: string): Promise<void> {
  const target = path.join(directory, 'LOCK.lock');
  for (const name of await fs.readdir(target).catch(() => [])) {
    await fs.utimes(path.join(target, name), LONG_AGO, LONG_AGO);
  }
}

function refusedFor(owner: Opener): RegExp {
  return new RegExp(`^refused WAL_LOCKED: .* process ${owner.pid} on ${os.hostname()}$`);
}

for (const [first, second] of PAIRS) {
  const skip = unavailable(first, second);
  const kinds = `${first}, then ${second}`;

  test(`a directory is opened twice in one process (${kinds})`, { skip }, async (t) => {
    const directory = await newDirectory(t);
    const lock = await open(directory, first);
    await assert.rejects(open(directory, second), isLocked);
    await assert.rejects(open(directory, second), new RegExp(`process ${process.pid} on ${os.hostname()}`));
    await lock.release();
    await (await open(directory, second)).release();
  });

  test(`a directory is opened by two processes (${kinds})`, { skip }, async (t) => {
    const directory = await newDirectory(t);
    const holder = await startProcess(t, directory, first);
    const other = await startProcess(t, directory, second);
    assert.equal(await holder.ask('lock'), 'owner');
    assert.match(await other.ask('lock'), refusedFor(holder));
    assert.equal(await holder.ask('release'), 'released');
    assert.equal(await other.ask('lock'), 'owner');
    assert.match(await holder.ask('lock'), refusedFor(other));
  });

  test(`the owner is killed and the next opener has to wait (${kinds})`, { skip: skip || linuxOnly }, async (t) => {
    const directory = await newDirectory(t);
    const holder = await startProcess(t, directory, first);
    assert.equal(await holder.ask('lock'), 'owner');
    await holder.kill('SIGKILL');
    // The heartbeat is seconds old, so nothing but the proof that the owner is dead lets this one in.
    const next = await startProcess(t, directory, second);
    assert.equal(await next.ask('lock'), 'owner');
  });

  test(`a stopped owner loses the directory (${kinds})`, { skip: skip || linuxOnly }, async (t) => {
    const directory = await newDirectory(t);
    const holder = await startProcess(t, directory, first);
    assert.equal(await holder.ask('lock'), 'owner');
    await holder.kill('SIGSTOP');
    await silence(directory);
    await assert.rejects(open(directory, second), isLocked);
  });

  test(`two processes that find one dead owner both get in (${kinds})`, { skip: skip || linuxOnly }, async (t) => {
    const directory = await newDirectory(t);
    const openers = await Promise.all([first, second].map((provider) => startProcess(t, directory, provider)));
    for (let round = 0; round < 30; round++) {
      await leaveHeartbeat(directory, deadOwner('lockfile'));
      await leaveFlockRecord(directory, deadOwner('flock'));
      const answers = await Promise.all(openers.map((opener) => opener.ask('lock')));
      assert.equal(answers.filter((answer) => answer === 'owner').length, 1, answers.join('; '));
      assert.match(answers.find((answer) => answer !== 'owner') ?? '', /WAL_LOCKED/);
      await openers[answers.indexOf('owner')].ask('release');
    }
    assert.deepEqual(await fs.readdir(directory), ['LOCK']);
  });
}

const LEFTOVERS: Readonly<Record<string, (directory: string) => Promise<void>>> = {
  'a new directory': async () => undefined,
  'a dead heartbeat': (directory) => leaveHeartbeat(directory, deadOwner('lockfile')),
  'a silent heartbeat of nobody known': (directory) => leaveHeartbeat(directory, 'garbage', LONG_AGO),
  'an empty heartbeat directory': async (directory) => {
    await fs.mkdir(path.join(directory, 'LOCK.lock'));
  },
  'a dead record': (directory) => leaveFlockRecord(directory, deadOwner('flock')),
};

/**
 * Two openers side by side under one schedule; `mayRun` is what the one that gets in is to be told of the previous
 * owner. Resolves with the number of calls they made.
 */
async function race(
  directory: string, providers: readonly Provider[], mayRun: boolean, switches: readonly number[],
): Promise<number> {
  const locks: DirectoryLock[] = [];
  const refusals: unknown[] = [];
  const calls = await runInterleaved(providers.map((provider) => () => open(directory, provider).then(
    (lock) => void locks.push(lock),
    (error: unknown) => void refusals.push(error),
  )), switches);
  const outcome = `${providers.join(' and ')} switching before calls ${switches.join(', ')}: ${refusals.join('; ')}`;
  assert.equal(locks.length, 1, outcome);
  assert.ok(refusals.every(isLocked), outcome);
  assert.equal(locks[0].previousOwnerMayRun, mayRun, outcome);
  await locks[0].forgetPreviousOwner?.();
  await locks[0].release();
  return calls;
}

for (const [first, second] of PAIRS.slice(0, 3)) {
  const skip = unavailable(first, second) || linuxOnly;
  for (const [leftover, leave] of Object.entries(LEFTOVERS)) {
    const kinds = `${first}, ${second}; ${leftover}`;
    test(`some order of two openers' system calls lets in both or none (${kinds})`, { skip }, async (t) => {
      const directory = await newDirectory(t);
      t.after(await interceptCalls());
      const mayRun = leftover === 'a silent heartbeat of nobody known';
      const once = async (switches: readonly number[]): Promise<number> => {
        await leave(directory);
        const calls = await race(directory, [first, second], mayRun, switches);
        await fs.rm(path.join(directory, 'LOCK'), { force: true });
        await fs.rm(path.join(directory, 'LOCK.lock'), { recursive: true, force: true });
        assert.deepEqual(await fs.readdir(directory), [], 'something is left behind');
        return calls;
      };
      const calls = await once([]);
      for (const switches of schedules(calls, 2)) await once(switches);
    });
  }
}

test('a worker thread and the main thread both own a directory', async (t) => {
  const directory = await newDirectory(t);
  const thread = await startThread(t, directory);
  const lock = await lockDirectory(directory, failOnLoss);
  assert.match(await thread.ask('lock'), /^refused WAL_LOCKED/);
  await lock.release();
  assert.equal(await thread.ask('lock'), 'owner');
  await assert.rejects(lockDirectory(directory, failOnLoss), isLocked);
  const other = await startThread(t, directory);
  assert.match(await other.ask('lock'), /^refused WAL_LOCKED/);
  assert.equal(await thread.ask('release'), 'released');
  assert.equal(await other.ask('lock'), 'owner');
});

test('worker threads that lock and end one after another abort the process', async (t) => {
  const directory = await newDirectory(t);
  await (await lockDirectory(directory, failOnLoss)).release();
  for (let time = 0; time < 3; time++) {
    const thread = await startThread(t, directory);
    assert.equal(await thread.ask('lock'), 'owner');
    assert.equal(await thread.ask('release'), 'released');
    await thread.end();
  }
});

test('an owner that exits without giving the directory up locks it for ever', { skip: linuxOnly }, async (t) => {
  const directory = await newDirectory(t);
  for (const provider of ['lockfile', 'default'] as const) {
    const holder = await startProcess(t, directory, provider);
    assert.equal(await holder.ask('lock'), 'owner');
    assert.equal(await holder.ask('end'), 'ended');
  }
  await (await lockDirectory(directory, failOnLoss)).release();
});

test('a process that has ended but was never waited for keeps the directory', { skip: linuxOnly }, async (t) => {
  const directory = await newDirectory(t);
  // The shell becomes a sleep that never waits for its child, which remains as a zombie once it is killed.
  const script = `"${process.execPath}" "${OPENER}" "${directory}" lockfile <&3 3<&- & exec sleep 1000 3<&-`;
  const parent = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  t.after(() => parent.kill('SIGKILL'));
  const lines = new Lines();
  createInterface({ input: parent.stdout as Readable }).on('line', (line) => lines.push(line));
  assert.equal(await lines.next(), 'ready');
  (parent.stdio[3] as Writable).write('lock\n');
  assert.equal(await lines.next(), 'owner');
  const [held] = await fs.readdir(path.join(directory, 'LOCK.lock'));
  const { pid } = JSON.parse(await fs.readFile(path.join(directory, 'LOCK.lock', held), 'utf8')) as LockOwner;
  process.kill(pid, 'SIGKILL');
  await inState(pid, 'Z');
  await (await open(directory, 'lockfile')).release();
});

const OPENERS = ['flock', 'lockfile'] as const;
for (const provider of OPENERS) {
  const skip = unavailable(provider);

  test(`a reused process id is taken for the owner (${provider})`, { skip: skip || linuxOnly }, async (t) => {
    const directory = await newDirectory(t);
    await leaveHeartbeat(directory, thisOwner('lockfile'), LONG_AGO);
    await assert.rejects(open(directory, provider), isLocked, 'this very process is the owner');
    await fs.rm(path.join(directory, 'LOCK.lock'), { recursive: true });
    await leaveHeartbeat(directory, deadOwner('lockfile'));
    await leaveFlockRecord(directory, deadOwner('flock'));
    await (await open(directory, provider)).release();
  });

  test(`an owner before the last boot is waited for (${provider})`, { skip: skip || linuxOnly }, async (t) => {
    const directory = await newDirectory(t);
    await leaveHeartbeat(directory, { ...thisOwner('lockfile'), bootId: 'earlier' });
    await leaveFlockRecord(directory, { ...thisOwner('flock'), bootId: 'earlier' });
    await (await open(directory, provider)).release();
  });

  const elsewhere: readonly Partial<LockOwner>[] = [
    { host: 'elsewhere' }, { machineId: 'another of this name', bootId: 'another' }, { pidNamespace: 'pid:[1]' },
  ];
  for (const place of elsewhere) {
    const [what] = Object.keys(place);
    test(`an owner of another ${what} is taken for dead (${provider})`, { skip: skip || linuxOnly }, async (t) => {
      const directory = await newDirectory(t);
      const owner = { ...thisOwner('lockfile'), ...place, startTime: '1', pid: UNUSED_PID };
      await leaveHeartbeat(directory, owner);
      await assert.rejects(open(directory, provider), new RegExp(`process ${UNUSED_PID} on ${owner.host}`));
      // Its heartbeat is all that is known of it.
      await silence(directory);
      await (await open(directory, provider)).release();
    });
  }

  const garbage = [
    '', '{', '{"pid":', 'null', '0', '[]', '{"pid":-1,"host":"","token":"","provider":"flock"}', '\0'.repeat(1024),
  ];
  test(`a half-written record locks the directory for ever (${provider})`, { skip }, async (t) => {
    const directory = await newDirectory(t);
    for (const record of garbage) {
      await leaveFlockRecord(directory, record);
      await leaveHeartbeat(directory, record, LONG_AGO);
      await (await open(directory, provider)).release();
      await leaveHeartbeat(directory, record);
      await assert.rejects(open(directory, provider), isLocked, 'its heartbeat is young');
      await fs.rm(path.join(directory, 'LOCK.lock'), { recursive: true });
    }
  });

  test(`giving the directory up twice frees it for its next owner's rivals (${provider})`, { skip }, async (t) => {
    const directory = await newDirectory(t);
    const lock = await open(directory, provider);
    await Promise.all([lock.release(), lock.release()]);
    const next = await open(directory, provider);
    await lock.release();
    for (const rival of OPENERS.filter((kind) => unavailable(kind) === false)) {
      await assert.rejects(open(directory, rival), isLocked);
    }
    await next.release();
  });

  test(`refused and failing openers leave descriptors open (${provider})`, { skip: skip || linuxOnly }, async (t) => {
    const directory = await newDirectory(t);
    await (await open(directory, provider)).release();
    const before = await openDescriptors();
    const lock = await open(directory, provider);
    const whileHeld = await openDescriptors();
    for (let time = 0; time < 5; time++) await assert.rejects(open(directory, provider), isLocked);
    assert.equal((await openDescriptors()).length, whileHeld.length);
    await lock.release();
    await assert.rejects(open(path.join(directory, 'missing'), provider), { code: 'ENOENT' });
    assert.equal((await openDescriptors()).length, before.length);
  });
}

test('an owner by flock elsewhere, which has no heartbeat, is taken for dead', { skip: linuxOnly }, async (t) => {
  const directory = await newDirectory(t);
  await leaveFlockRecord(directory, { ...thisOwner('flock'), host: 'elsewhere', pid: UNUSED_PID });
  await assert.rejects(open(directory, 'lockfile'), /process \d+ on elsewhere .* remove that file only if/);
  assert.deepEqual(await fs.readdir(directory), ['LOCK'], 'whoever withdraws leaves nothing behind');
});

const withoutFlock = unavailable('flock');

test('an owner elsewhere keeps out an opener that has the kernel\'s word', { skip: withoutFlock }, async (t) => {
  const directory = await newDirectory(t);
  await leaveFlockRecord(directory, { ...thisOwner('flock'), host: 'elsewhere' });
  await (await open(directory, 'flock')).release();
  await (await open(directory, 'lockfile')).release();
});

test('a withdrawing opener wipes out the owner\'s record', { skip: withoutFlock || linuxOnly }, async (t) => {
  const directory = await newDirectory(t);
  const holder = await startProcess(t, directory, 'lockfile');
  assert.equal(await holder.ask('lock'), 'owner');
  await assert.rejects(open(directory, 'flock'), isLocked);
  await holder.kill('SIGSTOP');
  await silence(directory);
  await assert.rejects(open(directory, 'flock'), new RegExp(`process ${holder.pid} on`));
  await assert.rejects(open(directory, 'lockfile'), new RegExp(`process ${holder.pid} on`));
});

test('nobody is told that the heartbeat directory has been lost', async (t) => {
  const directory = await newDirectory(t);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const told: Error[] = [];
  let tell!: () => void;
  const lost = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const lock = await open(directory, 'lockfile', (cause) => {
    told.push(cause);
    tell();
  });
  await fs.rm(path.join(directory, 'LOCK.lock'), { recursive: true });
  const thief = await open(directory, 'lockfile');
  t.mock.timers.tick(STALE_MS);
  await lost;
  assert.equal(told.length, 1);
  // What is lost is somebody else's: giving it up must not take it from them.
  await lock.release();
  await assert.rejects(open(directory, 'lockfile'), isLocked);
  await thief.release();
  assert.equal(told.length, 1);
});

test('an owner that gives the directory up hears that it has lost it', async (t) => {
  const directory = await newDirectory(t);
  for (let round = 0; round < 20; round++) await (await open(directory, 'lockfile')).release();
  assert.deepEqual((await fs.readdir(directory)).filter((name) => name !== 'LOCK'), []);
});

test('a file system without kernel locks cannot be used at all', async (t) => {
  const directory = await newDirectory(t);
  const unsupported = {
    flockSync: () => {
      throw Object.assign(new Error('no locks here'), { code: 'ENOLCK' });
    },
  };
  const lock = await lockDirectory(directory, failOnLoss, unsupported);
  await assert.rejects(lockDirectory(directory, failOnLoss, unsupported), isLocked);
  await assert.rejects(lockDirectory(directory, failOnLoss), isLocked);
  await lock.release();
});

test('an error of the system passes for a lock that somebody else has', async (t) => {
  const directory = await newDirectory(t);
  const failing = {
    flockSync: () => {
      throw Object.assign(new Error('input/output error'), { code: 'EIO' });
    },
  };
  await assert.rejects(lockDirectory(directory, failOnLoss, failing), { code: 'EIO' });
  const file = path.join(directory, 'file');
  await fs.writeFile(file, '');
  for (const provider of OPENERS.filter((kind) => unavailable(kind) === false)) {
    await assert.rejects(open(file, provider), { code: 'ENOTDIR' });
  }
});

test('openers that died while they prepared leave their directories behind for ever', async (t) => {
  const directory = await newDirectory(t);
  await fs.mkdir(path.join(directory, 'LOCK.lock-left'));
  await fs.writeFile(path.join(directory, 'LOCK.lock-left', 'x.claim'), '');
  await (await open(directory, 'lockfile')).release();
  assert.deepEqual(await fs.readdir(directory), []);
});
