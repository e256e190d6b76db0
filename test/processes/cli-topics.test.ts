/** The command line on topics, and on what they keep beside their log. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { NodeFileManager, WriteAheadLog } from '../../src/index.js';
import { Topics } from '../../src/topics/index.js';
import { BIN, keepAll, wal } from '../tools/command-line.js';
import { SMALL } from '../tools/helpers.js';
import { checkpointed, drain, fill } from '../tools/topics-tools.js';

interface ShownTopic {
  readonly name: string;
  readonly firstId: number;
  readonly lastId: number;
  readonly messages: number;
  readonly bytes: number;
  readonly groups: { name: string; lag: { messages: number; bytes: number }; inFlight: number | null }[];
}

interface PrintedMessage {
  readonly id: number;
  readonly topic: string;
  readonly key?: string;
  readonly chunks: { text?: string }[];
}

interface Verdict {
  readonly state: string;
  readonly damage: { message: string; lost: string }[];
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

describe('the command line of topics', () => {
  let root: string;
  let directory: string;
  let topics: Topics;
  let orders: string[];

  before(async () => {
    root = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR ?? '/tmp'), 'segmented-wal-cli-topics-'));
    directory = path.join(root, 'topics');
    topics = await Topics.open(directory, { ...SMALL, keepSegments: 0 });
    const billing = await topics.topic('orders').group('billing', { maxAttempts: 5 });
    await topics.topic('orders').group('audit');
    orders = [...await fill(topics, 'orders', 'order'), ...await fill(topics, 'orders', 'later order')];
    await topics.topic('bills').group('post', { from: 'next' });
    await topics.topic('orders').publish('last order', { key: 'customer 7' });
    orders.push('last order');
    await drain(billing, 4);
    await billing.take({ max: 3 });
    await topics.topic('idle').publish('x');
    await checkpointed(topics);
    // So that no runs are merged while they are looked at.
    await topics.close();
    topics = await Topics.open(directory, { ...SMALL, keepSegments: 0 });
    await topics.topic('orders').publish('in the log');
    orders.push('in the log');
  });
  after(async () => {
    await topics.close();
    fs.rmSync(root, { recursive: true, force: true });
  });

  /** A copy of the topics, as they are now, without what their owner has locked. */
  function copy(name: string): string {
    const to = path.join(root, name);
    fs.cpSync(directory, to, { recursive: true, filter: (file) => !/LOCK/.test(file) });
    return to;
  }

  function shown(...args: string[]): PrintedMessage[] {
    const { status, stdout, stderr } = wal('tail', directory, '--json', ...args);
    assert.deepEqual([status, stderr], [0, '']);
    return lines(stdout).map((line) => JSON.parse(line) as PrintedMessage);
  }

  test('topics of a live log are shown with less than they hold, or with other consumers', () => {
    const { status, stdout, stderr } = wal('topics', directory, '--json');
    assert.deepEqual([status, stderr], [0, '']);
    const found = JSON.parse(stdout) as { topics: ShownTopic[]; runs: number; runBytes: number };
    assert.deepEqual(found.topics.map(({ name }) => name), ['bills', 'idle', 'orders']);
    for (const { name, firstId, lastId, messages, bytes } of found.topics) {
      assert.deepEqual({ firstId, lastId, messages, bytes }, topics.topic(name).stats(), name);
    }
    const stats = topics.stats();
    assert.deepEqual([found.runs, found.runBytes], [stats.runs, stats.runBytes]);
    assert.ok(stats.runs > 0);
    const [audit, billing] = found.topics[2].groups;
    assert.deepEqual([audit.name, audit.lag.messages, audit.inFlight], ['audit', orders.length, null]);
    assert.deepEqual([billing.name, billing.lag.messages, billing.inFlight], ['billing', orders.length - 4, 3]);
  });

  test('a table of topics says nothing of groups, or breaks at a name that is no word', async () => {
    const other = path.join(root, 'names');
    const named = await Topics.open(other);
    await named.topic('a name\nof two lines').group('g');
    await named.close();
    const table = wal('topics', other).stdout;
    assert.match(table, /^"a name\\nof two lines" +0 +0 +0 +0 B +g +0 +\?$/m);
    assert.match(table, /\n1 topic, 1 group; 0 runs, 0 B\n$/);
    assert.match(wal('topics', directory).stdout, / billing +\d+ +3$/m);
  });

  test('the messages of a topic are printed with those of others, or without those in runs', () => {
    const all = shown('--topic', 'orders', '-n', '1000');
    assert.deepEqual(all.map(({ chunks }) => chunks[0].text), orders);
    assert.ok(all.every(({ id, topic }, i) => topic === 'orders' && id > (all[i - 1]?.id ?? 0)));
    assert.equal(all.at(-2)?.key, 'customer 7');
    assert.deepEqual(shown('--topic', 'orders').map(({ id }) => id), all.slice(-10).map(({ id }) => id));
    assert.deepEqual(shown('--topic', 'orders', '-n', '0'), []);
    const text = wal('tail', directory, '--topic', 'orders', '-n', '2').stdout;
    assert.match(text, /^message \d+ {2}[^ ]+Z {2}key "customer 7" {2}1 chunk, 10 bytes\n {2}"last order"\nmessage /);
  });

  test('a topic or a log that is not there is shown as an empty one', async () => {
    assert.deepEqual(lines(wal('tail', directory, '--topic', 'ordres').stderr),
      [`segmented-wal tail: ${directory} has no topic "ordres"`]);
    assert.equal(wal('tail', directory, '--topic', 'ordres').status, 66);
    const other = path.join(root, 'plain');
    await (await WriteAheadLog.recover(other, keepAll, SMALL)).shutdown();
    for (const args of [['topics', other], ['tail', other, '--topic', 'orders'], ['topics', root]]) {
      const { status, stderr } = wal(...args);
      assert.equal(status, 66, stderr);
    }
  });

  test('tail --follow of a topic misses what went to a run before it looked', { timeout: 60_000 }, async () => {
    const live = path.join(root, 'live');
    const owner = await Topics.open(live, { ...SMALL, keepSegments: 0 });
    await owner.topic('t').group('keeps all');
    const args = [BIN, 'tail', live, '--topic', 't', '--follow', '--json'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const closed = once(child, 'close');
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const sent = ['first'];
    const seen: unknown[] = [];
    await owner.topic('t').publish('first');
    for await (const line of createInterface(child.stdout)) {
      seen.push((JSON.parse(line) as PrintedMessage).chunks[0].text);
      if (sent.length === 1) {
        // It cannot look meanwhile.
        child.kill('SIGSTOP');
        sent.push(...await fill(owner, 't', 'a'), ...await fill(owner, 't', 'b'));
        await checkpointed(owner);
        await owner.topic('other').publish('x');
        await owner.topic('t').publish('last');
        sent.push('last');
        child.kill('SIGCONT');
      }
      if (seen.length === sent.length) child.kill('SIGINT');
    }
    assert.deepEqual(await closed, [0, null], errors);
    assert.deepEqual(seen, sent);
    assert.match(errors, /^\{"note":"of messages \d+ to \d+ those that no group wants any more may be missing"\}\n$/);
    await owner.close();
  });

  test('damage to what topics keep beside the log is not told, or loses what is whole', async () => {
    const sound = wal('verify', directory);
    assert.equal(sound.status, 0, sound.stdout);
    assert.match(sound.stdout, /^sound: \d+ whole entr[^;]+; \d+ messages in \d runs?, /);
    assert.match(wal('inspect', directory).stdout, /^topics +3 topics, 3 groups; \d+ messages in \d runs?, /m);
    const runs = fs.readdirSync(directory).filter((name) => name.startsWith('topics-run-'));
    const run = runs.find((name) => fs.readFileSync(path.join(directory, name)).includes('last order')) ?? '';
    const stateBytes = fs.readFileSync(path.join(directory, 'topics-state'));
    const runBytes = fs.readFileSync(path.join(directory, run));
    const record = runBytes.indexOf('last order');
    const cases: [string, string, number | 'removed', RegExp, RegExp][] = [
      ['a message', run, record, new RegExp(`^${run} is damaged at offset`), /^messages \d+ to \d+ of "orders" are lost$/],
      ['an index', run, runBytes.length - 1, new RegExp(`^the index of ${run} is damaged$`), /^no message is lost/],
      ['the state', 'topics-state', stateBytes.length - 2, /^topics-state is damaged/, /^which topics and groups there are/],
      ['no state', 'topics-state', 'removed', /topics-state is missing or older/, /^which topics and groups there are/],
      ['no run', run, 'removed', new RegExp(`^${run} cannot be opened`), /^its messages are lost$/],
    ];
    for (const [name, file, at, message, lost] of cases) {
      const damaged = copy(name);
      const target = path.join(damaged, file);
      if (at === 'removed') fs.rmSync(target);
      else {
        const bytes = fs.readFileSync(target);
        bytes[at] ^= 1;
        fs.writeFileSync(target, bytes);
      }
      const { status, stdout } = wal('verify', damaged, '--json');
      const { state, damage } = JSON.parse(stdout) as Verdict;
      assert.deepEqual([status, state, damage.length], [2, 'damaged', 1], name);
      assert.match(damage[0].message, message);
      assert.match(damage[0].lost, lost);
      assert.match(wal('inspect', damaged).stdout, new RegExp(`^damage +${damage[0].message.slice(0, 20)}`, 'm'));
      const topicsStatus = name === 'a message' || name === 'an index' ? 0 : 2;
      assert.equal(wal('topics', damaged).status, topicsStatus, name);
      if (name === 'a message') assert.equal(wal('tail', damaged, '--topic', 'idle').status, 0);
      assert.equal(wal('tail', damaged, '--topic', 'orders', '-n', '5').status, name === 'an index' ? 0 : 2);
    }
  });

  test('commands write to the directory of topics', async () => {
    const still = copy('still');
    const content = (): unknown => fs.readdirSync(still).sort().map((name) => [name, fs.readFileSync(path.join(still, name), 'latin1')]);
    const before = content();
    for (const args of [['topics'], ['tail', '--topic', 'orders'], ['verify'], ['inspect']]) {
      const [command, ...options] = args;
      assert.equal(wal(command, still, ...options).status, 0);
    }
    assert.deepEqual(content(), before);
    assert.ok((await new NodeFileManager().list(still)).length > 0);
  });
});
