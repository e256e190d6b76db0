/**
 * A level of abstract-level: that of the examples, or LevelDB through classic-level with `sync: true`, which syncs its
 * log before a write is acknowledged. All of 100,000 keys are there already; a commit puts one of them, chosen at
 * random, or `settings.puts` of them in one batch. The segments of the log have been recycled.
 */
const KEYS = 100_000;
const MIB = 1 << 20;
const CIRCULATED_BYTES = 160 * MIB;

export async function open(directory, size, { level: name, puts, ...options }) {
  const level = name === 'wal' ? await openWal(directory, options) : await openClassic(directory);
  for (let at = 0; at < KEYS; at += 1000) {
    const keys = Array.from({ length: 1000 }, (_, i) => `key ${at + i}`);
    await level.batch(keys.map((key) => ({ type: 'put', key, value: Buffer.alloc(size) })));
  }
  const durably = { sync: true };
  const anyKey = () => `key ${Math.floor(Math.random() * KEYS)}`;
  const anyOf = (value) => Array.from({ length: puts }, () => ({ type: 'put', key: anyKey(), value }));
  return {
    commit: puts === 1 ? (value) => level.put(anyKey(), value, durably) : (value) => level.batch(anyOf(value), durably),
    close: () => level.close(),
  };
}

async function openWal(directory, log) {
  const { WalLevel } = await import('../../dist/examples/level.js');
  const level = new WalLevel(directory, { valueEncoding: 'buffer', log });
  const filler = Buffer.alloc(MIB);
  for (let bytes = 0; bytes < CIRCULATED_BYTES; bytes += 4 * MIB) {
    await Promise.all(['a', 'b', 'c', 'd'].map((key) => level.put(key, filler)));
  }
  await level.clear();
  return level;
}

async function openClassic(directory) {
  const { ClassicLevel } = await import('classic-level');
  return new ClassicLevel(directory, { valueEncoding: 'buffer' });
}
