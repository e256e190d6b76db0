/**
 * Adds jobs and works on them, moves money and sends notices of it, until it is killed:
 *
 *     node dist/test/tools/killed-consumers-child.js DIRECTORY ROUND
 *
 * Says on its standard output, at once and in order:
 *
 *     opened   added JOB   moved ACCOUNT AMOUNT   sent ID ACCOUNT AMOUNT
 */
import { jobOf, openAccounts, openJobs, worker } from './killed-consumers.js';
import { say } from './killed-process.js';

/** As many jobs as can be worked on, so that not many are left over. */
const PRODUCERS = 2;
const WORKERS = 6;

const [directory, round] = process.argv.slice(2);
const [jobs, accounts] = await Promise.all([openJobs(directory), openAccounts(directory)]);
say('opened');

let next = 1;
async function add(): Promise<void> {
  for (;;) {
    const job = jobOf(Number(round), next++);
    await jobs.add(job);
    say(`added ${job.name}`);
  }
}

/** Every amount of an account is moved once. */
async function move(): Promise<void> {
  for (let amount = 1; ; amount++) {
    await accounts.move({ account: round, amount });
    say(`moved ${round} ${amount}`);
  }
}

const handle = worker();
await Promise.all([
  ...Array.from({ length: PRODUCERS }, add),
  ...Array.from({ length: WORKERS }, () => jobs.work(handle)),
  move(),
  accounts.relay(async ({ id, account, amount }) => say(`sent ${id} ${account} ${amount}`)),
]);
