/**
 * Loaded before the command line (`node --import`): at the step number `STEP` of those that write below `STEP_BELOW`,
 * the process is killed (`STEP_DOES=kill`), asked to end (`interrupt`), or the step fails (`fail`).
 */
import { NodeFileManager, WriteAheadLog } from '../../src/index.js';

const { STEP = '0', STEP_BELOW: below = '', STEP_DOES: does = 'fail' } = process.env;
let steps = 0;

function step(): void {
  steps++;
  if (steps !== Number(STEP)) return;
  if (does === 'fail') throw new Error('a step that fails');
  process.kill(process.pid, does === 'kill' ? 'SIGKILL' : 'SIGTERM');
}

for (const name of ['rename', 'remove', 'syncDirectory'] as const) {
  before(NodeFileManager.prototype, name, (directory) => {
    if (String(directory).startsWith(below)) step();
  });
}
for (const name of ['append', 'appendBatch']) before(WriteAheadLog.prototype, name, step);

/** Calls `use` with the arguments before each call of a method. */
function before(prototype: object, name: string, use: (...args: unknown[]) => void): void {
  const original = Reflect.get(prototype, name) as (...args: unknown[]) => unknown;
  const replaced = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
    use(...args);
    return original.apply(this, args);
  };
  Reflect.set(prototype, name, replaced);
}

process.on('exit', () => process.stderr.write(steps >= Number(STEP) ? 'step reached\n' : ''));
