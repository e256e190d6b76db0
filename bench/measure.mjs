/** What every scenario measures with: child processes that take turns, and the statistics of their turns. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url));

/** One process for one contestant. `call` runs an exported function there and resolves with what it returns. */
export class Child {
  #process;
  #module;
  #pending;

  /** `module` is the URL of the module whose functions are called. `execArgv` are options of Node. */
  constructor(module, execArgv = []) {
    this.#module = module;
    // 'advanced' passes typed arrays as they are.
    this.#process = fork(CHILD, [], { serialization: 'advanced', execArgv });
    this.#process.on('message', ({ value, error }) => this.#settle(value, error));
    this.#process.on('exit', (code, signal) => this.#settle(undefined, `the process ended with ${signal ?? code}`));
  }

  /** One call at a time. */
  call(name, input) {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject, what: `${name}(${JSON.stringify(input)})` };
      this.#process.send({ module: this.#module, name, input });
    });
  }

  #settle(value, error) {
    const pending = this.#pending;
    this.#pending = undefined;
    if (error === undefined) pending?.resolve(value);
    else pending?.reject(new Error(`in a child process, ${pending.what}: ${error}`));
  }

  async end() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exit = once(this.#process, 'exit');
    if (this.#process.connected) this.#process.disconnect();
    await exit;
  }
}

/** Calls `body` with a Child and ends the child, whatever happens. */
export async function withChild(module, body, execArgv) {
  const child = new Child(module, execArgv);
  try {
    return await body(child);
  } finally {
    await child.end();
  }
}

/**
 * Lets every contestant take one turn in each round, so that a disk or a machine that slows down
 * for a while slows all of them. Each round begins with another one. Returns the turns of each, by name.
 */
export async function interleave(names, rounds, turn) {
  const turns = new Map(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length];
      turns.get(name).push(await turn(name, round));
    }
  }
  return turns;
}

/**
 * The turns of one contestant in one number each. Rates and CPU time are medians over the turns,
 * quantiles of the latency are taken from the samples of all turns together.
 */
export function summarise(turns) {
  const latencies = sortedSamples(turns.map((turn) => turn.latencies));
  const rates = turns.map((turn) => (turn.commits / turn.milliseconds) * 1000);
  const perSecond = median(rates);
  return {
    perSecond,
    rates,
    // The fastest turn ÷ the slowest.
    spread: Math.max(...rates) / Math.min(...rates),
    bytesPerSecond: perSecond * turns[0].bytesPerCommit,
    cpuMicros: median(turns.map((turn) => turn.cpuMicros / turn.commits)),
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    p999: quantile(latencies, 0.999),
    worst: latencies[latencies.length - 1],
    samples: latencies.length,
  };
}

/** The rate of one contestant ÷ another's, round by round: median, least and greatest. */
export function ratioOf(one, other) {
  const ratios = one.rates.map((perSecond, round) => perSecond / other.rates[round]);
  return { middle: median(ratios), least: Math.min(...ratios), greatest: Math.max(...ratios) };
}

function sortedSamples(parts) {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all.sort();
}

/** The smallest sample that at least the share `q` of the `sorted` samples does not exceed. */
export function quantile(sorted, q) {
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)];
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
