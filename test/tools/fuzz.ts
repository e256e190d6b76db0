/**
 * Feeds damaged and made-up files to recovery and `readAt`:
 *
 *     node dist/test/tools/fuzz.js --inputs 100000 [--seed 1] [--from 0] [--seconds 60]
 *
 * Prints what was tried and everything that must not be, with the number of its input: `--from` that number and
 * `--inputs 1` try it again. Exits with 1 if there was something.
 */
import { parseArgs } from 'node:util';
import { check, Finding } from './fuzz-check.js';
import { makeInput } from './fuzz-inputs.js';
import { buildSpecimens, type Specimen } from './fuzz-specimens.js';
import { Random } from '../support/random.js';

/** Nothing that recovery allocates at once is larger; the files here have a few KiB. */
const MAX_ALLOCATION_BYTES = 256 * 1024;
const MAX_ARRAY_BUFFERS_BYTES = 512 * 1024 * 1024;
// Most inputs end in an error; what matters of it is its message.
Error.stackTraceLimit = 4;
const INPUTS_PER_SPECIMEN_SET = 500;
const MAX_FINDINGS = 20;

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '100000' }, seconds: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' }, from: { type: 'string', default: '0' },
  },
});
const [inputs, seed, from] = [Number(values.inputs), Number(values.seed), Number(values.from)];
const end = performance.now() + Number(values.seconds) * 1000;
const isOver = (): boolean => findings >= MAX_FINDINGS || performance.now() > end;

let largestAllocation = 0;
for (const method of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) {
  const original: (size: number, fill?: number) => Buffer = Buffer[method].bind(Buffer);
  const measured = (size: number, fill?: number): Buffer => {
    largestAllocation = Math.max(largestAllocation, size);
    return original(size, fill);
  };
  Object.assign(Buffer, { [method]: measured });
}

let current = -1;
let findings = 0;
const outcomes = new Map<string, number>();
// An event loop that has nothing left to do while an input is being tried: something waits for ever.
process.on('exit', () => {
  if (current < 0) return;
  console.log(`FINDING seed ${seed}, input ${current}: never settles`);
  process.exitCode = 1;
});

const started = performance.now();
let specimens: readonly Specimen[] = [];
for (let number = from; number < from + inputs && !isOver(); number++) {
  const set = Math.floor(number / INPUTS_PER_SPECIMEN_SET);
  if (number === from || number % INPUTS_PER_SPECIMEN_SET === 0) specimens = await buildSpecimens(new Random(seed * 2 ** 32 + set));
  await tryInput(number);
}
current = -1;
const seconds = (performance.now() - started) / 1000;
const tried = [...outcomes.values()].reduce((sum, count) => sum + count, 0) + findings;
console.log(`${tried} inputs in ${seconds.toFixed(1)} s, ${Math.round(tried / seconds)} a second, ${findings} findings`);
console.log([...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(', '));
console.log(`largest allocation ${largestAllocation} bytes`);
if (findings > 0) process.exitCode = 1;

async function tryInput(number: number): Promise<void> {
  current = number;
  const random = new Random((seed + 1) * 2 ** 40 + number);
  const input = makeInput(random, specimens);
  largestAllocation = 0;
  try {
    const outcome = await check(input, random);
    assertMemory();
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  } catch (error) {
    findings++;
    const message = error instanceof Finding ? error.message : error instanceof Error ? error.stack : String(error);
    console.log(`FINDING seed ${seed}, input ${number} (${input.what}): ${message}`);
  }
}

function assertMemory(): void {
  if (largestAllocation > MAX_ALLOCATION_BYTES) throw new Finding(`${largestAllocation} bytes were allocated at once`);
  if (current % 1000 !== 0) return;
  const { arrayBuffers } = process.memoryUsage();
  if (arrayBuffers > MAX_ARRAY_BUFFERS_BYTES) throw new Finding(`${arrayBuffers} bytes are in buffers`);
}
