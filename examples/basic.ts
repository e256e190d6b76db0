import { WriteAheadLog } from 'segmented-wal';

const state: string[] = [];
const log = await WriteAheadLog.recover('my-log', {
  async recover(entry) { for (const chunk of await entry.readAllChunks()) state.push(Buffer.from(chunk).toString()); },
  async checkpointTo(lastId) { console.log(`entries up to ${lastId} must be in your own storage now`); },
});
try {
  const { id, chunks } = await log.append('hello');        // durable when this resolves
  const reader = await log.readAt(chunks[0].position);     // read any chunk back at random
  console.log(id, Buffer.from(await reader.readAll()).toString(), state);
  await reader.close();
} finally { await log.shutdown(); }
