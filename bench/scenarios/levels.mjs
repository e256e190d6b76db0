/** Durable puts, and batches of ten, into the level of the examples and into classic-level with `sync: true`. */
import path from 'node:path';
import { emptyDirectory } from '../environment.mjs';
import { Child, interleave, ratioOf, summarise } from '../measure.mjs';
import { duration, rate, ratio, table } from '../table.mjs';

const TURNS = new URL('../commit-turns.mjs', import.meta.url).href;
const SIZE = 100;

export const name = 'levels';
export const title = 'Levels';

const LEVELS = [
  { name: 'wal', label: 'level of the examples', settings: { level: 'wal' } },
  { name: 'wal-blocking', label: 'the same, blockingFlush', settings: { level: 'wal', blockingFlush: true } },
  { name: 'classic', label: 'classic-level, sync: true', settings: { level: 'classic' } },
];
const WRITES = [[1, 'put'], [10, 'batch of ten']];

const FULL = { callers: [1, 16, 64], rounds: 7, milliseconds: 250, warmUpMilliseconds: 600 };
const QUICK = { callers: [1, 16, 64], rounds: 5, milliseconds: 100, warmUpMilliseconds: 300 };

export async function run({ quick, directory, progress }) {
  const plan = quick ? QUICK : FULL;
  const cells = [];
  for (const [puts, what] of WRITES) {
    const children = new Map(LEVELS.map((level) => [level.name, new Child(TURNS)]));
    try {
      for (const level of LEVELS) {
        const own = path.join(directory, level.name);
        emptyDirectory(own);
        await children.get(level.name).call('open', {
          contestant: 'level', directory: own, size: SIZE, settings: { ...level.settings, puts },
          warmUpMilliseconds: plan.warmUpMilliseconds,
        });
      }
      for (const callers of plan.callers) {
        progress(`${what}, ${callers} callers`);
        const turns = await interleave([...children.keys()], plan.rounds, (level) =>
          children.get(level).call('turn', { writers: callers, milliseconds: plan.milliseconds }));
        cells.push({ what, callers, of: new Map([...turns].map(([level, of]) => [level, summarise(of)])) });
      }
      for (const child of children.values()) await child.call('close');
    } finally {
      for (const child of children.values()) await child.end();
    }
  }
  emptyDirectory(directory);
  return { cells, plan };
}

/** How many times as many writes a second as classic-level a level does in a cell, round by round. */
export function toClassic({ of }, level) {
  return ratioOf(of.get(level), of.get('classic'));
}

export function report({ cells, plan }) {
  const rows = cells.flatMap((cell) => LEVELS.map((level) => {
    const { perSecond, p50, p99, cpuMicros, spread } = cell.of.get(level.name);
    const { middle, least, greatest } = toClassic(cell, level.name);
    const compared = level.name === 'classic' ? '' : `${ratio(middle)} (${ratio(least)}–${ratio(greatest)})`;
    return [`${cell.what}, ${level.label}`, cell.callers, rate(perSecond), ...[p50, p99, cpuMicros].map(duration), compared, ratio(spread)];
  }));
  return [
    `Values of ${SIZE} B under 100,000 keys, chosen at random. Medians of ${plan.rounds} interleaved rounds of`,
    `${plan.milliseconds} ms, also of their ratios, of which the least and the greatest are in brackets. The level of the`,
    'examples has the default options of the log: it writes a snapshot of all keys whenever 24 MiB have been written.',
    `\n\n${table(['', 'callers', 'writes/s', 'p50', 'p99', 'CPU each', '÷ classic-level', 'spread'], rows)}`,
  ].join(' ');
}
