import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ahead } from './ahead.js';
import { ArchiveError } from './errors.js';
import { hashInTurns, type Part, type Slot } from './slot-format.js';
import { untilAnswered, type SlotStore } from './slot-store.js';

/** What a body is stored as. */
type Body = Pick<Slot, 'compress' | 'parts'> & { readonly body?: Uint8Array };

/** Throws, or resolves with the error for a part that is not there. */
type Missing = (part: Part) => Promise<Error>;

/** The bytes of a body in pieces, each verified, however long the body is. */
export async function* readBody(
  at: SlotStore, { body, compress, parts }: Body, missing: Missing,
): AsyncGenerator<Uint8Array, void, void> {
  const stored = parts === undefined ? [body ?? new Uint8Array()] : ahead(parts, (part) => getPart(at, part, missing));
  for await (const bytes of stored) {
    if (compress === undefined) yield bytes;
    else yield* gunzip(bytes);
  }
}

async function getPart(at: SlotStore, part: Part, missing: Missing): Promise<Uint8Array> {
  const bytes = await getObject(at, part);
  if (bytes === undefined) throw await missing(part);
  return bytes;
}

/** The bytes of an object that something names, or undefined if it is not there. */
export async function getObject(at: SlotStore, { key, length, hash }: Part): Promise<Uint8Array | undefined> {
  const bytes = await untilAnswered(at, (signal) => at.store.get(`${at.prefix}/${key}`, { signal }));
  if (bytes === undefined || (bytes.length === length && (await hashInTurns(bytes)) === hash)) return bytes;
  throw new ArchiveError('ARCHIVE_CORRUPT', `the object ${key} of the archive is not the one that was stored`);
}

/** In pieces, since there is no telling how long it becomes. */
async function* gunzip(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  try {
    const unzipped = Readable.from([bytes], { objectMode: false }).pipe(createGunzip());
    for await (const piece of unzipped) yield piece as Uint8Array;
  } catch (cause) {
    const message = 'a body in the archive is not the compressed one that its slot says';
    throw new ArchiveError('ARCHIVE_CORRUPT', message, { cause });
  }
}
