import { writeFile } from 'node:fs/promises';
import { NodeFileManager, WriteAheadLog, type LogManager } from 'segmented-wal';

const files = new NodeFileManager();
const texts: string[] = [];

const manager: LogManager = {
  // Called at opening, for each entry that has not been checkpointed.
  async recover(entry) {
    texts.push(String(Buffer.concat(await entry.readAllChunks())));
  },
  // Called when a segment is full. The log frees the segment once this has resolved.
  async checkpointTo(lastId, entries) {
    const stored: string[] = [];
    for await (const entry of entries) stored.push(String(Buffer.concat(await entry.readAllChunks())));
    await writeFile(`stored-${lastId}.json`, JSON.stringify(stored), { flush: true });
    await files.syncDirectory('.'); // makes the name of the file durable, too
  },
};

const log = await WriteAheadLog.recover('my-log', manager);
const { id } = await log.append('hello'); // durable when this resolves
console.log(id, texts.length); // 1 0
await log.shutdown();
