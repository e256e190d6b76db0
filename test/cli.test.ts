import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LogVoid, WriteAheadLog, type LogManager, type WalOptions } from '../src/index.js';
import { ROOT } from './example-project.js';
import { text, withTemporaryDirectory } from './helpers.js';

const BIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const FIXTURES = fileURLToPath(new URL('../../test/fixtures/okaywal-v0', import.meta.url));
const COMMANDS = ['inspect', 'verify', 'dump', 'tail', 'repair', 'import', 'bench'];
const SMALL: WalOptions = { preallocateBytes: 4096, checkpointAfterBytes: 2048, bufferBytes: 4096, maxPendingBytes: 1024 * 1024 };
const ENTRIES = 40;

/** Keeps every entry in the log. */
const keepAll: LogManager = {
  recover: () => undefined,
  checkpointTo() {
    throw new Error('this log keeps its entries');
  },
};

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function wal(...args: string[]): Outcome {
  return spawnSync(process.execPath, [BIN, ...args], { encoding: 'utf8' });
}

/** The single line of JSON that a command prints. */
function json<T>(...args: string[]): T {
  return JSON.parse(wal(...args, '--json').stdout) as T;
}

interface Verdict {
  readonly state: string;
  readonly entries: number;
  readonly tornBytes: number;
  readonly damage: readonly { readonly segmentId: number; readonly offset: number; readonly lost: string }[];
}

interface DumpedEntry {
  readonly id: number;
  readonly chunks: readonly string[];
}

function dumped(directory: string, ...args: string[]): DumpedEntry[] {
  const { stdout } = wal('dump', directory, '--json', ...args);
  return stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line) as DumpedEntry);
}

/** Every file of a directory, byte for byte. */
function content(directory: string): Map<string, Buffer> {
  const names = fs.readdirSync(directory).filter((name) => fs.statSync(path.join(directory, name)).isFile());
  return new Map(names.map((name) => [name, fs.readFileSync(path.join(directory, name))]));
}

function segmentFiles(directory: string): string[] {
  const names = fs.readdirSync(directory).filter((name) => /^wal-\d+$/.test(name));
  return names.sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)));
}

function flipByte(file: string, offset: number): void {
  const bytes = fs.readFileSync(file);
  bytes[offset] ^= 0x40;
  fs.writeFileSync(file, bytes);
}

describe('the command line', () => {
  let root: string;
  let sound: string;
  /** The same log, cut off in the middle of its last entry. */
  let torn: string;
  /** The same log with a flipped bit in its second segment. */
  let damaged: string;

  before(async () => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-'));
    [sound, torn, damaged] = ['sound', 'torn', 'damaged'].map((name) => path.join(root, name));
    const log = await WriteAheadLog.recover(sound, keepAll, { ...SMALL, versionInfo: Buffer.from('v7') });
    for (let i = 1; i <= ENTRIES; i++) await log.append([`key ${i}`, Buffer.alloc(250, i)]);
    fs.cpSync(sound, torn, { recursive: true });
    await log.shutdown();
    const [, second, ...rest] = segmentFiles(torn);
    fs.cpSync(sound, damaged, { recursive: true });
    flipByte(path.join(damaged, second), 500);
    const { offset } = json<{ end: { offset: number } }>('inspect', torn).end;
    flipByte(path.join(torn, rest.at(-1) as string), offset - 3);
  });
  after(() => fs.rmSync(root, { recursive: true, force: true }));

  test('leaves no command out of its help', () => {
    const { stdout, status } = wal('--help');
    assert.equal(status, 0);
    for (const command of COMMANDS) assert.match(stdout, new RegExp(`^ {2}${command} `, 'm'));
  });

  for (const command of COMMANDS) {
    test(`does not leave anybody without help for ${command}`, () => {
      const { status, stdout } = wal(command, '--help');
      assert.equal(status, 0);
      assert.match(stdout, new RegExp(`^usage: segmented-wal ${command} DIR`));
    });

    test(`does not take nonsense for ${command}: wrong usage is status 64, and nothing to read is 66`, () => {
      const { status, stderr, stdout } = wal(command, sound, '--nonsense');
      assert.deepEqual([status, stdout], [64, '']);
      assert.match(stderr, new RegExp(`^segmented-wal ${command}: .*see segmented-wal ${command} --help\n$`));
      const more = command === 'repair' || command === 'import' ? ['--to', path.join(root, 'never')] : [];
      assert.equal(wal(command, path.join(root, 'missing'), ...more).status, 66);
      assert.ok(!fs.existsSync(path.join(root, 'missing')));
    });
  }

  test('is not missing from the package, nor from the programs that it installs', () => {
    const manifest = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { bin: Record<string, string>; files: string[] };
    assert.equal(path.join(ROOT, manifest.bin['segmented-wal']), path.join(ROOT, 'dist/src/cli/main.js'));
    assert.ok(manifest.files.includes('dist/src'));
    assert.match(fs.readFileSync(BIN, 'utf8'), /^#!\/usr\/bin\/env node\n/);
  });

  test('suggests the nearest command for one that does not exist', () => {
    const { status, stderr } = wal('verfiy', sound);
    assert.equal(status, 64);
    assert.match(stderr, /did you mean verify\?/);
    assert.equal(wal().status, 64);
  });

  test('does not guess which directory is meant', () => {
    assert.equal(wal('verify').status, 64);
    assert.equal(wal('verify', sound, 'second').status, 64);
    assert.equal(wal('verify', BIN).status, 66, 'a file');
  });

  test('does not take a directory without a log for an empty log', () => {
    const { status, stderr } = wal('inspect', path.dirname(BIN));
    assert.equal(status, 66);
    assert.match(stderr, /holds no log/);
  });

  test('inspect leaves out no segment, and changes nothing', () => {
    const files = content(torn);
    const { stdout, status } = wal('inspect', torn);
    assert.equal(status, 0);
    for (const name of segmentFiles(torn)) assert.match(stdout, new RegExp(`^${name} +1 +(closed|last) +\\d+ .*"v7"$`, 'm'));
    assert.match(stdout, /torn tail of \d+ bytes/);
    assert.match(stdout, /^ids +up to 39; proven durable up to 39$/m);
    const { segments } = json<{ segments: { state: string; entries: number; ids: number[] }[] }>('inspect', sound);
    assert.equal(segments.reduce((sum, { entries }) => sum + entries, 0), ENTRIES);
    assert.equal(segments.at(-1)?.ids[1], ENTRIES);
    assert.deepEqual(content(torn), files);
  });

  test('verify tells sound, torn and damaged logs apart, and where and what is lost', () => {
    assert.deepEqual([wal('verify', sound).status, wal('verify', torn).status, wal('verify', damaged).status], [0, 1, 2]);
    const good = json<Verdict>('verify', sound);
    assert.deepEqual([good.state, good.entries, good.damage], ['sound', ENTRIES, []]);
    const cut = json<Verdict>('verify', torn);
    assert.deepEqual([cut.state, cut.entries, cut.damage], ['torn', ENTRIES - 1, []]);
    assert.ok(cut.tornBytes > 250);
    const bad = json<Verdict>('verify', damaged);
    const [, second, third] = segmentFiles(damaged).map((name) => Number(name.slice(4)));
    assert.equal(bad.state, 'damaged');
    assert.equal(bad.damage[0].segmentId, second);
    assert.ok(bad.damage[0].offset < 500 && bad.damage[0].offset > 200);
    const whole = dumped(damaged).map(({ id }) => id);
    const firstLost = whole.findIndex((id, i) => id !== i + 1) + 1;
    assert.equal(bad.damage[0].lost, `entries ${firstLost} to ${whole[firstLost - 1] - 1} are lost`);
    assert.ok(whole[firstLost - 1] >= third - 1);
    assert.match(wal('verify', damaged).stdout, new RegExp(`^damaged: segment ${second} is damaged at offset`));
  });

  test('verify does not call a log of the predecessor damaged', () => {
    for (const name of ['segments', 'large']) {
      assert.equal(wal('verify', path.join(FIXTURES, name, 'log')).status, 0, name);
    }
  });

  test('dump prints exactly the entries that are asked for, with all their bytes', () => {
    const entries = dumped(sound, '--from', '5', '--to', '6');
    const chunks = (id: number): string[] => [Buffer.from(`key ${id}`), Buffer.alloc(250, id)].map((data) => data.toString('base64'));
    assert.deepEqual(entries.map(({ id, chunks: data }) => [id, data]), [[5, chunks(5)], [6, chunks(6)]]);
    assert.equal(dumped(sound).length, ENTRIES);
    assert.match(wal('dump', sound, '--to', '1').stdout, /^entry 1 {2}at \d+ of segment 1 {2}2 chunks, 255 bytes\n {2}"key 1"\n/);
    assert.match(wal('dump', sound, '--to', '1', '--hex').stdout, /^ {2}00000000 {2}6b65792031$/m);
    assert.equal(wal('dump', sound, '--from', 'x').status, 64);
    assert.equal(wal('dump', damaged).status, 2);
  });

  test('tail prints the last entries and no others', () => {
    const { stdout } = wal('tail', sound, '-n', '2', '--json');
    assert.deepEqual(stdout.trim().split('\n').map((line) => (JSON.parse(line) as DumpedEntry).id), [ENTRIES - 1, ENTRIES]);
  });

  test('tail --follow misses no entry that another process adds, and ends when it is interrupted', { timeout: 60_000 }, async () => {
    const live = path.join(root, 'live');
    const log = await WriteAheadLog.recover(live, keepAll, SMALL);
    await log.append('1');
    const child = spawn(process.execPath, [BIN, 'tail', live, '--follow', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    let next = 1;
    for await (const line of createInterface(child.stdout)) {
      const { id, chunks } = JSON.parse(line) as DumpedEntry;
      assert.equal(id, next++);
      assert.equal(Buffer.from(chunks[0], 'base64').toString().trim(), `${id}`);
      if (id === 30) child.kill('SIGINT');
      else await log.append(`${id + 1}`.padEnd(400));
    }
    assert.deepEqual(await closed, [0, null]);
    assert.match(wal('inspect', live).stdout, new RegExp(`^owner +process ${process.pid} on `, 'm'));
    await log.shutdown();
    assert.match(wal('inspect', live).stdout, /^owner +nobody$/m);
  });

  test('repair copies all that is whole with its ids, says what is lost, and does not touch the old log', () => {
    for (const [directory, status] of [[damaged, 2], [torn, 0], [sound, 0]] as const) {
      const files = content(directory);
      const to = path.join(root, `repaired-${path.basename(directory)}`);
      const outcome = wal('repair', directory, '--to', to);
      assert.equal(outcome.status, status, outcome.stderr);
      assert.equal(/^left out: /m.test(outcome.stdout), directory !== sound);
      assert.deepEqual(content(directory), files);
      const strip = (entries: DumpedEntry[]): unknown => entries.map(({ id, chunks }) => [id, chunks]);
      assert.deepEqual(strip(dumped(to)), strip(dumped(directory)));
      assert.equal(wal('verify', to).status, 0);
      assert.match(wal('inspect', to).stdout, /"v7"$/m);
    }
  });

  test('verify names the entries that are lost with a segment whose header is damaged, or that is missing', () => {
    const directory = path.join(root, 'gaps');
    fs.cpSync(sound, directory, { recursive: true });
    const [, second, third] = segmentFiles(directory);
    const [id, next] = [second.slice(4), third.slice(4)];
    flipByte(path.join(directory, second), 2);
    assert.match(wal('verify', directory).stdout, new RegExp(`^damaged: segment ${id} has no valid header; what it held is lost$`, 'm'));
    fs.rmSync(path.join(directory, second));
    const { status, stdout } = wal('verify', directory);
    assert.equal(status, 2);
    assert.match(stdout, new RegExp(`^damaged: segment ${id}, which comes before segment ${next}, is missing`, 'm'));
  });

  test('a hold is not left out, nor a damaged file of holds overlooked', async () => {
    const directory = path.join(root, 'held');
    const log = await WriteAheadLog.recover(directory, LogVoid, SMALL);
    await log.append('held');
    await log.hold('replica', { from: 1, maxBytes: 1024 * 1024 });
    await log.shutdown();
    assert.match(wal('inspect', directory).stdout, /^hold +replica from 1, at most 1\.0 MiB$/m);
    assert.equal(wal('verify', directory).status, 0);
    flipByte(path.join(directory, 'wal-holds'), 5);
    assert.match(wal('inspect', directory).stdout, /^holds +damaged$/m);
    assert.match(wal('verify', directory).stdout, /^damaged: wal-holds/);
  });

  test('an owner that was killed is not taken for one that still writes', async () => {
    const directory = path.join(root, 'killed');
    const program = `import { LogVoid, WriteAheadLog } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
      await (await WriteAheadLog.recover(${JSON.stringify(directory)}, LogVoid)).append('x');
      process.kill(process.pid, 'SIGKILL');`;
    const { pid } = spawnSync(process.execPath, ['--input-type=module', '-e', program]);
    assert.match(wal('inspect', directory).stdout, new RegExp(`^owner +nobody; process ${pid} on .* ended without a shutdown$`, 'm'));
    assert.equal(wal('verify', directory).status, 0);
  });

  test('repair mixes up neither the version infos of segments nor the pieces of a large entry, and keeps gaps between ids', async () => {
    const from = path.join(root, 'mixed');
    const to = path.join(root, 'mixed-repaired');
    const large = Buffer.alloc(5 * 1024 * 1024, 'large');
    for (const version of ['v1', 'v2']) {
      const log = await WriteAheadLog.recover(from, keepAll, { preallocateBytes: 65536, versionInfo: Buffer.from(version) });
      await log.append(`of ${version}`);
      await (await log.beginEntry()).rollback();
      await log.checkpointActive();
      await log.append([version, large]);
      await log.shutdown();
    }
    const { keepsIds, entries } = json<{ keepsIds: boolean; entries: number }>('repair', from, '--to', to);
    assert.deepEqual([keepsIds, entries], [true, 4]);
    const contentsOf = async (directory: string): Promise<[number, string, string][]> => {
      const contents: [number, string, string][] = [];
      const reader = await WriteAheadLog.openReadOnly(directory);
      for await (const entry of reader) {
        const [first, second] = await entry.readAllChunks();
        contents.push([entry.id, text(entry.segment.versionInfo), text(first)]);
        assert.ok(second === undefined || large.equals(second));
      }
      await reader.close();
      return contents;
    };
    const expected = await contentsOf(from);
    assert.deepEqual(expected.map(([id, , first]) => [id, first]), [[1, 'of v1'], [3, 'v1'], [4, 'of v2'], [6, 'v2']]);
    assert.deepEqual(new Set(expected.map(([, version]) => version)), new Set(['v1', 'v2']));
    assert.deepEqual(await contentsOf(to), expected);
  });

  test('import does not go over damage in silence: it makes nothing then', async () => {
    const from = path.join(root, 'damaged-v0');
    const to = path.join(root, 'never-imported');
    fs.cpSync(path.join(FIXTURES, 'segments/log'), from, { recursive: true });
    const log = await WriteAheadLog.recover(from, keepAll, SMALL);
    for (let i = 0; i < 20; i++) await log.append(Buffer.alloc(250, i));
    await log.shutdown();
    const isFormat1 = (name: string): boolean => fs.readFileSync(path.join(from, name))[3] === 1;
    flipByte(path.join(from, segmentFiles(from).filter(isFormat1)[0]), 500);
    const { status, stderr } = wal('import', from, '--to', to);
    assert.deepEqual([status, fs.existsSync(to)], [2, false]);
    assert.match(stderr, /^damaged: .*\nnothing was imported/);
  });

  test('repair and import write over nothing', () => {
    for (const [command, from] of [['repair', sound], ['import', path.join(FIXTURES, 'small/log')]]) {
      const files = content(torn);
      assert.equal(wal(command, from, '--to', torn).status, 66);
      assert.deepEqual(content(torn), files);
      assert.equal(wal(command, from).status, 64, 'without --to');
    }
  });

  test('import loses no entry of the predecessor, nor its id, and the new log goes on above it', async () => {
    for (const name of ['segments', 'recycled']) {
      const from = path.join(FIXTURES, name, 'log');
      const to = path.join(root, `imported-${name}`);
      const files = content(from);
      const { status, stderr } = wal('import', from, '--to', to);
      assert.equal(status, 0, stderr);
      assert.deepEqual(content(from), files);
      const entries = dumped(to);
      assert.deepEqual(entries.map(({ id, chunks }) => [id, chunks]), dumped(from).map(({ id, chunks }) => [id, chunks]));
      const { segments } = json<{ segments: { formatVersion: number }[] }>('inspect', to);
      assert.ok(segments.every(({ formatVersion }) => formatVersion === 1));
      const log = await WriteAheadLog.recover(to, LogVoid);
      assert.equal((await log.append('next')).id, (entries.at(-1)?.id ?? 0) + 1);
      await log.shutdown();
    }
    assert.equal(wal('import', sound, '--to', path.join(root, 'none')).status, 66);
  });

  test('bench leaves nothing behind, and its figures are in order', async () => {
    await withTemporaryDirectory(async (directory) => {
      assert.match(wal('bench', directory, '--seconds', '1').stdout, /^\d+ durable writes of 512 bytes: median .*, longest .*$/m);
      const result = json<Record<string, number>>('bench', directory, '--seconds', '1');
      assert.ok(result.writes > 0 && result.p50 > 0 && result.p50 <= result.p99 && result.p99 <= result.longest);
      assert.deepEqual(fs.readdirSync(directory), []);
    });
  });

  test('output that nobody wants any more is no error', async () => {
    const child = spawn(process.execPath, [BIN, 'dump', sound, '--hex'], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.destroy();
    assert.deepEqual(await once(child, 'close'), [0, null]);
  });
});
