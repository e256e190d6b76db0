/**
 * Appends from functions that call themselves until hardly any stack is left, and to the same log afterwards. Prints
 * the entries that were acknowledged and those that were found again. Node ends a process with code 13 if its main
 * module awaits what never settles; what Node itself prints where no stack is left is no concern of a test.
 */
import { HoardingManager, Storage } from './helpers.js';
import { MemoryFileManager } from '../../src/index.js';

/** More than an append calls. */
const MOST_LEFT = 50;

function atDepth<Result>(depth: number, call: () => Result): Result {
  return depth === 0 ? call() : atDepth(depth - 1, call);
}

/** The greatest depth from which a function can be called. */
function greatestDepth(): number {
  let [least, most] = [0, 1 << 20];
  while (most - least > 1) {
    const depth = (least + most) >> 1;
    try {
      atDepth(depth, () => undefined);
      least = depth;
    } catch {
      most = depth;
    }
  }
  return least;
}

const storage = new Storage(new MemoryFileManager(), '/wal');
const acknowledged: string[] = [];
for (let left = 0; left < MOST_LEFT; left++) {
  const log = await storage.open({ manager: new HoardingManager(), options: { checkpointAfterBytes: 1 << 18, preallocateBytes: 1 << 19 } });
  const append = async (what: string, depth = 0): Promise<void> => {
    try {
      await atDepth(depth, () => log.append(what));
      acknowledged.push(what);
    } catch (error) {
      if (!(error instanceof RangeError) && (error as { code?: string }).code !== 'WAL_FAILED') throw error;
    }
  };
  await append(`before ${left}`);
  await append(`deep ${left}`, Math.max(0, greatestDepth() - left));
  await append(`after ${left}`);
  await log.shutdown();
}
const found = (await storage.contents()).map(({ chunks: [chunk] }) => chunk);
console.log(JSON.stringify({ acknowledged, found }));
