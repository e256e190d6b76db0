/** The fault matrix, rows 4 to 6, 17, 21 to 23, 29 and 40: real processes, real mounts, real directories. */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { NodeFileManager } from '../../src/index.js';
import { loadFlock } from '../../src/files/lock/optional.js';
import type { FewDescriptors, FullAfterCrash, FullDisk, ReadOnly } from '../tools/fault-matrix-child.js';
import { outcomeOf } from '../tools/fault-matrix-parts.js';
import { fillSegment, forEachFileManager, RecordingManager, Storage, turns, withTemporaryDirectory } from '../tools/helpers.js';
import { KillRounds } from '../tools/kill-rounds.js';
import { Random } from '../support/random.js';

const CHILD = fileURLToPath(new URL('../tools/fault-matrix-child.js', import.meta.url));

/** Defines a test that has a directory of its own. */
function inDirectory(name: string, body: (directory: string, context: TestContext) => Promise<void>): void {
  test(name, { timeout: 120_000 }, (context) => withTemporaryDirectory((directory) => body(directory, context)));
}

interface Child {
  readonly process: ChildProcess;
  /** What it says first. */
  readonly answer: unknown;
}

/** Starts `command` and resolves when it has said something. */
async function start(command: string, ...args: string[]): Promise<Child> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const said = once(createInterface({ input: child.stdout }), 'line') as Promise<[string]>;
  const ended = once(child, 'close').then(([code, signal]) => assert.fail(`it said nothing and ended, ${code ?? signal}: ${errors}`));
  ended.catch(() => undefined);
  const [line] = await Promise.race([said, ended]);
  return { process: child, answer: JSON.parse(line) as unknown };
}

/** Starts the child in a mode. Extra words come before it: a program that starts it. */
function startChild(mode: string, directory: string, ...before: string[]): Promise<Child> {
  const [command, ...args] = [...before, process.execPath, CHILD, mode, directory];
  return start(command, ...args);
}

async function kill(child: Child): Promise<void> {
  const closed = once(child.process, 'close');
  child.process.kill('SIGKILL');
  await closed;
}

function storageIn(directory: string): Storage {
  return new Storage(new NodeFileManager(), directory);
}

/** Words that start a program where `mount` has put something on `directory`, for that program alone. */
function mounted(directory: string, mount: string): string[] {
  const script = `${mount} && exec "$@"`;
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, directory];
}

/** Why the mount cannot be had, if so. Mounting takes root, and the tools. */
function whyNotMounted(directory: string, mount: string): string | undefined {
  const [command, ...args] = [...mounted(directory, mount), 'true'];
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return undefined;
  return `needs root, unshare(1) and mount(8): ${(error?.message ?? stderr).trim()}`;
}

const TMPFS = 'mount -t tmpfs -o size=1m none "$0"';
const EXT4 = 'truncate -s 4M "$0.img" && mkfs.ext4 -q -m 0 "$0.img" && mount -o loop "$0.img" "$0"';

for (const [kind, mount] of [['tmpfs', TMPFS], ['ext4', EXT4]]) {
  const onFullDisk = (name: string, mode: string, check: (result: FullDisk) => void): void => {
    inDirectory(`${name} (${kind})`, async (directory, context) => {
      const place = path.join(directory, 'mount');
      fs.mkdirSync(place);
      const reason = whyNotMounted(place, mount);
      if (reason !== undefined) return context.skip(reason);
      const { answer } = await startChild(mode, place, ...mounted(place, mount));
      return check(answer as FullDisk);
    });
  };

  onFullDisk('row 4: on a full disk the commit that needs a new segment rejects, and the log works again once there is space', 'fullForNextSegment',
    ({ outcome, withSpace, acknowledged, recovered }) => {
      assert.equal(outcome, 'WAL_NO_SPACE ENOSPC');
      assert.equal(withSpace, 'resolved');
      assert.deepEqual(recovered, acknowledged);
    });

  onFullDisk('row 5: an entry that outgrows its segment on a full disk rejects, and nothing is written behind it', 'fullInMidEntry',
    ({ outcome, withSpace, acknowledged, recovered }) => {
      assert.equal(outcome, 'WAL_FAILED ENOSPC, WAL_FAILED ENOSPC');
      assert.equal(withSpace, 'resolved');
      assert.deepEqual(recovered, acknowledged);
    });
}

const image = (bytes: string, make: string, options = 'loop'): string => {
  return `truncate -s ${bytes} "$0.img" && ${make} "$0.img" >&2 && mount -o ${options} "$0.img" "$0"`;
};
// Where btrfs writes every block to a new place, no file can keep space in reserve.
const FILE_SYSTEMS = [
  ['ext4', image('16M', 'mkfs.ext4 -q -m 0')],
  ['xfs', image('300M', 'mkfs.xfs -q -f')],
  ['btrfs without copy-on-write', image('128M', 'mkfs.btrfs -q -f', 'loop,nodatacow')],
];

for (const [kind, mount] of FILE_SYSTEMS) {
  for (const [mode, reserve] of [['fullAfterCrash', 'kept'], ['fullWithoutReserve', 'lost']]) {
    inDirectory(`row 40: a log that was killed on a full disk cannot be opened there, or takes no entry again (${kind}, reserve ${reserve})`, async (directory, context) => {
      const place = path.join(directory, 'mount');
      fs.mkdirSync(place);
      const reason = whyNotMounted(place, mount);
      if (reason !== undefined) return context.skip(reason);
      const { answer } = await startChild(mode, place, ...mounted(place, mount));
      const { opening, append, acknowledged, recovered } = answer as FullAfterCrash;
      assert.deepEqual({ opening, append }, { opening: 'resolved', append: 'resolved' });
      assert.ok(acknowledged.length > 0);
      assert.deepEqual(recovered, acknowledged);
    });
  }
}

inDirectory('row 6: a process out of descriptors gets EMFILE when it opens the log, and leaks none', async (directory, context) => {
  if (!fs.existsSync('/proc/self/fd')) return context.skip('needs /proc');
  const { answer } = await startChild('fewDescriptors', directory, 'sh', '-c', 'ulimit -n 64 && exec "$@"', 'sh');
  const { outcomes, leaked } = answer as FewDescriptors;
  assert.equal(outcomes.pop(), 'resolved');
  assert.ok(outcomes.length >= 2, `only ${outcomes.length} openings failed`);
  assert.deepEqual(new Set(outcomes), new Set(['WAL_IO EMFILE']));
  return assert.equal(leaked, 0);
});

/** Opens the log in `place`, below `directory`, as another user; undefined if that cannot be, and the test is skipped. */
async function openAsNobody(directory: string, place: string, context: TestContext): Promise<unknown> {
  if (process.getuid?.() !== 0) return void context.skip('needs root, to become another user');
  fs.chmodSync(directory, 0o755);
  const { answer } = await startChild('asNobody', place);
  if (answer === 'unreachable') return void context.skip('needs a directory for temporary files that every user can enter');
  return answer;
}

inDirectory('row 6: a directory that may not be written to is EACCES', async (directory, context) => {
  const place = path.join(directory, 'log');
  fs.mkdirSync(place, { mode: 0o755 });
  const answer = await openAsNobody(directory, place, context);
  if (answer !== undefined) assert.equal(answer, 'WAL_IO EACCES');
});

inDirectory('row 6: a directory whose parent may be entered and not listed can be used', async (directory, context) => {
  const place = path.join(directory, 'app', 'log');
  fs.mkdirSync(place, { recursive: true });
  fs.chmodSync(path.dirname(place), 0o711);
  if (process.getuid?.() === 0) fs.chownSync(place, 65_534, 65_534);
  const answer = await openAsNobody(directory, place, context);
  if (answer !== undefined) assert.equal(answer, 'resolved');
});

test('row 6: a directory whose parent cannot be synced can be used', { timeout: 120_000 }, async (context) => {
  // The parent is /proc, which has nothing to sync and says EINVAL.
  const reason = whyNotMounted('/proc/fs', TMPFS);
  if (reason !== undefined) return context.skip(reason);
  const { answer } = await startChild('tryToOpen', '/proc/fs', ...mounted('/proc/fs', TMPFS));
  return assert.equal(answer, 'resolved');
});

inDirectory('row 23: a read-only file system is WAL_READ_ONLY, with a log on it or without', async (directory, context) => {
  const reason = whyNotMounted(directory, TMPFS);
  if (reason !== undefined) return context.skip(reason);
  const { answer } = await startChild('readOnly', directory, ...mounted(directory, TMPFS));
  const { existing, missing } = answer as ReadOnly;
  assert.match(existing, /^WAL_READ_ONLY/);
  return assert.match(missing, /^WAL_READ_ONLY/);
});

/** Everything in a directory but the log's own files, byte by byte. */
function foreignContent(directory: string, names: readonly string[]): unknown[] {
  return names.map((name) => {
    const place = path.join(directory, name);
    const stats = fs.lstatSync(place);
    if (stats.isSymbolicLink()) return [name, 'link', fs.readlinkSync(place)];
    if (stats.isDirectory()) return [name, 'directory', fs.readdirSync(place)];
    return [name, 'file', stats.mtimeMs, fs.readFileSync(place, 'hex')];
  });
}

inDirectory('row 17: foreign files, links and subdirectories are ignored, and are the same byte for byte afterwards', async (directory) => {
  const place = path.join(directory, 'wal');
  const files = ['wal-x', 'wal-01', 'wal-1.tmp', '.tmp', 'wal-', 'wal-1-cp.bak', 'WAL-1', 'wal-1 ', 'wal-99999999999999999999', 'notes.txt', 'wal-00-cp'];
  fs.mkdirSync(path.join(place, 'wal-700'), { recursive: true });
  fs.mkdirSync(path.join(place, 'snapshots'));
  fs.writeFileSync(path.join(place, 'wal-700', 'wal-1'), 'somebody else’s');
  for (const name of files) fs.writeFileSync(path.join(place, name), `okw\u0001 ${name}`);
  fs.writeFileSync(path.join(directory, 'target'), 'okw of somebody else');
  fs.symlinkSync('../target', path.join(place, 'wal-800'));
  fs.symlinkSync('nowhere', path.join(place, 'wal-900'));
  fs.symlinkSync('..', path.join(place, 'wal-901-cp'));
  const names = [...files, 'wal-700', 'wal-700/wal-1', 'snapshots', '../target', 'wal-800', 'wal-900', 'wal-901-cp'];
  const before = foreignContent(place, names);
  const storage = storageIn(place);
  const manager = new RecordingManager();
  const ids: number[] = [];
  for (let round = 0; round < 3; round++) {
    const log = await storage.open({ manager });
    while (log.stats().segmentsRecycled < 2) ids.push(...await fillSegment(log));
    await log.shutdown();
  }
  const handedOver = manager.checkpoints.flatMap(({ entries }) => entries.map(({ id }) => id));
  assert.deepEqual([...handedOver, ...(await storage.contents()).map(({ id }) => id)], ids);
  assert.deepEqual(foreignContent(place, names), before);
});

for (const name of ['wal-0-cp', 'wal-1', 'wal-2', 'wal-tail', 'LOCK']) {
  inDirectory(`row 17: a link ${name}, a name that the log is about to use, is not followed to the file it points to`, async (directory) => {
    const place = path.join(directory, 'log');
    const target = path.join(directory, 'target');
    fs.mkdirSync(place);
    fs.writeFileSync(target, 'precious');
    fs.symlinkSync(target, path.join(place, name));
    const storage = storageIn(place);
    for (let round = 0; round < 2; round++) {
      const opening = storage.open();
      if (await outcomeOf(opening) !== 'resolved') break;
      const log = await opening;
      await outcomeOf(fillSegment(log));
      await log.shutdown();
    }
    assert.equal(fs.readFileSync(target, 'utf8'), 'precious');
  });
}

forEachFileManager('row 21: a directory that is open cannot be opened again in the same process', async (storage) => {
  const log = await storage.open();
  for (let i = 0; i < 3; i++) await assert.rejects(storage.open(), { code: 'WAL_LOCKED' });
  assert.equal((await log.append('still mine')).id, 1);
  await log.shutdown();
  await (await storage.open()).shutdown();
});

/** Tries to open the log from a thread of this process. */
async function openInThread(directory: string): Promise<unknown> {
  const worker = new Worker(CHILD, { workerData: ['tryToOpen', directory] });
  const [answer] = (await once(worker, 'message')) as [unknown];
  await worker.terminate();
  return answer;
}

inDirectory('row 21: a directory that is open cannot be opened by another thread or process', async (directory) => {
  const storage = storageIn(directory);
  const log = await storage.open();
  assert.equal(await openInThread(directory), 'WAL_LOCKED');
  assert.equal((await startChild('tryToOpen', directory)).answer, 'WAL_LOCKED');
  assert.equal((await log.append('still mine')).id, 1);
  await log.shutdown();
  const child = await startChild('hold', directory);
  await assert.rejects(storage.open(), (error: Error & { code?: string }) => {
    // The holder is named.
    return error.code === 'WAL_LOCKED' && error.message.includes(String(child.process.pid));
  });
  assert.equal(await openInThread(directory), 'WAL_LOCKED');
  await kill(child);
});

inDirectory('row 22: a holder that was killed -9 does not keep the log from being opened at once', async (directory) => {
  const storage = storageIn(directory);
  for (let round = 0; round < 3; round++) {
    const child = await startChild('hold', directory);
    await assert.rejects(storage.open(), { code: 'WAL_LOCKED' });
    await kill(child);
    const log = await storage.open();
    await log.append(`round ${round}`);
    await log.shutdown();
  }
  assert.equal((await storage.contents()).length, 3);
});

inDirectory('row 22: a holder that was stopped still has the log', async (directory, context) => {
  if (process.platform !== 'linux') return context.skip('looks into /proc');
  const storage = storageIn(directory);
  const child = await startChild('hold', directory);
  child.process.kill('SIGSTOP');
  const state = (): string => fs.readFileSync(`/proc/${child.process.pid}/stat`, 'utf8').split(') ')[1]?.[0] ?? '';
  while (state() !== 'T') await turns(1);
  await assert.rejects(storage.open(), { code: 'WAL_LOCKED' });
  assert.equal((await startChild('tryToOpen', directory)).answer, 'WAL_LOCKED');
  child.process.kill('SIGCONT');
  await kill(child);
  return (await storage.open()).shutdown();
});

inDirectory('row 22: a record that names a process which only has the pid of the holder neither keeps nor takes the log', async (directory, context) => {
  if ((await loadFlock()) === null) return context.skip('fs-ext is not installed');
  const storage = storageIn(directory);
  const child = await startChild('hold', directory);
  const file = path.join(directory, 'LOCK');
  const record = fs.readFileSync(file, 'utf8');
  const owner = JSON.parse(record) as { pid: number };
  assert.equal(owner.pid, child.process.pid);
  const forge = (pid: number): void => fs.writeFileSync(file, JSON.stringify({ ...owner, pid }).padEnd(record.length));
  // The holder lives, whatever the record says: of nobody, and of somebody else.
  for (const pid of [2 ** 22 + 1, process.pid]) {
    forge(pid);
    await assert.rejects(storage.open(), { code: 'WAL_LOCKED' }, `pid ${pid}`);
  }
  await kill(child);
  // The holder is dead, and this process has its pid, but has not been running for as long.
  forge(process.pid);
  return (await storage.open()).shutdown();
});

inDirectory('row 29: killed again and again under load from 16 writers, the log keeps all that was acknowledged', async (directory, context) => {
  const rounds = new KillRounds(directory, new Random(1));
  for (let round = 0; round < 10; round++) await rounds.run();
  const { acknowledged, checkpoints } = rounds;
  assert.ok(acknowledged > 500 && checkpoints > 10, `only ${acknowledged} entries and ${checkpoints} checkpoints`);
  context.diagnostic(`${acknowledged} entries acknowledged, ${checkpoints} checkpoints begun`);
});
