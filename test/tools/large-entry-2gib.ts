/**
 * node dist/test/tools/large-entry-2gib.js [MIB]: streams one chunk of 2 GiB, or of as many MiB as given, into a log and
 * reads it back, and fails if memory grows by more than 100 MiB meanwhile.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { WriteAheadLog, type LogManager } from '../../src/index.js';

const MIB = 1024 * 1024;
const PIECE_BYTES = MIB;
const MOST_GROWTH_BYTES = 100 * MIB;

const length = Number(process.argv[2] ?? 2048) * MIB;
const directory = await mkdtemp(path.join(process.env.LARGE_ENTRY_DIR ?? os.tmpdir(), 'segmented-wal-large-'));
let most = 0;
const started = process.memoryUsage.rss();

function measure(): void {
  most = Math.max(most, process.memoryUsage.rss());
}

/** The same piece each time, told apart by its number. */
function numbered(piece: Buffer, i: number): Buffer {
  piece.writeUInt32LE(i, 0);
  return piece;
}

/** Takes nothing, so that the entry is still there to be recovered. */
const keeper: LogManager = {
  recover: () => undefined,
  checkpointTo() {
    throw new Error('not now');
  },
};

async function write(): Promise<void> {
  const log = await WriteAheadLog.recover(directory, keeper);
  const writer = await log.beginEntry();
  const chunk = await writer.beginChunk(length);
  // Two pieces by turns: the log may still hold the one before.
  const pieces = [Buffer.alloc(PIECE_BYTES, 0xa5), Buffer.alloc(PIECE_BYTES, 0xa5)];
  for (let i = 0; i * PIECE_BYTES < length; i++) {
    await chunk.write(numbered(pieces[i % 2], i));
    measure();
  }
  const { position } = await chunk.finish();
  await writer.commit();
  let read = 0;
  for await (const piece of await log.readAt(position)) {
    read += piece.length;
    measure();
  }
  assert.equal(read, length);
  await log.shutdown();
}

async function recover(): Promise<void> {
  let recovered = 0;
  const manager: LogManager = {
    async recover(entry) {
      for await (const chunk of entry) {
        for await (const piece of chunk) {
          recovered += piece.length;
          measure();
        }
      }
    },
    checkpointTo: () => undefined,
  };
  const log = await WriteAheadLog.recover(directory, manager);
  measure();
  assert.equal(recovered, length);
  await log.shutdown();
}

try {
  await write();
  await recover();
  const grown = most - started;
  console.log(`an entry of ${length / MIB} MiB: memory grew by ${Math.round(grown / MIB)} MiB`);
  assert.ok(grown <= MOST_GROWTH_BYTES, `memory grew by ${grown} bytes`);
} finally {
  await rm(directory, { recursive: true, force: true });
}
