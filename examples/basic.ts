import { WriteAheadLog } from 'segmented-wal';

const state: string[] = [];
const log = await WriteAheadLog.recover('my-log', {
  async recover(entry) { for (const chunk of await entry.readAllChunks()) state.push(Buffer.from(chunk).toString()); },
  // Store the entries, and sync: when this resolves the log forgets them. What it throws is tried again.
  async checkpointTo(lastId) { throw new Error(`the entries up to ${lastId} are not stored anywhere else`); },
});
try {
  const { id, chunks } = await log.append('hello');        // durable when this resolves
  const reader = await log.readAt(chunks[0].position);     // read any chunk back at random
  console.log(id, Buffer.from(await reader.readAll()).toString(), state);
  await reader.close();
} finally { await log.shutdown(); }
