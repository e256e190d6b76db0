/** How the command line prints: large chunks, every kind of data, terminals, pipes that are closed, logs without entries. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WriteAheadLog } from '../../src/index.js';
import { SMALL } from '../tools/helpers.js';
import { BIN, keepAll, wal } from '../tools/command-line.js';
import { makeLargeChunkLog } from '../tools/large-chunk-log.js';

const MIB = 1024 * 1024;
/** More than a string can have. */
const LARGE = 600 * MIB;
const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0;

interface ShownChunk {
  readonly length: number;
  readonly json?: unknown;
  readonly text?: string;
  readonly base64?: string;
  readonly hex?: string;
}

/** What a terminal with this many columns shows of a command, line by line. */
function onTerminal(columns: number, ...args: string[]): string[] {
  const command = ['stty', 'cols', `${columns};`, process.execPath, BIN, ...args].join(' ');
  const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return stdout.split('\r\n').map((line) => {
    let shown = '';
    for (const part of line.split('\r')) {
       
      const clears = part.startsWith('\u001b[K');
      const text = part.replace('\u001b[K', '');
      shown = clears ? text : text + shown.slice(text.length);
    }
    return shown;
  });
}

describe('the output of the command line', () => {
  let root: string;
  let log: string;
  let empty: string;

  before(async () => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-output-'));
    [log, empty] = ['log', 'empty'].map((name) => path.join(root, name));
    const writer = await WriteAheadLog.recover(log, keepAll, { ...SMALL, versionInfo: Buffer.from('some application, v7') });
    for (let i = 1; i <= 30; i++) {
      await writer.append(Buffer.alloc(200, `${i} `));
      if (i % 10 === 0) await writer.checkpointActive();
    }
    await writer.shutdown();
    await (await WriteAheadLog.recover(empty, keepAll, SMALL)).shutdown();
  });
  after(() => fs.rmSync(root, { recursive: true, force: true }));

  test('a chunk of any size is printed in constant memory', { timeout: 300_000 }, async () => {
    const directory = path.join(root, 'large');
    makeLargeChunkLog(directory, LARGE);
    const report = `process.on('exit', () => process.stderr.write(String(process.resourceUsage().maxRSS)))`;
    for (const [args, least] of [[['dump'], 100], [['tail', '-n1', '--json'], LARGE * 4 / 3]] as const) {
      const [command, ...options] = args;
      const words = ['--import', `data:text/javascript,${encodeURIComponent(report)}`, BIN, command, directory, ...options];
      const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
      let errors = '';
      let bytes = 0;
      let end = '';
      child.stderr.on('data', (data) => (errors += String(data)));
      for await (const piece of child.stdout as AsyncIterable<Buffer>) {
        bytes += piece.length;
        end = piece.toString('latin1', Math.max(0, piece.length - 10));
      }
      if (child.exitCode === null) await once(child, 'close');
      assert.deepEqual([child.exitCode, bytes >= least], [0, true], errors);
      assert.match(end, /\n$/);
      assert.ok(Number(errors) * 1024 < LARGE / 2, `${args.join(' ')} took ${errors} KiB`);
    }
  });

  test('no data is lost or altered in any way to print it, wherever its pieces end', async () => {
    const directory = path.join(root, 'data');
    const control = 'a\u009b1mb\u202e\u2028"\\\n\u0000';
    const long = `${'é€😀x'.repeat(120_000)}é`;
    const chunks = [
      '', 'plain', '{"a": [1, "é"], "b": 12345678901234567890}', '["\u009b"]', '{"a":\n1}', '{"a":', '123', '"text"', control, long,
      Buffer.from([0xff, 0, 1]), Buffer.alloc(700_001, 0xfe), Buffer.concat([Buffer.from(long), Buffer.of(0xc3)]),
    ].map((data) => Buffer.from(data));
    const writer = await WriteAheadLog.recover(directory, keepAll, SMALL);
    await writer.append(chunks);
    await writer.shutdown();
    const shown = (JSON.parse(wal('dump', directory, '--json').stdout) as { chunks: ShownChunk[] }).chunks;
    const fields = shown.map((chunk) => Object.keys(chunk)[1]);
    assert.deepEqual(fields, [
      'text', 'text', 'json', 'json', 'text', 'text', 'text', 'text', 'text', 'text', 'base64', 'base64', 'base64',
    ]);
    for (const [i, { length, json, text, base64 }] of shown.entries()) {
      assert.equal(length, chunks[i].length);
      if (json !== undefined) assert.deepEqual(json, JSON.parse(chunks[i].toString()));
      else assert.ok(Buffer.from(text ?? base64 ?? '', text === undefined ? 'base64' : 'utf8').equals(chunks[i]), `chunk ${i}`);
    }
    const hexed = (JSON.parse(wal('dump', directory, '--json', '--hex').stdout) as { chunks: ShownChunk[] }).chunks;
    for (const [i, { hex = '' }] of hexed.entries()) assert.ok(Buffer.from(hex, 'hex').equals(chunks[i]));
    const lines = [...wal('dump', directory, '--hex').stdout.matchAll(/^ {2}[0-9a-f]{8} {2}([0-9a-f]+)$/gm)];
    assert.ok(Buffer.from(lines.map(([, digits]) => digits).join(''), 'hex').equals(Buffer.concat(chunks)));
    const { stdout } = wal('dump', directory);
    assert.match(stdout, /^ {2}\{"a": \[1, "é"\], "b": 12345678901234567890\}$/m);
     
    assert.doesNotMatch(stdout + wal('dump', directory, '--json').stdout, /[\u0000-\u0009\u007f-\u009f\u2028\u202e]/);
  });

  test('the bar leaves nothing on the terminal', { skip: !hasScript && 'it needs `script` of util-linux' }, () => {
    for (const args of [['dump', log], ['tail', log, '-n', '3'], ['verify', log]]) {
      const lines = onTerminal(400, ...args);
      assert.deepEqual(lines, wal(...args).stdout.split('\n'), args.join(' '));
    }
  });

  test('no line is wider than the terminal, nor than 80 columns where there is none', { skip: !hasScript && 'it needs `script` of util-linux' }, () => {
    for (const width of [80, 50]) {
      for (const line of onTerminal(width, 'inspect', log)) assert.ok(line.length <= width, line);
    }
    assert.match(onTerminal(50, 'inspect', log).join('\n'), /^wal-1\n {2}state +closed\n {2}entries +10\n/m);
    const commands = ['inspect', 'verify', 'dump', 'tail', 'repair', 'import', 'bench'];
    const texts = [wal('--help'), wal('inspect', log), ...commands.map((command) => wal(command, '--help'))];
    for (const { stdout } of texts) for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
  });

  test('output that cannot be written is an error, unless its reader has had enough', { skip: !fs.existsSync('/dev/full') && 'it needs /dev/full' }, async () => {
    const full = fs.openSync('/dev/full', 'w');
    const failed = spawnSync(process.execPath, [BIN, 'dump', log], { encoding: 'utf8', stdio: ['ignore', full, 'pipe'] });
    assert.equal(failed.status, 74);
    assert.match(failed.stderr, /^segmented-wal: the output cannot be written: .*ENOSPC/);
    const silent = spawnSync(process.execPath, [BIN, 'verify', path.join(root, 'missing')], { stdio: ['ignore', 'pipe', full] });
    assert.equal(silent.status, 66);
    fs.closeSync(full);
    for (const command of ['inspect', 'verify', 'dump', 'tail']) {
      const child = spawn(process.execPath, [BIN, command, log], { stdio: ['ignore', 'pipe', 'pipe'] });
      child.stdout.destroy();
      child.stderr.destroy();
      assert.deepEqual(await once(child, 'close'), [0, null], command);
    }
  });

  test('a log with nothing in it is no fault of any command', () => {
    for (const command of ['inspect', 'verify', 'dump', 'tail', 'repair']) {
      const to = command === 'repair' ? ['--to', path.join(root, 'never')] : [];
      const { status, stderr } = wal(command, empty, ...to);
      assert.deepEqual([status, stderr], [0, ''], command);
    }
    assert.match(wal('verify', empty).stdout, /^sound: 0 whole entries in 1 segment/);
    assert.ok(!fs.existsSync(path.join(root, 'never')));
  });
});
