/** The command line on logs of the predecessor, OkayWAL, and on those that still have segments of it. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LogVoid, WriteAheadLog } from '../../src/index.js';
import { keepAll, wal } from '../tools/command-line.js';
import { SMALL } from '../tools/helpers.js';

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0', import.meta.url));
const NOTE = 'format 0 has no chain: damage can look like an end there';

function fixture(name: string): string {
  return path.join(FIXTURES, name, 'log');
}

function flipByte(file: string, offset: number): void {
  const bytes = fs.readFileSync(file);
  bytes[offset] ^= 0x40;
  fs.writeFileSync(file, bytes);
}

function content(directory: string): Map<string, Buffer> {
  return new Map(fs.readdirSync(directory).map((name) => [name, fs.readFileSync(path.join(directory, name))]));
}

function dumped(directory: string): unknown[] {
  const lines = wal('dump', directory, '--json').stdout.split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as { id: number; chunks: unknown[] }).map(({ id, chunks }) => [id, chunks]);
}

describe('the command line on format 0', () => {
  let root: string;

  before(() => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-0-'));
  });
  after(() => fs.rmSync(root, { recursive: true, force: true }));

  /** A copy of the log of nine segments, to be damaged. */
  function nineSegments(name: string): string {
    const directory = path.join(root, name);
    fs.cpSync(fixture('segments'), directory, { recursive: true });
    return directory;
  }

  test('verify calls a log of the predecessor neither damaged nor sound', () => {
    for (const name of ['segments', 'large', 'small', 'recycled']) {
      const { status, stdout } = wal('verify', fixture(name));
      assert.equal(status, 0, name);
      assert.match(stdout, new RegExp(`^note: ${NOTE}\nreadable: \\d+ whole entr`), name);
    }
    const { status, stdout } = wal('verify', fixture('torn'));
    assert.equal(status, 1);
    assert.match(stdout, /^torn: 35050 bytes of an entry that was never completed, or is damaged, at offset 1600 of segment 1$/m);
    const { state, notes } = JSON.parse(wal('verify', fixture('large'), '--json').stdout) as { state: string; notes: string[] };
    assert.deepEqual([state, notes], ['readable', [NOTE]]);
  });

  test('inspect does not say that anything is proven durable where nothing can be', () => {
    const { stdout } = wal('inspect', fixture('segments'));
    assert.match(stdout, /^ids +up to 40$/m);
    assert.match(stdout, new RegExp(`^note +${NOTE}$`, 'm'));
  });

  test('damage that looks like the end of a segment is not passed over by any command', () => {
    const directory = nineSegments('hidden-damage');
    flipByte(path.join(directory, 'wal-10'), 3000);
    const gap = 'entries 13 to 15 are missing between segment 10 and segment 16: lost, or rolled back';
    const verdict = wal('verify', directory);
    assert.deepEqual([verdict.status, verdict.stdout.split('\n').slice(0, 2)], [1, [`unclear: ${gap}`, `note: ${NOTE}`]]);
    assert.match(verdict.stdout, /^unclear; 37 entries are whole, in 9 segments, /m);
    const { gaps } = JSON.parse(wal('verify', directory, '--json').stdout) as { gaps: { fromId: number; toId: number }[] };
    assert.deepEqual(gaps.map(({ fromId, toId }) => [fromId, toId]), [[13, 15]]);
    assert.match(wal('inspect', directory).stdout, new RegExp(`^gap +${gap}$`, 'm'));
    for (const command of ['repair', 'import']) {
      const { status, stdout } = wal(command, directory, '--to', path.join(root, `gap-${command}`));
      assert.equal(status, 1);
      assert.match(stdout, new RegExp(`^left out: ${gap}\nnote: ${NOTE}\n37 entries copied to `));
    }
  });

  test('a segment that is missing is not passed over, nor one whose header is damaged told twice', () => {
    const directory = nineSegments('missing');
    flipByte(path.join(directory, 'wal-16'), 0);
    const damaged = wal('verify', directory);
    assert.equal(damaged.status, 2);
    assert.match(damaged.stdout, /^damaged: segment 16 has no valid header; entries 16 to 19 are lost\nnote: /);
    fs.rmSync(path.join(directory, 'wal-16'));
    const missing = wal('verify', directory);
    assert.equal(missing.status, 1);
    assert.match(missing.stdout, /^unclear: entries 16 to 19 are missing between segment 10 and segment 20: /);
  });

  test('import does not cut off the end in silence', () => {
    const to = path.join(root, 'imported-torn');
    const { status, stdout } = wal('import', fixture('torn'), '--to', to);
    assert.equal(status, 0);
    assert.match(stdout, /^left out: 35050 bytes at the end, of an entry that was never completed, or is damaged$/m);
    assert.match(stdout, /^5 entries copied to .*, with their ids$/m);
    assert.match(wal('import', fixture('recycled'), '--to', path.join(root, 'imported-one')).stdout, /^1 entry copied to .*, with its id$/m);
  });

  test('import does not go over damage in silence: it makes nothing then', async () => {
    const from = nineSegments('damaged');
    const to = path.join(root, 'never-imported');
    const log = await WriteAheadLog.recover(from, keepAll, SMALL);
    for (let i = 0; i < 20; i++) await log.append(Buffer.alloc(250, i));
    await log.shutdown();
    const isFormat1 = (name: string): boolean => fs.readFileSync(path.join(from, name))[3] === 1;
    const names = fs.readdirSync(from).filter((name) => /^wal-\d+$/.test(name)).sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
    flipByte(path.join(from, names.filter(isFormat1)[0]), 500);
    const { status, stderr } = wal('import', from, '--to', to);
    assert.deepEqual([status, fs.existsSync(to)], [2, false]);
    assert.match(stderr, /^damaged: .*\nthe log is damaged: nothing was imported; /);
    const lines = wal('import', from, '--to', to, '--json').stderr.trim().split('\n');
    for (const line of lines) assert.equal((JSON.parse(line) as { error: { code: string } }).error.code, 'WAL_CORRUPT');
  });

  test('import loses no entry of the predecessor, nor its id, and the new log goes on above it', async () => {
    for (const name of ['segments', 'recycled']) {
      const from = fixture(name);
      const to = path.join(root, `imported-${name}`);
      const files = content(from);
      const { status, stderr } = wal('import', from, '--to', to);
      assert.equal(status, 0, stderr);
      assert.deepEqual(content(from), files);
      assert.deepEqual(dumped(to), dumped(from));
      const { segments, lastId } = JSON.parse(wal('inspect', to, '--json').stdout) as {
        segments: { formatVersion: number }[]; lastId: number;
      };
      assert.ok(segments.every(({ formatVersion }) => formatVersion === 1));
      const log = await WriteAheadLog.recover(to, LogVoid);
      assert.equal((await log.append('next')).id, lastId + 1);
      await log.shutdown();
    }
    const nothingOld = path.join(root, 'imported-segments');
    assert.equal(wal('import', nothingOld, '--to', path.join(root, 'none')).status, 66);
  });
});
