/**
 * Changes the Raft log in a directory until it is killed:
 *
 *     node dist/test/tools/killed-raft-child.js DIRECTORY
 *
 * Says on its standard output, at once and in order, with the index up to which entries were stored or contradicted, or
 * from which on they are left:
 *
 *     stored INDEX   contradicted INDEX   freed INDEX
 */
import fs from 'node:fs';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { RaftLog, type RaftEntry } from '../../examples/raft-log.js';

export const BATCH = 3;
export const CONTRADICTED = 2;
const KEPT = 20;

/** `type` tells what the leader contradicts later (1) from what stays (0). */
export function raftEntry(index: number, type: 0 | 1): RaftEntry {
  return { index, term: 1 + type, type, data: Buffer.from(`entry ${index} of type ${type}`.padEnd(100, '.')) };
}

export function openRaft(directory: string): Promise<RaftLog> {
  return RaftLog.open(directory, {
    preallocateBytes: 16 * 1024, checkpointAfterBytes: 8 * 1024, bufferBytes: 4096, maxPendingBytes: 64 * 1024,
  });
}

/** Blocks while the pipe is full, so that nothing that was said is lost with the process. */
function say(what: string, index: number): void {
  fs.writeSync(1, `${what} ${index}\n`);
}

async function write(raft: RaftLog): Promise<never> {
  for (let step = 1; ; step++) {
    const last = raft.lastIndex;
    const next = (count: number, type: 0 | 1) => Array.from({ length: count }, (_, i) => raftEntry(last + 1 + i, type));
    if (step % 5 === 0) {
      await raft.storeLogs(next(CONTRADICTED, 1));
      say('contradicted', last + CONTRADICTED);
      await raft.deleteRange(last + 1, last + CONTRADICTED);
      say('stored', last);
    } else {
      await raft.storeLogs(next(BATCH, 0));
      say('stored', last + BATCH);
    }
    if (step % 10 === 0) {
      await raft.deleteRange(0, last - KEPT);
      say('freed', last - KEPT + 1);
    }
  }
}

if (import.meta.url === pathToFileURL(argv[1]).href) {
  const raft = await openRaft(argv[2]);
  // What an earlier process was about to contradict.
  while (raft.lastIndex > 0 && (await raft.getLog(raft.lastIndex)).type === 1) {
    await raft.deleteRange(raft.lastIndex, raft.lastIndex);
  }
  say('stored', raft.lastIndex);
  await write(raft);
}
