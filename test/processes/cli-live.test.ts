/** The command line on a log whose owner checkpoints entries while they are read. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LogVoid, WriteAheadLog } from '../../src/index.js';
import { BIN, keepAll } from '../tools/command-line.js';
import { SMALL } from '../tools/helpers.js';

const PRELOAD = new URL('../tools/live-log-preload.js', import.meta.url).href;
const FORMAT_0 = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0/segments/log', import.meta.url));
const ENTRIES = 40;

describe('the command line on a live log', () => {
  let root: string;
  let sound: string;
  /** A log of one segment. */
  let single: string;
  /** The last id of the second segment of `sound`. */
  let upTo: number;

  before(async () => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-live-'));
    sound = path.join(root, 'sound');
    const log = await WriteAheadLog.recover(sound, keepAll, { ...SMALL, checkpointAfterBytes: 4000 });
    for (let i = 1; i <= ENTRIES; i++) {
      await log.append([`key ${i}`, Buffer.alloc(250, i)]);
      if (i % 10 === 0) await log.checkpointActive();
    }
    await log.shutdown();
    upTo = 20;
    single = path.join(root, 'single');
    const other = await WriteAheadLog.recover(single, keepAll, SMALL);
    await other.append('only one segment');
    await other.shutdown();
  });
  after(() => fs.rmSync(root, { recursive: true, force: true }));

  /** Runs a command on a copy of a log, the entries of which up to `upTo` go once the command has opened it. */
  function live(name: string, source: string, goneUpTo: number, command: string, ...args: string[]) {
    const directory = path.join(root, name);
    fs.cpSync(source, directory, { recursive: true });
    const env = { ...process.env, LIVE_LOG: directory, LIVE_UP_TO: `${goneUpTo}` };
    return spawnSync(process.execPath, ['--import', PRELOAD, BIN, command, directory, ...args], { encoding: 'utf8', env });
  }

  const rest = (): string => `entries up to ${upTo} were checkpointed while being read, this is the rest`;

  test('verify takes no segment that went meanwhile for a fault, nor counts it', () => {
    const { status, stdout, stderr } = live('verify', sound, upTo, 'verify');
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, new RegExp(`^note: ${rest()}\nsound: ${ENTRIES - upTo} whole entries in `));
    const { notes, state } = JSON.parse(live('verify-json', sound, upTo, 'verify', '--json').stdout) as { notes: string[]; state: string };
    assert.deepEqual([state, notes], ['sound', [rest()]]);
  });

  test('verify and inspect look again at a log that went as a whole', () => {
    const verdict = live('verify-all', single, 0, 'verify');
    assert.deepEqual([verdict.status, verdict.stderr], [0, '']);
    assert.match(verdict.stdout, /^sound: [1-9]\d* whole entr/);
    const shown = live('inspect-all', single, 0, 'inspect');
    assert.equal(shown.status, 0, shown.stderr);
    assert.doesNotMatch(shown.stdout, /checkpointed while/);
  });

  test('inspect shows no segment that went meanwhile', () => {
    const { status, stdout, stderr } = live('inspect', sound, upTo, 'inspect');
    assert.deepEqual([status, stderr], [0, '']);
    assert.doesNotMatch(stdout, /^wal-1 /m);
    assert.match(stdout, new RegExp(`^note +${rest()}$`, 'm'));
  });

  test('dump and tail print what is left, and say what went', () => {
    const dumped = live('dump', sound, upTo, 'dump');
    assert.deepEqual([dumped.status, dumped.stderr], [0, `note: entries up to ${upTo} were checkpointed while being printed\n`]);
    assert.deepEqual([...dumped.stdout.matchAll(/^entry (\d+)/gm)].map(([, id]) => Number(id)),
      Array.from({ length: ENTRIES - upTo }, (_, i) => upTo + 1 + i));
    const last = live('tail', sound, upTo, 'tail', '-n', '30', '--json');
    assert.equal(last.status, 0);
    assert.equal((JSON.parse(last.stdout.split('\n')[0]) as { id: number }).id, upTo + 1);
    assert.match(live('tail-all', single, 0, 'tail', '-n', '1').stdout, /^entry \d+ /);
  });

  test('a copy has no gap where a segment went while it was copied, and says what it has not', () => {
    for (const [command, source, gone] of [['repair', sound, upTo], ['import', FORMAT_0, 9]] as const) {
      const to = path.join(root, `copied-${command}`);
      const { status, stdout, stderr } = live(`from-${command}`, source, gone, command, '--to', to);
      assert.deepEqual([status, stderr], [0, ''], stdout);
      assert.match(stdout, /^left out: entries up to \d+, which were checkpointed while being copied$/m);
      const lines = spawnSync(process.execPath, [BIN, 'dump', to, '--json'], { encoding: 'utf8' }).stdout.trim().split('\n');
      const ids = lines.map((line) => (JSON.parse(line) as { id: number }).id);
      assert.deepEqual(ids, ids.map((_, i) => ids[0] + i));
      assert.ok(ids[0] === gone + 1, `${ids[0]}`);
    }
  });

  test('an entry that goes in the middle of its print ends it, with a line that is whole, and no other entry is missed', async () => {
    for (const format of ['--json', '--hex']) {
      const directory = path.join(root, `half-printed${format}`);
      const log = await WriteAheadLog.recover(directory, keepAll, SMALL);
      await log.append(Buffer.alloc(16 * 1024 * 1024, 0xff));
      await log.checkpointActive();
      await log.append('next');
      const child = spawn(process.execPath, [BIN, 'dump', directory, format], { stdio: ['ignore', 'pipe', 'pipe'] });
      const closed = once(child, 'close');
      let output = '';
      child.stderr.resume();
      // Not read on: the command waits in the middle of the entry, for there is more than any buffer holds.
      await once(child.stdout, 'readable');
      await log.truncateBefore(2);
      while (fs.readdirSync(directory).includes('wal-1-cp')) {
        await log.append('in a file that was freed');
        await log.checkpointActive();
      }
      for await (const piece of child.stdout) output += String(piece);
      assert.deepEqual(await closed, [0, null]);
      await log.shutdown();
      const [first, second] = format === '--json' ? output.split('\n') : output.split('entry ').slice(1);
      if (format === '--json') {
        assert.match((JSON.parse(first) as { incomplete: string }).incomplete, /^segment 1 has been checkpointed/);
        assert.equal((JSON.parse(second) as { id: number }).id, 2);
      } else {
        assert.match(first, /\n {2}[0-9a-f]{8} {2}f{64}\n$/);
        assert.match(second, /^2 /);
      }
    }
  });

  test('no command takes a log that rotates all the time for a faulty one', { timeout: 120_000 }, async () => {
    const directory = path.join(root, 'rotating');
    const log = await WriteAheadLog.recover(directory, LogVoid, { ...SMALL, preallocateBytes: 65536, checkpointAfterBytes: 32768 });
    await log.append('first');
    let isOver = false;
    const rotating = (async () => {
      while (!isOver) await Promise.all(Array.from({ length: 20 }, () => log.append(Buffer.alloc(2000))));
    })();
    for (const [i, args] of [['verify'], ['inspect'], ['dump'], ['tail'], ['repair', '--to']].entries()) {
      const [command, ...options] = args;
      const words = options.length === 0 ? [] : [...options, path.join(root, `rotated-${i}`)];
      const child = spawn(process.execPath, [BIN, command, directory, ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
      const errors: string[] = [];
      child.stderr.on('data', (data) => errors.push(String(data)));
      const [status] = (await once(child, 'close')) as [number];
      assert.ok(status === 0 || (command === 'verify' && status === 1), `${command}: ${status} ${errors.join('')}`);
    }
    isOver = true;
    await rotating;
    await log.shutdown();
  });
});
