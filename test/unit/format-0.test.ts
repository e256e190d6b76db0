/** Directories written by the predecessor, OkayWAL 0.3.1, in its format 0. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WalError } from '../../src/index.js';
import {
  checkpointed, forEachFileManager, HoardingManager, inMemory, RecordingManager, Storage, turns, until,
} from '../tools/helpers.js';
import type { CrashPoint } from '../support/crash-point.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { SimulatedFileManager } from '../support/simulated-file-manager.js';

const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/okaywal-v0', import.meta.url));
const NAMES = ['small', 'segments', 'recycled', 'torn', 'large'];

function fnv1a64(bytes: Uint8Array): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

async function copyFixture(storage: Storage, name: string): Promise<void> {
  const directory = `${FIXTURES}/${name}/log`;
  for (const file of readdirSync(directory)) await storage.put(file, readFileSync(`${directory}/${file}`));
}

/** The lines its own recovery gave, but for those of entries that were never completed. */
function expectedLines(name: string): string[] {
  const lines = readFileSync(`${FIXTURES}/${name}/expected.ndjson`, 'utf8').trim().split('\n');
  return lines.filter((line) => !/"(error|aborted)"/.test(line));
}

/** Writes the same lines as `expected.ndjson`, and hoards, so that nothing is checkpointed before a test says so. */
class LineManager extends HoardingManager {
  readonly lines: string[] = [];

  constructor() {
    super();
    this.onSegment = ({ versionInfo }) => {
      this.lines.push(JSON.stringify({ segment: { versionInfo: Buffer.from(versionInfo).toString() } }));
      return 'recover';
    };
    this.onRecover = async (entry) => {
      const chunks = (await entry.readAllChunks()).map((data) => ({ length: data.length, fnv1a64: fnv1a64(data) }));
      this.lines.push(JSON.stringify({ entryId: entry.id, chunks }));
    };
  }
}

for (const name of NAMES) {
  forEachFileManager(`the predecessor's directory '${name}' recovers to what it recovered itself`, async (storage) => {
    await copyFixture(storage, name);
    const manager = new LineManager();
    const log = await storage.open({ manager });
    assert.deepEqual(manager.lines, expectedLines(name));
    assert.equal(log.recovery.entries, manager.recovered.length);
    assert.ok(manager.segments.every(({ formatVersion }) => formatVersion === 0));
    manager.letGo();
  });

  forEachFileManager(`the predecessor's directory '${name}' can be written to and checkpointed`, async (storage) => {
    await copyFixture(storage, name);
    const old = new RecordingManager();
    const log = await storage.open({ manager: old });
    const { id } = await log.append(['new', 'entry']);
    assert.ok(old.recoveredIds.every((known) => known < id), 'ids go on above the highest known');
    // Every segment of the predecessor is closed, so that all of them are handed over without being asked for.
    await checkpointed(log);
    const handedOver = old.checkpoints.flatMap(({ entries }) => entries);
    assert.deepEqual(handedOver, old.recovered.filter(({ id: known }) => known < id));
    for (let i = 0; i < 30; i++) await log.append(`more ${i} ${'x'.repeat(500)}`);
    await until(() => log.stats().segmentsRecycled > 0);
    await turns();
    await log.shutdown();

    for (const [file, bytes] of await storage.files()) {
      if (!file.endsWith('-cp')) assert.equal(bytes[3], 1, `${file} is of format 1`);
    }
    const manager = new RecordingManager();
    const again = await storage.open({ manager });
    const given = [...old.checkpoints.flatMap(({ entries }) => entries), ...manager.recovered].map((entry) => entry.id);
    assert.ok(given.includes(id), 'the entry that was added is there');
    assert.equal(new Set(given).size, given.length, 'no entry is there twice');
    assert.equal((await again.append('last')).id, id + 31);
  });
}

inMemory('a segment of the predecessor and its successor of format 1 recover in order', async (storage) => {
  await copyFixture(storage, 'segments');
  const first = new HoardingManager();
  const log = await storage.open({ manager: first });
  const { id } = await log.append('format 1');
  const crashed = await storage.crash();
  const manager = new HoardingManager();
  await crashed.open({ manager });
  assert.deepEqual(manager.recovered, [...first.recovered, { id, chunks: ['format 1'] }]);
  assert.equal(new Set(manager.segments.map(({ formatVersion }) => formatVersion)).size, 2);
  first.letGo();
  manager.letGo();
  await crashed.shutDown();
});

inMemory('a chunk of the predecessor that was damaged is not handed over as an entry', async (storage) => {
  await copyFixture(storage, 'segments');
  // The data of the first chunk of entry 1, behind a header of 5 + 8 bytes, an entry record and a chunk header.
  await storage.damage('wal-1', 5 + 8 + 9 + 5 + 100);
  const manager = new RecordingManager();
  const outcome = await storage.open({ manager }).catch((error: unknown) => error);
  assert.ok(!manager.recoveredIds.includes(1));
  if (outcome instanceof WalError) assert.equal(outcome.code, 'WAL_CORRUPT');
});

/** The predecessor's directory on a disk that has not got all of the last segment: the rest is in the cache only. */
async function halfWritten(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await copyFixture(new Storage(new SimulatedFileManager(disk), '/log'), 'small');
  const inode = disk.lookup('/log/wal-1');
  assert.ok(inode !== undefined);
  const [half, rest] = [60, inode.share().slice(60)];
  disk.write(inode, half, Buffer.alloc(rest.length));
  disk.sync(inode, disk.time);
  disk.syncDirectory('/log', disk.time);
  disk.write(inode, half, rest);
  return disk;
}

for (const whose of ['the predecessor', 'an earlier opening']) {
  test(`what is shown of the predecessor's last segment survives a power loss, although a sync by ${whose} failed`, async () => {
    const disk = await halfWritten();
    const inode = disk.lookup('/log/wal-1');
    assert.ok(inode !== undefined);
    if (whose === 'the predecessor') {
      disk.failSync(inode, disk.time, () => false);
    } else {
      const failing = new SimulatedFileManager(disk, {
        faultAt: ({ kind, path }) => (kind === 'sync' && path === '/log/wal-1' ? 'EIO' : undefined),
        survives: () => false,
      });
      await assert.rejects(new Storage(failing, '/log').open(), { code: 'WAL_IO' });
    }

    const manager = new HoardingManager();
    let shown: CrashPoint | undefined;
    manager.onRecover = () => void (shown ??= disk.crashPoint());
    await new Storage(new SimulatedFileManager(disk), '/log').open({ manager });
    assert.ok(shown !== undefined);
    const crashed = new SimulatedFileManager(shown.powerLoss(shown.fragments.map(() => 'lost')));
    assert.deepEqual(await new Storage(crashed, '/log').contents(), manager.recovered);
  });
}

test(`the predecessor's last segment leaves the cache between its scan and its copy: the opening notices`, async () => {
  const disk = await halfWritten();
  const inode = disk.lookup('/log/wal-1');
  assert.ok(inode !== undefined);
  disk.failSync(inode, disk.time, () => false);
  const dropping = new SimulatedFileManager(disk, {
    onStep: ({ kind, path }) => {
      if (kind === 'create' && path === '/log/wal-tail-new') inode.patch(0, inode.durable);
    },
  });
  const opening = new Storage(dropping, '/log').open();
  await assert.rejects(opening, { code: 'WAL_IO', message: /changed while it was read/ });
  assert.equal((await new Storage(new SimulatedFileManager(disk), '/log').contents()).length, 1);
});
