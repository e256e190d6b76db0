import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { LogVoid, WriteAheadLog, type WalOptions } from '../../src/index.js';
import { ROOT } from '../tools/example-project.js';
import { BIN, keepAll, wal } from '../tools/command-line.js';
import { text } from '../tools/helpers.js';

const COMMANDS = ['inspect', 'verify', 'dump', 'tail', 'repair', 'import', 'bench'];
const SMALL: WalOptions = { preallocateBytes: 4096, checkpointAfterBytes: 2048, bufferBytes: 4096, maxPendingBytes: 1024 * 1024 };
const ENTRIES = 50;

/** The single line of JSON that a command prints. */
function json<T>(...args: string[]): T {
  return JSON.parse(wal(...args, '--json').stdout) as T;
}

interface Verdict {
  readonly state: string;
  readonly entries: number;
  readonly tornBytes: number;
  readonly damage: readonly {
    readonly segmentId: number; readonly offset: number; readonly lost: string; readonly fromId?: number; readonly toId?: number;
  }[];
}

interface ShownSegment {
  readonly segmentId: number;
  readonly name: string;
  readonly state: string;
  readonly entries: number;
  readonly ids: readonly [number, number];
}

function lostBetween({ ids: [from, to] }: ShownSegment): string {
  return `entries ${from} to ${to} are lost`;
}

/** The files without entries. */
interface Idle {
  readonly spares: readonly string[];
  readonly empty: readonly string[];
  readonly unreadable: readonly string[];
}

interface DumpedChunk {
  readonly length: number;
  readonly text?: string;
  readonly base64?: string;
}

interface DumpedEntry {
  readonly id: number;
  readonly chunks: readonly DumpedChunk[];
}

/** A chunk as `dump --json` shows it. */
function shownChunk(data: Buffer): DumpedChunk {
  return isUtf8(data) ? { length: data.length, text: data.toString() } : { length: data.length, base64: data.toString('base64') };
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

/** A copy of a log, to be damaged. */
function copy(directory: string, name: string): string {
  const target = path.join(path.dirname(directory), name);
  fs.cpSync(directory, target, { recursive: true });
  return target;
}

describe('the command line', () => {
  let root: string;
  let sound: string;
  /** The segments of that, and the names of its spare files. */
  let segments: readonly ShownSegment[];
  let spares: readonly string[];
  /** The same log, cut off in the middle of its last entry. */
  let torn: string;
  /** The same log with a flipped bit in its second segment. */
  let damaged: string;

  before(async () => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-'));
    [sound, torn, damaged] = ['sound', 'torn', 'damaged'].map((name) => path.join(root, name));
    const options = { ...SMALL, checkpointAfterBytes: 3500, versionInfo: Buffer.from('v7') };
    const log = await WriteAheadLog.recover(sound, keepAll, options);
    for (let i = 1; i <= ENTRIES; i++) {
      await log.append([`key ${i}`, Buffer.alloc(250, i)]);
      // Left to itself a segment ends when the next one has been made, which takes longer at one time than at another.
      if (i % 10 === 0 && i < ENTRIES) await log.checkpointActive();
    }
    fs.cpSync(sound, torn, { recursive: true });
    await log.shutdown();
    ({ segments, spares } = json<{ segments: ShownSegment[]; spares: string[] }>('inspect', sound));
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
    for (const name of segmentFiles(torn)) assert.match(stdout, new RegExp(`^${name} +(closed|last) +\\d+ .*"v7"$`, 'm'));
    assert.match(stdout, /torn tail of \d+ bytes/);
    assert.match(stdout, new RegExp(`^ids +up to ${ENTRIES - 1}; proven durable up to ${ENTRIES - 1}$`, 'm'));
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

  test('dump prints exactly the entries that are asked for, with all their bytes', () => {
    const entries = dumped(sound, '--from', '5', '--to', '6');
    const chunks = (id: number) => [Buffer.from(`key ${id}`), Buffer.alloc(250, id)].map(shownChunk);
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
      assert.equal(chunks[0].text?.trim(), `${id}`);
      if (id === 30) child.kill('SIGINT');
      else await log.append(`${id + 1}`.padEnd(400));
    }
    assert.deepEqual(await closed, [0, null]);
    assert.match(wal('inspect', live).stdout, new RegExp(`^owner +process ${process.pid} on `, 'm'));
    await log.shutdown();
    assert.match(wal('inspect', live).stdout, /^owner +none$/m);
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

  test('damage to a header is not told twice, nor without the entries that it took, nor is its file called spare', () => {
    const [first, second] = segments;
    const [beforeLast, last] = segments.slice(-2);
    for (const [name, lost] of [[first.name, lostBetween(first)], [second.name, lostBetween(second)],
      [last.name, `what came after entry ${beforeLast.ids[1]} is lost`]]) {
      const directory = copy(sound, `header-${name}`);
      flipByte(path.join(directory, name), 2);
      const { stdout, status } = wal('verify', directory);
      assert.equal(status, 2);
      assert.deepEqual(stdout.match(/^damaged: .*$/gm), [`damaged: segment ${name.slice(4)} has no valid header; ${lost}`]);
      const shown = wal('inspect', directory).stdout;
      assert.match(shown, new RegExp(`^unreadable +${name}$`, 'm'));
      assert.deepEqual(json<Idle>('inspect', directory).spares, spares);
    }
  });

  test('a missing segment is not passed over in silence', () => {
    const directory = copy(sound, 'missing-segment');
    const [, second, third] = segments;
    fs.rmSync(path.join(directory, second.name));
    const { status, stdout } = wal('verify', directory);
    assert.equal(status, 2);
    const what = `segment ${second.segmentId}, which comes before segment ${third.segmentId}, is missing or has been emptied`;
    assert.deepEqual(stdout.match(/^damaged: .*$/gm), [`damaged: ${what}; ${lostBetween(second)}`]);
    const whole = `${ENTRIES - second.entries} entries are whole, in ${segments.length - 1} segments`;
    assert.match(stdout, new RegExp(`^damaged; ${whole}, `, 'm'));
    const [{ fromId, toId }] = json<Verdict>('verify', directory).damage;
    assert.deepEqual([fromId, toId], second.ids);
  });

  test('of several missing segments none is passed over in silence', () => {
    const directory = copy(sound, 'missing-segments');
    const missing = [segments[1], segments[3]];
    for (const { name } of missing) fs.rmSync(path.join(directory, name));
    const { status, stdout } = wal('verify', directory);
    assert.equal(status, 2);
    for (const segment of missing) assert.match(stdout, new RegExp(`^damaged: segment ${segment.segmentId}, .*; ${lostBetween(segment)}$`, 'm'));
  });

  test('a segment that has been emptied is neither overlooked nor called spare', () => {
    const second = segments[1];
    const last = segments.at(-1) as ShownSegment;
    for (const [{ name }, length, status] of [[last, 0, 0], [last, 4096, 0], [second, 0, 2]] as const) {
      const directory = copy(sound, `emptied-${name}-${length}`);
      fs.writeFileSync(path.join(directory, name), Buffer.alloc(length));
      const verdict = wal('verify', directory);
      assert.equal(verdict.status, status);
      const note = `${name} is empty: never used, or emptied`;
      if (status === 0) assert.match(verdict.stdout, new RegExp(`^note: ${note}\nsound: `, 'm'));
      else assert.match(verdict.stdout, new RegExp(`^damaged: segment .* has been emptied; ${lostBetween(second)}$`, 'm'));
      const shown = wal('inspect', directory).stdout;
      assert.match(shown, new RegExp(`^note +${note}$`, 'm'));
      const idle = json<Idle>('inspect', directory);
      assert.deepEqual([idle.spares, idle.empty], [spares, [name]]);
    }
  });

  test('a segment of which only the header is left is not called spare', () => {
    const directory = copy(sound, 'header-only');
    const { name } = segments[1];
    const bytes = fs.readFileSync(path.join(directory, name));
    fs.writeFileSync(path.join(directory, name), bytes.fill(0, 25 + 'v7'.length));
    assert.match(wal('verify', directory).stdout, new RegExp(`^damaged: .*; ${lostBetween(segments[1])}\ndamaged; `));
    const idle = json<Idle>('inspect', directory);
    assert.deepEqual([idle.spares, idle.unreadable], [spares, [name]]);
  });

  test('damage is not told in one way by verify and in another by dump, tail and repair', () => {
    const [told] = /(?<=^damaged: ).*$/m.exec(wal('verify', damaged).stdout) ?? [];
    const [, lastLost] = segments[1].ids;
    assert.match(told ?? '', new RegExp(`; entries \\d+ to ${lastLost} are lost$`));
    for (const words of [['dump'], ['dump', '--from', `${lastLost - 1}`], ['dump', '--to', '39'], ['tail'], ['tail', '-n', '0']]) {
      const [command, ...options] = words;
      const { status, stderr } = wal(command, damaged, ...options);
      assert.deepEqual([status, stderr], [2, `damaged: ${told}\n`], words.join(' '));
    }
    assert.match(wal('repair', damaged, '--to', path.join(root, 'told')).stdout, new RegExp(`^left out: ${told}$`, 'm'));
    const { error } = JSON.parse(wal('dump', damaged, '--from', `${lastLost}`, '--json').stderr) as { error: { code: string; toId: number } };
    assert.deepEqual([error.code, error.toId], ['WAL_CORRUPT', lastLost]);
    assert.deepEqual([wal('dump', sound, '--from', '35').stderr, wal('tail', sound).status], ['', 0]);
  });

  test('entries that have been checkpointed are not among those that damage took', async () => {
    const directory = path.join(root, 'checkpointed');
    const log = await WriteAheadLog.recover(directory, LogVoid, SMALL);
    await log.append('checkpointed');
    await Promise.all([once(log, 'checkpoint'), log.checkpointActive()]);
    for (let i = 1; i <= 4; i++) await log.append(Buffer.alloc(250, i));
    await log.shutdown();
    const [first] = json<{ segments: ShownSegment[] }>('inspect', directory).segments;
    assert.ok(first.ids[0] > 1);
    flipByte(path.join(directory, first.name), 100);
    const [{ fromId }] = json<Verdict>('verify', directory).damage;
    assert.equal(fromId, first.ids[0]);
  });

  test('repair does not drop holds and the mark of what is checkpointed in silence', async () => {
    const directory = path.join(root, 'repaired-holds');
    const log = await WriteAheadLog.recover(directory, LogVoid, SMALL);
    for (const name of ['replica', 'b']) await log.hold(name, { from: 1, maxBytes: 1024 * 1024 });
    await log.append('checkpointed');
    await Promise.all([once(log, 'checkpoint'), log.checkpointActive()]);
    await log.append('last');
    await log.shutdown();
    const repaired = wal('repair', directory, '--to', path.join(root, 'without-holds'));
    assert.equal(repaired.status, 0);
    const told = 'left out: the holds replica, b; entries up to 1 are handed over again';
    assert.match(repaired.stdout, new RegExp(`^${told}$`, 'm'));
    flipByte(path.join(directory, 'wal-holds'), 5);
    const blind = wal('repair', directory, '--to', path.join(root, 'without-damaged-holds'));
    assert.equal(blind.status, 2);
    assert.match(blind.stdout, /^left out: wal-holds, which .* is damaged; every entry is handed over again$/m);
  });

  test('a copy of nothing is not told as if something had been made', () => {
    const directory = path.join(root, 'nothing-whole');
    const to = path.join(root, 'nothing-copied');
    fs.mkdirSync(directory);
    fs.writeFileSync(path.join(directory, 'wal-1'), 'no header');
    const { status, stdout } = wal('repair', directory, '--to', to);
    assert.deepEqual([status, fs.existsSync(to)], [2, false]);
    assert.match(stdout, /^there is no whole entry: nothing was copied, and nothing created$/m);
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
    const program = `import { LogVoid, WriteAheadLog } from ${JSON.stringify(new URL('../../src/index.js', import.meta.url).href)};
      await (await WriteAheadLog.recover(${JSON.stringify(directory)}, LogVoid)).append('x');
      process.kill(process.pid, 'SIGKILL');`;
    const { pid } = spawnSync(process.execPath, ['--input-type=module', '-e', program]);
    assert.match(wal('inspect', directory).stdout, new RegExp(`^owner +none; process ${pid} on .* ended without a shutdown$`, 'm'));
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
    const { stdout, stderr } = wal('repair', from, '--to', to, '--json');
    assert.equal(stderr, '', 'that the copy keeps its entries is no warning');
    assert.equal((JSON.parse(stdout) as { entries: number }).entries, 4);
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

  test('output that nobody wants any more is no error', async () => {
    const child = spawn(process.execPath, [BIN, 'dump', sound, '--hex'], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.destroy();
    assert.deepEqual(await once(child, 'close'), [0, null]);
  });
});
