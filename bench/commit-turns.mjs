/**
 * The commits of one contestant, in its own process: opens it, lets a number of writers commit one
 * entry after the other for a while, and hands back every latency.
 */
import { randomBytes } from 'node:crypto';

const MAX_SAMPLES = 4 << 20;
const WARM_UP_WRITERS = 64;

/** @type {{ commit(data: Uint8Array): unknown, close(): unknown, bytesPerCommit?: number } | undefined} */
let store;
let data;
let samples;
let count = 0;

/** Opens `contestant` in the empty `directory` for commits of `size` bytes and commits for some time, unmeasured. */
export async function open({ contestant, directory, size, settings, warmUpMilliseconds }) {
  samples ??= new Float32Array(MAX_SAMPLES);
  const { open: openStore } = await import(`./contestants/${contestant}.mjs`);
  store = await openStore(directory, size, settings);
  // Random, so that a peer that compresses gains nothing by it.
  data = randomBytes(size);
  const writers = store.singleWriter ? 1 : WARM_UP_WRITERS;
  await commitFor(warmUpMilliseconds, writers);
}

/**
 * Lets `writers` writers commit for `milliseconds`, each at least once. A contestant whose commit
 * blocks its thread has one writer, whatever `writers` says. Latencies are in microseconds.
 */
export async function turn({ writers, milliseconds }) {
  const actual = store.singleWriter ? 1 : writers;
  await commitFor(milliseconds / 5, Math.min(actual, WARM_UP_WRITERS));
  const cpu = process.cpuUsage();
  const started = performance.now();
  await commitFor(milliseconds, actual);
  const elapsed = performance.now() - started;
  const used = process.cpuUsage(cpu);
  return {
    commits: count,
    milliseconds: elapsed,
    cpuMicros: used.user + used.system,
    bytesPerCommit: store.bytesPerCommit ?? data.length,
    latencies: samples.slice(0, Math.min(count, MAX_SAMPLES)),
  };
}

export async function close() {
  await store.close();
  store = undefined;
}

async function commitFor(milliseconds, writers) {
  count = 0;
  const deadline = performance.now() + milliseconds;
  await Promise.all(Array.from({ length: writers }, () => commitUntil(deadline)));
}

async function commitUntil(deadline) {
  let before = performance.now();
  do {
    await store.commit(data);
    const after = performance.now();
    samples[count++ % MAX_SAMPLES] = (after - before) * 1000;
    before = after;
  } while (before < deadline);
}
