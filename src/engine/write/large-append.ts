import { TurnBudget } from '../../base/turns.js';
import { assertChunkLength, chunkBytes, type ChunkData, type CommittedEntry } from '../../model/entry.js';
import type { ChunkRecord, OnCommitted } from '../../model/entry.js';
import { orderedCall } from './append.js';
import type { OpenEntry } from './open-entry.js';

/**
 * Writes entries that are too much to be pending, or to be encoded, at once: as one entry in pieces, which keeps the
 * write slot. The entries are a batch if there are several; all or none of them are recovered. Resolves when they
 * are as safe as was asked for.
 */
export async function appendLarge(
  entry: OpenEntry, batch: readonly (ChunkData | readonly ChunkData[])[], isDurable: boolean,
  onCommitted: OnCommitted<readonly CommittedEntry[]> | undefined,
): Promise<CommittedEntry[]> {
  try {
    const written = await writeEntries(entry, batch);
    await new Promise((committed, failed) => {
      entry.commit({ committed, failed }, isDurable, orderedCall(onCommitted, () => written, failed));
    });
    return written;
  } catch (error) {
    if (!entry.isCommitted) await entry.rollback();
    throw error;
  }
}

async function writeEntries(
  entry: OpenEntry, batch: readonly (ChunkData | readonly ChunkData[])[],
): Promise<CommittedEntry[]> {
  const written: CommittedEntry[] = [];
  const turn = new TurnBudget();
  for (const data of batch) {
    if (written.length > 0) entry.continueBatch();
    const chunks: ChunkRecord[] = [];
    for (const chunk of Array.isArray(data) ? data as readonly ChunkData[] : [data as ChunkData]) {
      const bytes = chunkBytes(chunk);
      assertChunkLength(bytes.length);
      chunks.push(entry.hasRoomFor(bytes.length) ? entry.writeChunk(bytes) : await entry.writeInPieces(bytes));
      if (turn.spend(bytes.length)) await turn.nextTurn();
    }
    if (turn.spend(0)) await turn.nextTurn();
    written.push({ id: entry.id, chunks });
  }
  return written;
}
