/**
 * npm run demo:failover [-- --orders N] [-- --store DIR | s3://BUCKET] [-- --freeze]
 *
 * Machine A writes orders under load, and is killed in the middle of it, or frozen with `--freeze`. Machine B restores
 * the log from the archive, takes over, and writes on. Then A comes back. Exits with 1 if an order is lost that was
 * confirmed, or if A confirms another one.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Archive, ArchiveReader } from '../src/archive/index.js';
import { WriteAheadLog } from '../src/index.js';
import { keepAll, LOG_OPTIONS, PREFIX, storeOf } from './failover-data.js';
import type { MachineReport } from './failover-machine.js';

const { values } = parseArgs({
  options: {
    orders: { type: 'string', default: '2000' }, store: { type: 'string' }, freeze: { type: 'boolean', default: false },
  },
});
const orders = Number(values.orders);
const root = await mkdtemp(path.join(os.tmpdir(), 'segmented-wal-failover-'));
const storeName = values.store ?? path.join(root, 'store');

/** What A has told: the orders that are durable there, and the ids of those that the archive has confirmed. */
const written = new Map<number, string>();
const confirmed = new Set<number>();

try {
  await main();
} finally {
  await rm(root, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const machineA = startA();
  await new Promise<void>((resolve) => {
    machineA.on('message', (report: MachineReport) => {
      if ('confirmed' in report && confirmed.size >= orders) resolve();
    });
  });
  machineA.kill(values.freeze ? 'SIGSTOP' : 'SIGKILL');
  if (!values.freeze) await once(machineA, 'exit');
  print(`A was ${values.freeze ? 'frozen' : 'killed'} when ${confirmed.size} orders were confirmed`);

  const { log, archive, restored, ms } = await takeOver();
  await archive.archived((await log.append('the first order of B')).id);
  const lost = [...confirmed].filter((id) => restored.get(id) !== written.get(id));
  const unconfirmed = [...written.keys()].filter((id) => !confirmed.has(id));
  const alsoLost = unconfirmed.filter((id) => !restored.has(id));
  print(`B has restored ${restored.size} orders and taken over after ${Math.round(ms)} ms, as epoch ${archive.epoch}`);
  print(`lost of the ${confirmed.size} that were confirmed: ${lost.length}`);
  print(`lost of the ${unconfirmed.length} that were on their way: ${alsoLost.length}`);

  const before = confirmed.size;
  const { fenced } = await comeBack(machineA);
  print(`A has come back, and is refused: ${fenced}; it has confirmed ${confirmed.size - before} orders`);
  await archive.close();
  await log.shutdown();
  if (lost.length > 0 || confirmed.size > before) process.exitCode = 1;
}

/** What an operator, or whatever decides that A is dead, does on machine B. */
async function takeOver() {
  const started = performance.now();
  const store = await storeOf(storeName);
  const directory = path.join(root, 'machine-b');
  const reader = await ArchiveReader.open(store, { prefix: PREFIX });
  await reader.restore(directory, { preallocateBytes: LOG_OPTIONS.preallocateBytes ?? 0 });
  const log = await WriteAheadLog.recover(directory, keepAll, LOG_OPTIONS);
  const archive = await Archive.open(log, store, { prefix: PREFIX, everyMs: 0 });
  const ms = performance.now() - started;
  const restored = new Map<number, string>();
  for await (const entry of log.entries()) restored.set(entry.id, await entry.text());
  return { log, archive, restored, ms };
}

/** Lets A continue, or starts it again with the log that it has. Resolves with why it may not write. */
async function comeBack(frozen: ChildProcess): Promise<{ fenced: string }> {
  const machineA = values.freeze ? frozen : startA();
  const ended = once(machineA, 'exit');
  const refusal = new Promise<{ fenced: string }>((resolve) => {
    machineA.on('message', (report: MachineReport) => {
      if ('fenced' in report) resolve(report);
    });
  });
  machineA.kill('SIGCONT');
  const report = await refusal;
  await ended;
  return report;
}

function startA(): ChildProcess {
  const file = path.join(import.meta.dirname, 'failover-machine.js');
  const machineA = fork(file, [path.join(root, 'machine-a'), storeName]);
  machineA.on('message', (report: MachineReport) => {
    if ('written' in report) written.set(report.written, report.order);
    else if ('confirmed' in report) confirmed.add(report.confirmed);
  });
  return machineA;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
