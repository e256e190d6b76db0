import { TurnBudget } from '../../base/turns.js';
import { assertChunkLength, chunkBytes, type ChunkData, type CommittedEntry } from '../../model/entry.js';
import type { ChunkRecord, OnCommitted } from '../../model/entry.js';
import { resolveAfter } from './append.js';
import type { OpenEntry } from './open-entry.js';

/** The data of an entry; once that is written, what became of it. */
export type LargeItem = ChunkData | readonly ChunkData[] | CommittedEntry;

/**
 * Writes entries that are too much to be pending, or to be encoded, at once: as one entry in pieces, which keeps the
 * write slot. The entries are a batch if there are several; all or none of them are recovered. Resolves when they
 * are as safe as was asked for, with the same list: what becomes of each entry takes the place of its data. A second
 * list that grows to a million would be moved again and again, which holds the event loop.
 */
export async function appendLarge(
  entry: OpenEntry, batch: LargeItem[], isDurable: boolean,
  onCommitted: OnCommitted<readonly CommittedEntry[]> | undefined,
): Promise<CommittedEntry[]> {
  try {
    const written = await writeEntries(entry, batch);
    await new Promise<void>((resolve, failed) => {
      const committed = (): void => resolveAfter(onCommitted, written, () => resolve(), failed);
      entry.commit({ committed, failed }, isDurable);
    });
    return written;
  } catch (error) {
    if (!entry.isCommitted) await entry.rollback();
    throw error;
  }
}

async function writeEntries(entry: OpenEntry, batch: LargeItem[]): Promise<CommittedEntry[]> {
  const turn = new TurnBudget();
  for (let i = 0; i < batch.length; i++) {
    if (i > 0) entry.continueBatch();
    const data = batch[i];
    const chunks: ChunkRecord[] = [];
    for (const chunk of Array.isArray(data) ? data as readonly ChunkData[] : [data as ChunkData]) {
      const bytes = chunkBytes(chunk);
      assertChunkLength(bytes.length);
      chunks.push(entry.hasRoomFor(bytes.length) ? entry.writeChunk(bytes) : await entry.writeInPieces(bytes));
      if (turn.spend(bytes.length)) await turn.nextTurn();
    }
    if (turn.spend(0)) await turn.nextTurn();
    batch[i] = { id: entry.id, chunks };
  }
  return batch as CommittedEntry[];
}
