import { stat } from 'node:fs/promises';
import path from 'node:path';
import { NodeFileManager } from '../../index.js';
import { InputError, JSON_OPTION, UsageError, type Arguments, type Command } from '../command.js';
import { withInterrupts } from '../interrupts.js';
import { print, printJson, Progress } from '../output.js';

const DEFAULT_SECONDS = 3;
const WRITE_BYTES = 512;
const FILE_BYTES = 8 * 1024 * 1024;
/** No drive makes 512 bytes durable in less. */
const IMPLAUSIBLE_US = 20;
const BAR = 40;

export const bench: Command = {
  name: 'bench',
  summary: 'measure how long a durable write takes in a directory',
  details: 'Writes to a temporary file in DIR, which is removed afterwards. No log needs to\n'
    + 'be there. When it is interrupted, it shows what it has measured so far.',
  options: {
    seconds: { type: 'string', value: 'COUNT', help: `how long; default: ${DEFAULT_SECONDS}` },
    json: JSON_OPTION,
  },
  async run(args: Arguments): Promise<number> {
    const seconds = args.number('seconds') ?? DEFAULT_SECONDS;
    if (seconds < 1) throw new UsageError('--seconds takes 1 or more');
    const stats = await stat(args.directory).catch(() => undefined);
    if (stats?.isDirectory() !== true) throw new InputError(`${args.directory} is not a directory`);
    const latencies = await withInterrupts((signal) => measure(args.directory, seconds * 1000, signal));
    if (latencies.length === 0) throw new Error('interrupted before the first write');
    const at = (part: number): number => latencies[Math.min(latencies.length - 1, Math.floor(part * latencies.length))];
    const result = { writes: latencies.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), longest: at(1) };
    const isPlausible = result.p50 >= IMPLAUSIBLE_US;
    if (args.has('json')) {
      await printJson({ unit: 'µs', ...result, isPlausible });
      return 0;
    }
    for (const line of histogram(latencies)) await print(line);
    await print();
    const { p50, p90, p99, longest } = result;
    const times = `median ${micros(p50)}, 90 % ${micros(p90)}, 99 % ${micros(p99)}, longest ${micros(longest)}`;
    await print(`${result.writes} durable writes of ${WRITE_BYTES} bytes: ${times}`);
    if (!isPlausible) {
      await print(`warning: half of them took less than ${IMPLAUSIBLE_US} µs. This storage is memory, or answers`);
      await print('before anything is durable: a loss of power will take acknowledged entries.');
    }
    return 0;
  },
};

/** How many microseconds each write took, in ascending order. Ends early when `signal` is aborted. */
async function measure(directory: string, milliseconds: number, signal: AbortSignal): Promise<number[]> {
  const files = new NodeFileManager();
  const name = path.join(directory, `segmented-wal-bench-${process.pid}.tmp`);
  const progress = new Progress();
  const latencies: number[] = [];
  const file = await files.open(name, { access: 'create', durableWrites: true });
  try {
    await file.write([Buffer.alloc(FILE_BYTES)], 0);
    await file.sync();
    const bytes = Buffer.alloc(WRITE_BYTES, 1);
    const started = performance.now();
    for (let at = 0; !signal.aborted; at = (at + WRITE_BYTES) % FILE_BYTES) {
      const before = performance.now();
      if (before - started >= milliseconds) break;
      await file.write([bytes], at);
      if (!file.durableWrites) await file.sync();
      latencies.push((performance.now() - before) * 1000);
      progress.update(before - started, milliseconds);
    }
  } finally {
    progress.end();
    await file.close();
    await files.remove(name);
  }
  return latencies.sort((a, b) => a - b);
}

/** A line for each power of two of microseconds. */
function histogram(latencies: readonly number[]): string[] {
  const counts = new Map<number, number>();
  for (const latency of latencies) {
    const power = Math.max(0, Math.floor(Math.log2(latency)));
    counts.set(power, (counts.get(power) ?? 0) + 1);
  }
  const powers = [...counts.keys()].sort((a, b) => a - b);
  const most = Math.max(...counts.values());
  const lines: string[] = [];
  for (let power = powers[0]; power <= powers[powers.length - 1]; power++) {
    const writes = counts.get(power) ?? 0;
    const bar = '#'.repeat(Math.ceil((writes / most) * BAR));
    lines.push(`from ${micros(2 ** power).padStart(9)}  ${String(writes).padStart(8)}  ${bar}`.trimEnd());
  }
  return lines;
}

function micros(value: number): string {
  return value < 1000 ? `${Math.round(value)} µs` : `${(value / 1000).toFixed(1)} ms`;
}
