import { gunzipSync } from 'node:zlib';
import type { ObjectStore } from '../../src/archive/index.js';
import * as format from '../../src/archive/entries-format.js';
import type { Slot } from '../../src/archive/slot-format.js';
import { readSlots } from '../../src/archive/slot-reader.js';
import type { SeenEntry } from './helpers.js';

/** An entry in an archive, with the slot that it is in. */
export interface SeenArchivedEntry extends SeenEntry {
  readonly slot: number;
  readonly endsBatch: boolean;
}

const NEVER = new AbortController().signal;

/** Every slot in an archive, in order. */
export async function slotsIn(store: ObjectStore, prefix: string): Promise<Slot[]> {
  const slots: Slot[] = [];
  for await (const slot of readSlots({ store, prefix, signal: NEVER, attempts: 1 })) slots.push(slot);
  return slots;
}

/** Every entry in an archive, decoded by a reading of its own. Throws if their ids do not grow. */
export async function entriesIn(store: ObjectStore, prefix: string): Promise<SeenArchivedEntry[]> {
  const entries: SeenArchivedEntry[] = [];
  for (const slot of await slotsIn(store, prefix)) {
    if (slot.kind !== 'entries') continue;
    const found = decode(slot.slot, await bodyOf(store, prefix, slot));
    if (found.at(-1)?.id !== slot.lastId) throw new Error(`slot ${slot.slot} does not end with entry ${slot.lastId}`);
    if (found.at(-1)?.endsBatch !== true) throw new Error(`slot ${slot.slot} ends within a batch`);
    entries.push(...found);
  }
  for (const [i, { id }] of entries.entries()) {
    if (i > 0 && id <= entries[i - 1].id) throw new Error(`entry ${id} comes after entry ${entries[i - 1].id}`);
  }
  return entries;
}

async function bodyOf(store: ObjectStore, prefix: string, { body, parts, compress }: Slot): Promise<Buffer> {
  const bodies: Uint8Array[] = [];
  if (parts === undefined) bodies.push(body);
  for (const { key } of parts ?? []) {
    const part = await store.get(`${prefix}/${key}`, { signal: NEVER });
    if (part === undefined) throw new Error(`${key} is not there`);
    bodies.push(part);
  }
  return Buffer.concat(compress === 'gzip' ? bodies.map((bytes) => gunzipSync(bytes)) : bodies);
}

function decode(slot: number, bytes: Buffer): SeenArchivedEntry[] {
  const entries: SeenArchivedEntry[] = [];
  for (let at = 0; at < bytes.length;) {
    if (bytes[at] === format.VERSION_INFO) {
      at += format.VERSION_INFO_HEADER_LENGTH + bytes[at + 1];
      continue;
    }
    const endsBatch = bytes[at] === format.LAST_ENTRY;
    const found = format.chunksIn(bytes, at + format.ENTRY_LENGTH);
    if (found === undefined) throw new Error(`slot ${slot} has no entry at ${at}`);
    const chunks = found.chunks.map((chunk) => Buffer.from(chunk).toString());
    entries.push({ slot, id: format.decodeEntryId(bytes, at), endsBatch, chunks });
    at = found.end;
  }
  return entries;
}
