/**
 * Awaits a log in one of several ways, with nothing else alive, and says so when it has been answered. Node ends a
 * process with code 13 if it has nothing left to do while its main module still awaits.
 */
import { LogVoid, WriteAheadLog, type LogManager } from '../../src/index.js';

const [way, directory] = process.argv.slice(2);
const manager: LogManager = { ...LogVoid };
const log = await WriteAheadLog.recover(directory, manager, { sync: 'interval', syncIntervalMs: 500 });

const WAYS: Record<string, () => Promise<unknown>> = {
  async waitForDurable() {
    const { id } = await log.append('hello');
    await log.waitForDurable(id);
  },
  async follow() {
    const entries = log.entries({ from: 1, follow: true });
    await log.append('hello');
    await entries.next();
    await entries.return?.();
  },
  async 'abort a follower'() {
    // A timer of its own that does not keep the process alive either.
    const signal = AbortSignal.timeout(500);
    await log.entries({ follow: true, signal }).next().catch(() => undefined);
  },
  async 'abort a wait'() {
    await log.waitForDurable(1, { signal: AbortSignal.timeout(500) }).catch(() => undefined);
  },
  async idle() {
    await log.append('hello');
    log.waitForDurable(1).catch(() => undefined);
    await log.sync();
  },
};

await WAYS[way]();
console.log('answered');
