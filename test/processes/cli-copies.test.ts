/** What `repair` and `import` leave where they are ended in the middle. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WriteAheadLog } from '../../src/index.js';
import { BIN, keepAll, wal } from '../tools/command-line.js';
import { SMALL } from '../tools/helpers.js';

const PRELOAD = new URL('../tools/failing-step-preload.js', import.meta.url).href;
function json(text: string): Readonly<Record<string, unknown>> {
  return JSON.parse(text) as Readonly<Record<string, unknown>>;
}

const FORMAT_0 = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0/small/log', import.meta.url));

describe('copies of logs', () => {
  let root: string;
  let log: string;

  before(async () => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-copies-'));
    log = path.join(root, 'log');
    // In two segments that differ in their version info, so that the copy is closed and opened again.
    for (const version of ['v1', 'v2']) {
      const writer = await WriteAheadLog.recover(log, keepAll, { ...SMALL, versionInfo: Buffer.from(version) });
      for (let i = 0; i < 2; i++) await writer.append(`${version} ${i}`);
      await writer.checkpointActive();
      await writer.shutdown();
    }
  });
  after(() => fs.rmSync(root, { recursive: true, force: true }));

  /** Copies into `to`, where something happens at a step. */
  function copyUntil(to: string, step: number, does: 'kill' | 'fail' | 'interrupt') {
    const env = { ...process.env, STEP: `${step}`, STEP_BELOW: to, STEP_DOES: does };
    return spawnSync(process.execPath, ['--import', PRELOAD, BIN, 'repair', log, '--to', to], { encoding: 'utf8', env });
  }

  async function assertWholeOrMissing(to: string, step: number): Promise<void> {
    if (!fs.existsSync(to) || fs.readdirSync(to).length === 0) return;
    const reader = await WriteAheadLog.openReadOnly(to);
    assert.equal(reader.lastId, 4, `step ${step}`);
    await reader.close();
  }

  test('a copy that was killed at any step is never taken for a whole one', { skip: process.platform === 'win32' }, async () => {
    for (let step = 1; ; step++) {
      const to = path.join(root, `killed-${step}`);
      const partial = `${to}.partial`;
      const { signal } = copyUntil(to, step, 'kill');
      await assertWholeOrMissing(to, step);
      if (signal === null) return assert.ok(step > 10, 'steps are counted');
      if (!fs.existsSync(partial)) continue;
      if (!fs.existsSync(path.join(partial, 'UNFINISHED-COPY'))) await assertWholeOrMissing(partial, step);
      else if (step === 5) assert.match(wal('verify', partial).stderr, /holds an unfinished copy, so entries are missing; /);
      if (step === 5) assert.match(wal('repair', log, '--to', to).stderr, /\.partial exists: .* delete that directory\n$/);
    }
  });

  test('a copy that fails at any step leaves nothing', async () => {
    for (let step = 1; ; step++) {
      const to = path.join(root, `failed-${step}`);
      fs.mkdirSync(to);
      const { status, stderr } = copyUntil(to, step, 'fail');
      await assertWholeOrMissing(to, step);
      assert.ok(fs.existsSync(to) && !fs.existsSync(`${to}.partial`), `step ${step}`);
      if (!stderr.includes('step reached')) return assert.ok(step > 10, 'steps are counted');
      if (status !== 0) assert.match(stderr, /a step that fails/);
    }
  });

  test('a copy that is interrupted leaves nothing', { skip: process.platform === 'win32' && 'signals end at once there' }, () => {
    const to = path.join(root, 'interrupted');
    const { status, stderr } = copyUntil(to, 4, 'interrupt');
    assert.equal(status, 74);
    assert.match(stderr, /^segmented-wal repair: interrupted by SIGTERM/);
    assert.deepEqual(fs.readdirSync(root).filter((name) => name.startsWith('interrupted')), []);
  });

  test('a copy that finds the disk full leaves nothing', { skip: process.platform !== 'linux' && 'it limits the size of files' }, () => {
    const to = path.join(root, 'too-large');
    const command = `ulimit -f 16; exec "$0" "$@"`;
    const { status, stderr } = spawnSync('sh', ['-c', command, process.execPath, BIN, 'repair', log, '--to', to], { encoding: 'utf8' });
    assert.equal(status, 74, stderr);
    assert.match(stderr, /^segmented-wal repair: .*EFBIG/);
    assert.deepEqual(fs.readdirSync(root).filter((name) => name.startsWith('too-large')), []);
  });

  test('a copy has other ids or batches, or the identity, and no command says which log it is', async () => {
    const from = path.join(root, 'identified');
    const writer = await WriteAheadLog.create(from, keepAll, { ...SMALL, nextId: 2 ** 40 });
    await writer.appendBatch(['a', 'b', 'c']);
    await writer.skipTo(2 ** 50);
    await writer.append('d');
    const identity = await writer.identity();
    await writer.shutdown();
    assert.equal(json(wal('inspect', from, '--json').stdout).identity, identity);
    assert.match(wal('inspect', from).stdout, new RegExp(`^identity +${identity}$`, 'm'));
    assert.equal(json(wal('verify', from, '--json').stdout).identity, identity);
    assert.match(wal('verify', from).stdout, new RegExp(`^identity: ${identity}$`, 'm'));
    assert.match(wal('dump', from).stdout, /, batch continues\n/);

    const to = path.join(root, 'identified-copy');
    assert.equal(wal('repair', from, '--to', to).status, 0);
    const entriesOf = (directory: string): unknown[] => {
      return wal('dump', directory, '--json').stdout.trim().split('\n').map((line) => {
        const { id, endsBatch, chunks } = json(line);
        return [id, endsBatch, chunks];
      });
    };
    assert.deepEqual(entriesOf(to), entriesOf(from));
    assert.deepEqual(entriesOf(to).map((entry) => (entry as unknown[])[1]), [false, false, true, true]);
    assert.equal(json(wal('inspect', to, '--json').stdout).identity, undefined);

    fs.writeFileSync(path.join(from, 'wal-identity'), 'something else');
    const { status, stdout } = wal('verify', from);
    assert.equal(status, 2);
    assert.match(stdout, /^damaged: wal-identity, which tells the log from others, is damaged; no entry is lost$/m);
    assert.equal(json(wal('inspect', from, '--json').stdout).identity, 'damaged');
  });

  test('an empty directory that gets a copy keeps its permissions, also behind a link', () => {
    const to = path.join(root, 'private');
    fs.mkdirSync(to, { mode: 0o700 });
    fs.symlinkSync(to, path.join(root, 'link'), 'junction');
    assert.equal(wal('import', FORMAT_0, '--to', path.join(root, 'link')).status, 0);
    assert.equal(fs.statSync(to).mode & 0o777, process.platform === 'win32' ? 0o666 : 0o700);
    assert.ok(fs.lstatSync(path.join(root, 'link')).isSymbolicLink());
    assert.equal(wal('verify', to).status, 0);
  });
});
