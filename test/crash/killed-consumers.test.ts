/** The examples of topics, killed again and again while they work. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Random } from '../support/random.js';
import { until, withTemporaryDirectory } from '../tools/helpers.js';
import { openAccounts, openJobs, worker } from '../tools/killed-consumers.js';
import { runUntilKilled } from '../tools/killed-process.js';

const CHILD = fileURLToPath(new URL('../tools/killed-consumers-child.js', import.meta.url));
const KILLS = 20;

/** What the processes said before they were killed. */
class Said {
  readonly added: string[] = [];
  readonly moved: string[] = [];
  /** Notices by their id, in the order in which they were first taken. */
  readonly taken = new Map<number, string>();
  lines = 0;

  hear(line: string): void {
    this.lines++;
    const [what, rest] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)];
    if (what === 'added') this.added.push(rest);
    if (what === 'moved') this.moved.push(rest);
    if (what === 'sent') this.take(Number(rest.split(' ')[0]), rest.slice(rest.indexOf(' ') + 1));
  }

  /** What the receiver of notices does. */
  take(id: number, notice: string): void {
    assert.equal(this.taken.get(id) ?? notice, notice, `notice ${id} has changed`);
    this.taken.set(id, notice);
  }
}

test('a job is lost or has two results, or a notice is not sent, although the process is killed', async () => {
  await withTemporaryDirectory(async (root) => {
    const directory = path.join(root, 'killed');
    const said = new Said();
    const random = new Random(7);
    for (let round = 1; round <= KILLS; round++) {
      // Some are killed at once, others in the middle of their work.
      const end = said.lines + (random.oneIn(5) ? 1 : random.between(60, 240));
      await runUntilKilled([CHILD, directory, String(round)], (line) => {
        said.hear(line);
        return said.lines >= end;
      });
    }
    await checkJobs(directory, said);
    await checkNotices(directory, said);
  });
});

async function checkJobs(directory: string, { added }: Said): Promise<void> {
  assert.ok(added.length > 10 * KILLS, `only ${added.length} jobs were added`);
  const [done, failed]: string[][] = [[], []];
  const jobs = await openJobs(directory);
  const handle = worker();
  const working = Promise.all(Array.from({ length: 64 }, () => jobs.work(handle)));
  try {
    await until(() => jobs.size === 0);
    for await (const { result } of jobs.results()) done.push(result.replace(/ is done$/, ''));
    for await (const { name } of jobs.failed()) failed.push(name);
  } finally {
    await jobs.close();
    await working;
  }
  const all = [...done, ...failed];
  assert.equal(new Set(all).size, all.length, 'a job has two results, or has failed and has one');
  const ended = new Set(all);
  assert.deepEqual(added.filter((name) => !ended.has(name)), [], 'jobs are lost');
  assert.deepEqual(done.filter((name) => name.endsWith('for ever')), []);
  assert.ok(done.length > failed.length && failed.length > 0);
}

async function checkNotices(directory: string, said: Said): Promise<void> {
  const accounts = await openAccounts(directory);
  const relay = accounts.relay(async ({ id, account, amount }) => said.take(id, `${account} ${amount}`));
  try {
    await until(() => accounts.unsent === 0);
  } finally {
    await accounts.close();
    await relay;
  }
  const ids = [...said.taken.keys()];
  assert.deepEqual(ids, [...ids].sort((a, b) => a - b), 'notices are sent out of order');
  const notices = [...said.taken.values()];
  assert.equal(new Set(notices).size, notices.length, 'a movement has two notices');
  const noticed = new Set(notices);
  assert.deepEqual(said.moved.filter((movement) => !noticed.has(movement)), [], 'movements without a notice');
  // A notice of a movement that never was would make another balance.
  const sums = new Map<string, number>();
  for (const [account, amount] of notices.map((notice) => notice.split(' '))) {
    sums.set(account, (sums.get(account) ?? 0) + Number(amount));
  }
  for (const [account, sum] of sums) assert.equal(accounts.balance(account), sum, account);
}
