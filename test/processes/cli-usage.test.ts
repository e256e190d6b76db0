/** What the command line says to those who call it in the wrong way, and of itself. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LogVoid, WriteAheadLog } from '../../src/index.js';
import { ROOT } from '../tools/example-project.js';
import { BIN, wal } from '../tools/command-line.js';
import { withTemporaryDirectory } from '../tools/helpers.js';

const OLD = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0/small/log', import.meta.url));

function errorOf(stderr: string): unknown {
  return (JSON.parse(stderr) as { error: unknown }).error;
}

describe('the usage of the command line', () => {
  let root: string;
  let directory: string;

  before(async () => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-usage-'));
    directory = path.join(root, 'log');
    const log = await WriteAheadLog.recover(directory, LogVoid);
    await log.append('entry');
    await log.shutdown();
  });
  after(() => fs.rmSync(root, { recursive: true, force: true }));

  test('does not hide its version', () => {
    const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
    const { status, stdout } = wal('--version');
    assert.deepEqual([status, stdout], [0, `${version}\n`]);
  });

  test('suggests a command only where one is near, and else lists them', () => {
    for (const [word, command] of [['verfiy', 'verify'], ['dmup', 'dump'], ['insp', 'inspect'], ['repairs', 'repair']]) {
      const { status, stderr } = wal(word, directory);
      assert.deepEqual([status, stderr], [64, `segmented-wal: no command ${word}; did you mean ${command}?; see segmented-wal --help\n`]);
    }
    for (const word of ['compact', 'x', '--bogus']) {
      const { status, stderr } = wal(word, directory);
      assert.equal(status, 64);
      assert.match(stderr, /; there are inspect, verify, dump, .*, backup, bench, archive inspect, .*; see segmented-wal --help\n$/);
    }
    assert.equal(wal().status, 64);
  });

  test('a wrong option is not answered with more than a line', () => {
    const answers: [string[], string][] = [
      [['verify', directory, '--bogus'], 'unknown option --bogus'],
      [['verify', directory, '--constructor'], 'unknown option --constructor'],
      [['tail', directory, '-x'], 'unknown option -x'],
      [['verify', directory, '--json=yes'], '--json takes no value'],
      [['repair', directory, '--to'], '--to needs a value: NEWDIR'],
      [['repair', directory, '--to', '--json'], '--to needs a value: NEWDIR'],
      [['repair', directory], '--to is missing'],
      [['tail', directory, '-n'], '-n needs a value: COUNT'],
      [['dump', directory, '--from', '5', '--to', '2'], '--to 2 comes before --from 5'],
    ];
    for (const [words, message] of answers) {
      const { status, stdout, stderr } = wal(...words);
      const [command] = words;
      const isJson = words.includes('--json');
      assert.deepEqual([status, stdout], [64, '']);
      if (isJson) assert.deepEqual(errorOf(stderr), { code: 'WRONG_USAGE', message });
      else assert.equal(stderr, `segmented-wal ${command}: ${message}; see segmented-wal ${command} --help\n`);
    }
    assert.equal(wal('tail', directory, '-n1').status, 0);
    assert.equal(wal('tail', directory, '--lines=1').status, 0);
  });

  test('an error is not text where JSON was wanted', () => {
    const missing = wal('verify', path.join(root, 'missing'), '--json');
    assert.equal((errorOf(missing.stderr) as { code: string }).code, 'NO_INPUT');
    assert.deepEqual(errorOf(wal('verfiy', directory, '--json').stderr), {
      code: 'WRONG_USAGE', message: 'no command verfiy; did you mean verify?',
    });
    const later = path.join(root, 'later');
    fs.cpSync(directory, later, { recursive: true });
    const file = path.join(later, 'wal-1');
    const bytes = fs.readFileSync(file);
    bytes[3] = 2;
    fs.writeFileSync(file, bytes);
    const { status, stderr } = wal('verify', later, '--json');
    const message = 'segment 1 has format version 2; this version reads 0 and 1';
    assert.deepEqual([status, errorOf(stderr)], [74, { code: 'WAL_UNSUPPORTED_VERSION', message }]);
  });

  test('repair and import write over nothing, and into nothing that they read', () => {
    const full = path.join(root, 'full');
    const file = path.join(root, 'file');
    const link = path.join(root, 'link');
    fs.mkdirSync(full);
    fs.writeFileSync(path.join(full, 'precious'), '');
    fs.writeFileSync(file, '');
    for (const [command, source] of [['repair', directory], ['import', OLD]]) {
      const from = path.join(root, `from-${command}`);
      fs.cpSync(source, from, { recursive: true });
      fs.rmSync(link, { force: true });
      fs.symlinkSync(from, link, 'junction');
      const names = fs.readdirSync(from);
      const inside = [from, path.join(from, 'sub'), path.join(from, 'sub/sub'), path.join(link, 'sub'), `${from}/../link`];
      for (const to of [...inside, full, file, path.join(file, 'sub')]) {
        const { status, stdout, stderr } = wal(command, from, '--to', to);
        assert.deepEqual([status, stdout], [64, ''], to);
        assert.match(stderr, inside.includes(to) ? / must not change; / : / is not (empty|a directory); /);
      }
      assert.equal(wal(command, link, '--to', path.join(from, 'sub')).status, 64);
      assert.deepEqual(fs.readdirSync(from), names);
      assert.equal(wal(command, from, '--to', `${from}-2`).status, 0, 'a name that only begins alike');
    }
    assert.deepEqual([fs.readdirSync(full), fs.readFileSync(file, 'utf8')], [['precious'], '']);
  });

  test('bench leaves nothing behind, and its figures are in order', async () => {
    await withTemporaryDirectory(async (target) => {
      assert.match(wal('bench', target, '--seconds', '1').stdout, /^\d+ durable writes of 512 bytes: median .*, longest .*$/m);
      const result = JSON.parse(wal('bench', target, '--seconds', '1', '--json').stdout) as Record<string, number>;
      assert.ok(result.writes > 0 && result.p50 > 0 && result.p50 <= result.p99 && result.p99 <= result.longest);
      assert.deepEqual(fs.readdirSync(target), []);
    });
  });

  test('bench leaves nothing behind when it is ended', { skip: process.platform === 'win32' && 'signals end at once there' }, async () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      await withTemporaryDirectory(async (target) => {
        const watcher = fs.watch(target);
        const made = once(watcher, 'change');
        const child = spawn(process.execPath, [BIN, 'bench', target, '--seconds', '600'], { stdio: 'ignore' });
        const closed = once(child, 'close');
        await made;
        child.kill(signal);
        await closed;
        watcher.close();
        assert.deepEqual(fs.readdirSync(target), [], signal);
      });
    }
  });
});
