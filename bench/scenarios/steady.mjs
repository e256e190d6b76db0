/** The steady state: what rotation, checkpointing and recycling do to the latency of the commits beside them. */
import path from 'node:path';
import { emptyDirectory } from '../environment.mjs';
import { Child, interleave, summarise } from '../measure.mjs';
import { duration, rate, ratio, table } from '../table.mjs';

const TURNS = new URL('../commit-turns.mjs', import.meta.url).href;
const MIB = 1 << 20;
const SIZE = 256;
const WRITERS = 64;

export const name = 'steady';
export const title = 'Steady state';

/** For a log whose segments are recycled when the measurement begins. */
const DEFAULT_SEGMENTS = { circulateBytes: 160 * MIB };
const SMALL_SEGMENTS = { circulateBytes: 64 * MIB, preallocateBytes: 8 * MIB, checkpointAfterBytes: 6 * MIB };
const ONE_SEGMENT = { preallocateBytes: 640 * MIB, checkpointAfterBytes: 639 * MIB };
const reading = (settings) => ({ ...settings, manager: 'reading' });

const CONTESTANTS = [
  { name: 'still', title: 'one segment, never full', settings: ONE_SEGMENT },
  { name: 'void', title: 'default segments, LogVoid', settings: DEFAULT_SEGMENTS },
  { name: 'reading', title: 'default segments, read at checkpoint', settings: reading(DEFAULT_SEGMENTS) },
  { name: 'small', title: 'segments of 8 MiB, LogVoid', settings: SMALL_SEGMENTS },
  { name: 'smallReading', title: 'segments of 8 MiB, read at checkpoint', settings: reading(SMALL_SEGMENTS) },
];
const FULL = { rounds: 3, milliseconds: 1500 };
const QUICK = { rounds: 1, milliseconds: 300 };

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  const children = new Map(CONTESTANTS.map((contestant) => [contestant.name, new Child(TURNS)]));
  progress('the steady state with and without rotation');
  try {
    for (const { name: contestant, settings } of CONTESTANTS) {
      const own = path.join(directory, contestant);
      emptyDirectory(own);
      await children.get(contestant).call('open', {
        contestant: 'log-append', directory: own, size: SIZE, settings, warmUpMilliseconds: 300,
      });
    }
    const turns = await interleave([...children.keys()], plan.rounds, (contestant) =>
      children.get(contestant).call('turn', { writers: WRITERS, milliseconds: plan.milliseconds }));
    for (const child of children.values()) await child.call('close');
    return { plan, of: Object.fromEntries([...turns].map(([contestant, of]) => [contestant, summarise(of)])) };
  } finally {
    for (const child of children.values()) await child.end();
    emptyDirectory(directory);
  }
}

export function report({ plan, of }) {
  const rows = CONTESTANTS.map(({ name: contestant, title: label }) => {
    const { perSecond, p50, p99, p999, worst } = of[contestant];
    return [label, rate(perSecond), ...[p50, p99, p999, worst].map(duration), ratio(p999 / of.still.p999)];
  });
  const rounds = `${plan.rounds} interleaved rounds of ${plan.milliseconds} ms`;
  return `Commits of ${SIZE} B from ${WRITERS} writers, ${rounds}, ` +
    'segments already recycled when it begins. "Read at checkpoint": the manager reads every chunk.\n\n' +
    table(['', 'commits/s', 'p50', 'p99', 'p99.9', 'worst', 'p99.9 ÷ first'], rows);
}
