/**
 * Writes to a log from many writers until it is killed:
 *
 *     node dist/test/tools/kill-child.js DIRECTORY SNAPSHOT ROUND
 *
 * Says on its standard output what its parent must know, at once and in order:
 *
 *     shown ID AUTHOR   opened NEXT-ID   rolling-back ID   acknowledged ID AUTHOR   checkpointing ID
 */
import fs from 'node:fs';
import { WriteAheadLog } from '../../src/index.js';
import { authorOf, chunksBy, entryLine, keyOf, OPTIONS, persist, WRITERS, type Author } from './kill-entries.js';
import { Random } from '../support/random.js';

const [directory, snapshot, roundText] = process.argv.slice(2);
const round = Number(roundText);

/** Blocks while the pipe is full, so that nothing that was said is lost with the process. */
function say(line: string): void {
  fs.writeSync(1, line.endsWith('\n') ? line : `${line}\n`);
}

const log = await WriteAheadLog.recover(directory, {
  recover: async (entry) => say(`shown ${await entryLine(entry)}`),
  checkpointTo: async (lastId, segment) => {
    say(`checkpointing ${lastId}`);
    await persist(snapshot, segment);
  },
}, OPTIONS);
say(`opened ${log.stats().nextId}`);
await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));

async function write(writer: number): Promise<void> {
  const random = new Random(round * WRITERS + writer);
  for (let number = 1; ; number++) {
    const author = { round, writer, number };
    if (random.oneIn(30)) await rollBack(author, random);
    if (random.oneIn(400)) await log.checkpointActive();
    const id = random.oneIn(3) ? await writeEntry(author, random) : (await log.append(chunksBy(author))).id;
    say(`acknowledged ${id} ${keyOf(author)}`);
  }
}

async function writeEntry(author: Author, random: Random): Promise<number> {
  const writer = await log.beginEntry();
  const chunks = chunksBy(author);
  authorOf(chunks);
  for (const chunk of chunks) {
    if (random.oneIn(3)) {
      const streamed = await writer.beginChunk(chunk.length);
      for (let from = 0; from < chunk.length; from += 7000) await streamed.write(chunk.subarray(from, from + 7000));
      await streamed.finish();
    } else {
      await writer.writeChunk(chunk);
    }
  }
  return writer.commit();
}

async function rollBack(author: Author, random: Random): Promise<void> {
  const writer = await log.beginEntry();
  say(`rolling-back ${writer.id}`);
  // More than a buffer, at times: a part of it gets to the disk.
  for (const chunk of chunksBy(author)) {
    await writer.writeChunk(random.oneIn(10) && chunk.length > 0 ? Buffer.alloc(20_000, chunk) : chunk);
  }
  await writer.rollback();
}
