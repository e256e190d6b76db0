import { show } from '../base/bytes.js';
import type { EntryId } from '../index.js';
import type { StoredSnapshot } from './index-format.js';
import { PartWriter } from './part-writer.js';
import type { ShipmentPlan } from './shipment.js';
import { untilAnswered } from './slot-store.js';

/** Where a snapshot is stored. */
export interface UploadPlan extends ShipmentPlan {
  /** Milliseconds since 1970. */
  readonly date: () => number;
}

/** Stores the parts of a snapshot. Nothing names them yet: if `state` fails, they are deleted, now or later. */
export async function uploadSnapshot(
  { at, nextKey, maxBytes, compress, date }: UploadPlan, lastId: EntryId, state: AsyncIterable<Uint8Array>,
): Promise<StoredSnapshot> {
  const time = date();
  const writer = new PartWriter(at, nextKey, maxBytes, compress);
  try {
    for await (const bytes of state) {
      if (!(bytes instanceof Uint8Array)) throw new TypeError(`state must consist of Uint8Arrays, not ${show(bytes)}`);
      writer.add(Uint8Array.from(bytes));
      await writer.spill();
    }
    return { lastId, time, ...(compress && { compress }), parts: await writer.finish() };
  } catch (error) {
    const keys = writer.parts.map(({ key }) => `${at.prefix}/${key}`);
    if (keys.length > 0) {
      await untilAnswered({ ...at, attempts: 1 }, (signal) => at.store.delete(keys, { signal })).catch(() => undefined);
    }
    throw error;
  }
}
