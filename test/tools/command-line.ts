/** What the tests of the command line share. */
import { fileURLToPath } from 'node:url';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { LogManager } from '../../src/index.js';
import type { CommandLineData, Outcome } from './command-line-worker.js';

/** The file that `npx segmented-wal` runs. */
export const BIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** Keeps every entry in the log. */
export const keepAll: LogManager = {
  recover: () => undefined,
  checkpointTo() {
    throw new Error('this log keeps its entries');
  },
};

/** Longer than any command that ends by itself takes, on any machine. */
const CAP_MS = 120_000;

/** The thread that carries out commands: a process for each would take longer than the command. */
class CommandLine {
  readonly #hasEnded = new Int32Array(new SharedArrayBuffer(4));
  readonly #port;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const workerData: CommandLineData = { port: port2, hasEnded: this.#hasEnded };
    new Worker(new URL('./command-line-worker.js', import.meta.url), { workerData, transferList: [port2] }).unref();
    port1.unref();
  }

  run(args: readonly string[]): Outcome {
    Atomics.store(this.#hasEnded, 0, 0);
    this.#port.postMessage(args);
    if (Atomics.wait(this.#hasEnded, 0, 0, CAP_MS) === 'timed-out') throw new Error(`${args.join(' ')} does not end`);
    return (receiveMessageOnPort(this.#port) as { message: Outcome }).message;
  }
}

let commandLine: CommandLine | undefined;

/** Runs a command to its end, in a thread of its own. */
export function wal(...args: string[]): Outcome {
  return (commandLine ??= new CommandLine()).run(args);
}
