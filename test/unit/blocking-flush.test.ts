/** Flushes on the calling thread, which only files on a real disk offer. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { NodeFileManager, type FileHandle, type OpenOptions, type WalOptions } from '../../src/index.js';
import { Storage, pattern, text, withTemporaryDirectory } from '../tools/helpers.js';

const BLOCKING: WalOptions = {
  preallocateBytes: 65536, checkpointAfterBytes: 49152, bufferBytes: 4096, maxPendingBytes: 4096, blockingFlush: true,
};

/** A disk that takes at most `limit` bytes at a time. */
class ShortWrites extends NodeFileManager {
  calls = 0;

  constructor(readonly limit: number) {
    super();
  }

  override async open(file: string, options: OpenOptions): Promise<FileHandle> {
    const handle = await super.open(file, options);
    const write = handle.writeBlocking?.bind(handle);
    assert.ok(write !== undefined);
    handle.writeBlocking = (parts, position) => {
      this.calls++;
      return write([Buffer.concat(parts).subarray(0, this.limit)], position);
    };
    return handle;
  }
}

test('a flush on the calling thread takes a short write for a whole one', () => withTemporaryDirectory(async (directory) => {
  const files = new ShortWrites(29);
  const storage = new Storage(files, path.join(directory, 'wal'));
  const log = await storage.open({ options: BLOCKING });
  const chunks = ['x'.repeat(500), 'y'.repeat(99)];
  await log.append(chunks);
  const { calls } = files;
  assert.deepEqual(await (await storage.crash()).contents(BLOCKING), [{ id: 1, chunks }]);
  assert.ok(calls > 20, `${calls} writes`);
  await storage.shutDown();
}));

test('a chunk whose length was not known when its beginning was flushed on the calling thread stays without it', () => {
  return withTemporaryDirectory(async (directory) => {
    const storage = new Storage(new NodeFileManager(), path.join(directory, 'wal'));
    const log = await storage.open({ options: BLOCKING });
    const pieces = Array.from({ length: 20 }, (_, i) => pattern(1000, i + 1));
    const writer = await log.beginEntry();
    await writer.writeChunk(Readable.from(pieces));
    await writer.commit();
    const contents = await (await storage.crash()).contents(BLOCKING);
    assert.deepEqual(contents, [{ id: 1, chunks: [text(Buffer.concat(pieces))] }]);
    await storage.shutDown();
  });
});
