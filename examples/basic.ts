import { WriteAheadLog, type LogManager } from 'segmented-wal';
import { SnapshotFile } from 'segmented-wal/snapshot';

const file = new SnapshotFile('my-log/snapshot');
let texts: string[] = [];
let lastId = 0; // of the last entry in `texts`

const manager: LogManager = {
  // Called first. Loads what was stored, and answers up to which entry that is.
  async open() {
    const snapshot = await file.load();
    texts = (await snapshot?.json() ?? []) as string[];
    return (lastId = snapshot?.lastId ?? 0);
  },
  // Called for each later entry.
  async recover(entry) {
    apply(entry.id, await entry.text());
  },
  // Called when a segment is full. The log frees the segment once this has resolved.
  async checkpointTo() {
    await file.save(lastId, JSON.stringify(texts)); // atomic and durable
  },
};

function apply(id: number, text: string): void {
  texts.push(text);
  lastId = id;
}

const log = await WriteAheadLog.recover('my-log', manager);
await log.append('hello', { onCommitted: ({ id }) => apply(id, 'hello') }); // durable when this resolves
console.log(lastId, texts); // 1 [ 'hello' ]
await log.shutdown();
