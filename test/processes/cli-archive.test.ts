/** The command line of archives, and copies of logs that are open. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Archive } from '../../src/archive/archive.js';
import { directoryStore } from '../../src/archive/directory-store.js';
import { slotKey } from '../../src/archive/slot-format.js';
import { WriteAheadLog } from '../../src/index.js';
import { BIN, keepAll, wal } from '../tools/command-line.js';
import { ArchiveFixture, PREFIX } from '../tools/archive-fixture.js';
import { SMALL } from '../tools/helpers.js';
import { S3Server } from '../tools/s3-server.js';

const PREFIX_IN_STORE = 'orders';

async function textsOf(directory: string): Promise<string[]> {
  const log = await WriteAheadLog.openReadOnly(directory);
  const texts: string[] = [];
  for await (const entry of log) texts.push(`${entry.id}${entry.endsBatch ? '' : '+'} ${await entry.text()}`);
  await log.close();
  return texts;
}

describe('the command line of archives', () => {
  let root: string;
  let store: string;
  let log: string;

  before(async () => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-archive-'));
    [store, log] = [path.join(root, 'store'), path.join(root, 'log')];
    const writer = await WriteAheadLog.recover(log, keepAll, SMALL);
    const archive = await Archive.open(writer, directoryStore(store), { prefix: PREFIX_IN_STORE, everyMs: 0 });
    await writer.append('one');
    await writer.appendBatch(['two', 'three']);
    await archive.archived(3);
    await archive.close();
    await writer.append('four');
    await writer.shutdown();
  });
  after(() => fs.rmSync(root, { recursive: true, force: true }));

  test('shows something else than there is', () => {
    const { status, stdout } = wal('archive', 'inspect', '--store', store);
    assert.equal(status, 0);
    assert.match(stdout, /^epoch +from +begun +writer\n +1 +1 +\d{4}-/);
    assert.match(stdout, /\nentries +1 to 3, as of \d{4}-/);
    const shown = JSON.parse(wal('archive', 'inspect', '--store', store, '--json').stdout) as { range: object; prefix: string };
    assert.deepEqual({ ...shown.range, time: undefined }, { firstId: 1, lastId: 3, time: undefined });
    assert.equal(shown.prefix, PREFIX_IN_STORE);
  });

  test('restores something else', async () => {
    const to = path.join(root, 'restored');
    const { status, stdout } = wal('archive', 'restore', to, '--store', store);
    assert.deepEqual([status, stdout], [0, `the log in ${to} ends with entry 3\n`]);
    assert.deepEqual(await textsOf(to), ['1 one', '2+ two', '3 three']);
    assert.equal(wal('archive', 'restore', to, '--store', store).status, 74);
    const upToBatch = path.join(root, 'up-to-batch');
    assert.deepEqual(JSON.parse(wal('archive', 'restore', upToBatch, '--store', store, '--to', '2', '--json').stdout), { lastId: 1 });
    assert.deepEqual(await textsOf(upToBatch), ['1 one']);
    const before = path.join(root, 'before');
    wal('archive', 'restore', before, '--store', store, '--to', '2000-01-01T00:00:00Z');
    assert.deepEqual(await textsOf(before), []);
    assert.match(wal('archive', 'restore', 'x', '--store', store, '--to', 'noon').stderr, /--to takes an id or a time, not noon/);
  });

  test('ships less than there is, or leaves the writer before it in charge', async () => {
    const copy = path.join(root, 'shipped-store');
    fs.cpSync(store, copy, { recursive: true });
    const { status, stdout, stderr } = wal('archive', 'ship', log, '--store', copy);
    assert.deepEqual([status, stdout], [0, 'the archive has the entries up to 4; this was its epoch 2\n'], stderr);
    const to = path.join(root, 'all');
    wal('archive', 'restore', to, '--store', copy);
    assert.deepEqual(await textsOf(to), ['1 one', '2+ two', '3 three', '4 four']);
    assert.match(wal('archive', 'ship', path.join(root, 'no-log'), '--store', copy).stderr, /there is no log in/);
  });

  test('takes a damaged archive for a sound one', async () => {
    const sound = wal('archive', 'verify', '--store', store);
    assert.equal(sound.status, 0);
    assert.match(sound.stdout, /^sound: 3 entries, 11 B, in \d slots; 0 snapshots\n$/);
    const copy = path.join(root, 'damaged-store');
    fs.cpSync(store, copy, { recursive: true });
    const [file] = fs.readdirSync(copy).filter((name) => name === slotKey(PREFIX_IN_STORE, 2).replaceAll('/', '+'));
    fs.appendFileSync(path.join(copy, file), 'x');
    const { status, stdout } = wal('archive', 'verify', '--store', copy);
    assert.equal(status, 2);
    assert.match(stdout, /^damaged: slot 2 .*\ndamaged; what is whole: /);
    const report = JSON.parse(wal('archive', 'verify', '--store', copy, '--json').stdout) as { problems: { code: string }[] };
    assert.deepEqual(report.problems.map(({ code }) => code), ['ARCHIVE_CORRUPT']);
  });

  test('keeps a snapshot from the restored log', async () => {
    const directory = path.join(root, 'with-snapshot');
    const archive = new ArchiveFixture(directoryStore(directory));
    await archive.open('one');
    await archive.append([[['a']], [['b']]]);
    await archive.snapshot(1, 'state after a', false);
    const file = path.join(root, 'snapshot');
    const to = path.join(root, 'continued');
    const { stderr } = wal('archive', 'restore', to, '--store', directory, '--prefix', PREFIX, '--snapshot', file);
    assert.match(stderr, /the log continues the snapshot up to entry 1: it is in /);
    assert.equal(fs.readFileSync(file, 'utf8'), 'state after a');
    assert.deepEqual(await textsOf(to), ['2 b']);
  });

  test('guesses where an archive is', () => {
    const wrong: [string[], number, RegExp][] = [
      [['inspect'], 64, /--store is missing/],
      [['inspect', 'more', '--store', store], 64, /takes options only, not more/],
      [['inspect', '--store', path.join(root, 'missing')], 66, /cannot be read/],
      [['inspect', '--store', log], 66, /holds no archive/],
      [['inspect', '--store', store, '--prefix', 'bills'], 74, /there is no archive below bills\//],
      [['restore', '--store', store], 64, /a directory is missing/],
      [['inspect', '--store', 's3://bucket'], 64, /has no prefix/],
      [['inspect', '--store', 's3://bucket/orders', '--prefix', 'x'], 64, /part of --store/],
    ];
    for (const [words, expected, message] of wrong) {
      const { status, stderr } = wal('archive', ...words);
      assert.deepEqual([status, message.test(stderr)], [expected, true], `${words.join(' ')}: ${stderr}`);
    }
    assert.match(wal('archive', 'restore', '--help').stdout, /^usage: segmented-wal archive restore NEWDIR --store STORE \[options\]/);
    assert.match(wal('archive').stderr, /did you mean archive/);
  });

  test('cannot reach an S3 store, or uses one without keys', async () => {
    const server = new S3Server();
    await server.start();
    const archive = new ArchiveFixture();
    await archive.open('one');
    await archive.append([[['a']]]);
    for (const key of await archive.keys()) server.objects.set(key, Buffer.from(await archive.store.get(key, archive.at) ?? []));
    const args = [BIN, 'archive', 'verify', '--store', `s3://bucket/${PREFIX}`];
    const keys = { AWS_ACCESS_KEY_ID: 'AK', AWS_SECRET_ACCESS_KEY: 'SK', AWS_ENDPOINT_URL: server.origin, AWS_REGION: 'default' };
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, args, { env: { ...process.env, ...keys } });
    assert.match(stdout, /^sound: 1 entry/);
    const without = run(process.execPath, args, { env: { ...process.env, ...keys, AWS_ACCESS_KEY_ID: '' } });
    await assert.rejects(without, /AWS_ACCESS_KEY_ID is not set/);
    await server.stop();
  });
});

describe('a backup', () => {
  let root: string;

  before(() => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-backup-'));
  });
  after(() => fs.rmSync(root, { recursive: true, force: true }));

  test('of a log that is open lacks an entry, its batches or its identity', async () => {
    const [directory, to] = [path.join(root, 'log'), path.join(root, 'copy')];
    const log = await WriteAheadLog.recover(directory, keepAll, SMALL);
    await log.append('one');
    await log.appendBatch(['two', 'three']);
    await log.skipTo(10);
    await log.append('ten');
    const identity = await log.identity();
    const { status, stdout } = wal('backup', directory, '--to', to);
    assert.deepEqual([status, stdout], [0, `4 entries copied to ${to}, with their ids\n`]);
    assert.deepEqual(await textsOf(to), ['1 one', '2+ two', '3 three', '10 ten']);
    const reader = await WriteAheadLog.openReadOnly(to);
    assert.equal(await reader.identity(), identity);
    await reader.close();
    await log.shutdown();
  });

  test('of a damaged log, or of topics, is taken for a whole one', async () => {
    const directory = path.join(root, 'damaged');
    const log = await WriteAheadLog.recover(directory, keepAll, SMALL);
    for (let i = 0; i < 3; i++) await log.append('x'.repeat(100));
    await log.shutdown();
    const bytes = fs.readFileSync(path.join(directory, 'wal-1'));
    bytes[bytes.indexOf('xxxx') + 10] ^= 1;
    fs.writeFileSync(path.join(directory, 'wal-1'), bytes);
    const { status, stderr } = wal('backup', directory, '--to', path.join(root, 'none'));
    assert.equal(status, 2);
    assert.match(stderr, /nothing was copied; `segmented-wal repair` copies what is whole/);
    fs.writeFileSync(path.join(root, 'copy/topics-state'), '');
    assert.match(wal('backup', path.join(root, 'copy'), '--to', path.join(root, 'none')).stderr, /holds topics/);
    assert.ok(!fs.existsSync(path.join(root, 'none')));
  });
});
