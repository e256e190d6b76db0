/**
 * Where the time of one contestant goes: node bench/profile.mjs [CONTESTANT] [BYTES] [WRITERS] [SECONDS], by
 * default log-append 256 64 3. Prints the functions with the most time of their own, and writes profile.cpuprofile
 * into the working directory for the performance tools of a browser.
 */
import fs from 'node:fs';
import { Session } from 'node:inspector/promises';
import path from 'node:path';
import * as turns from './commit-turns.mjs';
import { makeDataDirectory } from './environment.mjs';
import { summarise } from './measure.mjs';
import { duration, rate, table } from './table.mjs';

const LINES = 25;
const [contestant = 'log-append', size = '256', writers = '64', seconds = '3'] = process.argv.slice(2);
const settings = contestant.startsWith('log') ? { circulateBytes: 192 << 20 } : undefined;

const directory = makeDataDirectory();
const session = new Session();
session.connect();
try {
  await turns.open({ contestant, directory, size: Number(size), settings, warmUpMilliseconds: 500 });
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 200 });
  await session.post('Profiler.start');
  const turn = await turns.turn({ writers: Number(writers), milliseconds: Number(seconds) * 1000 });
  const { profile } = await session.post('Profiler.stop');
  await turns.close();
  const { perSecond, p50, cpuMicros } = summarise([turn]);
  const speed = `${rate(perSecond)} commits/s, p50 ${duration(p50)}, CPU ${duration(cpuMicros)} a commit`;
  console.log(`With the profiler: ${speed}.\n`);
  console.log(selfTimes(profile));
  fs.writeFileSync('profile.cpuprofile', JSON.stringify(profile));
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}

function selfTimes({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const micros = new Map();
  samples.forEach((id, i) => {
    const { functionName, url, lineNumber } = byId.get(id).callFrame;
    const where = url === '' ? '' : `${path.relative(process.cwd(), url.replace('file://', ''))}:${lineNumber + 1}`;
    const key = `${functionName || '(anonymous)'} ${where}`;
    micros.set(key, (micros.get(key) ?? 0) + timeDeltas[i]);
  });
  const total = timeDeltas.reduce((sum, delta) => sum + delta, 0);
  const rows = [...micros].sort(([, a], [, b]) => b - a).slice(0, LINES);
  const cells = rows.map(([key, value]) => [key, (value / 1000).toFixed(1), (value / total * 100).toFixed(1)]);
  return table(['function', 'ms', '%'], cells);
}
