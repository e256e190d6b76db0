/**
 * Runs two openers of a directory in this process so that a schedule decides whose system call comes next: what two
 * processes can do to one another at their worst moments, made to happen instead of waited for.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import fs from 'node:fs/promises';
import timers from 'node:timers/promises';

/** The calls an opener can be held up before. */
const CALLS = ['open', 'readdir', 'readFile', 'writeFile', 'stat', 'mkdir', 'rename', 'unlink', 'rmdir', 'rm'] as const;

interface Waiting {
  readonly isPause: boolean;
  go(): void;
}

class Actor {
  waiting: Waiting | undefined;
  isDone = false;
  /** Ends the wait for the next turn, if there is one. */
  #onSettled = (): void => undefined;

  wait(waiting: Waiting): void {
    this.waiting = waiting;
    this.#onSettled();
  }

  end(): void {
    this.isDone = true;
    this.#onSettled();
  }

  /** Resolves when it waits for its next turn or has ended. */
  async settled(): Promise<void> {
    if (this.waiting !== undefined || this.isDone) return;
    await new Promise<void>((resolve) => {
      this.#onSettled = resolve;
    });
  }
}

type Call = (...args: unknown[]) => Promise<unknown>;

const actors = new AsyncLocalStorage<Actor>();

/** Holds the running actor until the schedule lets it go on. Others, such as the test itself, are not held. */
async function gate(isPause: boolean): Promise<void> {
  const actor = actors.getStore();
  if (actor === undefined) return;
  await new Promise<void>((resolve) => {
    actor.wait({ isPause, go: resolve });
  });
}

/** Makes every file system call of an actor wait for the schedule, until the returned function undoes that. */
export async function interceptCalls(): Promise<() => void> {
  const undo: (() => void)[] = [];
  const intercept = (owner: object, name: string, isPause: boolean): void => {
    const target = owner as Record<string, Call>;
    const original = target[name];
    target[name] = async function call(this: unknown, ...args: unknown[]) {
      await gate(isPause);
      return isPause && actors.getStore() !== undefined ? undefined : original.apply(this, args);
    };
    undo.push(() => {
      target[name] = original;
    });
  };
  const probe = await fs.open(import.meta.filename);
  const fileHandle = Object.getPrototypeOf(probe) as object;
  await probe.close();
  for (const name of CALLS) intercept(fs, name, false);
  for (const name of ['write', 'close']) intercept(fileHandle, name, false);
  intercept(timers, 'setTimeout', true);
  return () => {
    for (const step of undo) step();
  };
}

/**
 * Runs both `operations`, the first one first; before the calls whose numbers are in `switches` the other one's turn
 * comes. Resolves with how many calls there were.
 */
export async function runInterleaved(
  operations: readonly (() => Promise<void>)[], switches: readonly number[],
): Promise<number> {
  const running = operations.map((operation) => {
    const actor = new Actor();
    void actors.run(actor, async () => {
      await gate(false);
      await operation();
    }).finally(() => actor.end());
    return actor;
  });
  let turn = 0;
  let calls = 0;
  while (running.some(({ isDone }) => !isDone)) {
    if (switches.includes(calls)) turn = 1 - turn;
    // Whoever has ended, or pauses for the other, gives the turn away.
    const other = running[1 - turn];
    if (running[turn].isDone || (running[turn].waiting?.isPause === true && !other.isDone)) turn = 1 - turn;
    const { waiting } = running[turn];
    if (waiting !== undefined) {
      running[turn].waiting = undefined;
      calls++;
      waiting.go();
    }
    await running[turn].settled();
  }
  return calls;
}

/** Every schedule of up to `count` switches within `calls` calls. */
export function* schedules(calls: number, count: number, from = 0): Generator<number[]> {
  yield [];
  if (count === 0) return;
  for (let first = from; first < calls; first++) {
    for (const rest of schedules(calls, count - 1, first + 1)) yield [first, ...rest];
  }
}
