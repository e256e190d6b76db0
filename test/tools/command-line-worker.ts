/** Carries out commands for `command-line.ts`, which waits for each. */
import { workerData, type MessagePort } from 'node:worker_threads';
import { run } from '../../src/cli/run.js';

export interface CommandLineData {
  readonly port: MessagePort;
  /** Becomes 1 when the outcome of a command has been posted. */
  readonly hasEnded: Int32Array;
}

/** What a command printed, and its exit status. */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const { port, hasEnded } = workerData as CommandLineData;
const printed = { stdout: '', stderr: '' };

for (const name of ['stdout', 'stderr'] as const) {
  process[name].write = (text: string | Uint8Array) => {
    printed[name] += String(text);
    return true;
  };
}

async function carryOut(args: readonly string[]): Promise<void> {
  Object.assign(printed, { stdout: '', stderr: '' });
  const status = await run(args).catch((error: Error) => {
    printed.stderr += `${error.stack}\n`;
    return -1;
  });
  port.postMessage({ status, ...printed } satisfies Outcome);
  Atomics.store(hasEnded, 0, 1);
  Atomics.notify(hasEnded, 0);
}

port.on('message', (args: readonly string[]) => void carryOut(args));
