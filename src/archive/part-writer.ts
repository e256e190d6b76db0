import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { hashInTurns, type Part } from './slot-format.js';
import { untilAnswered, type SlotStore } from './slot-store.js';

const compressed = promisify<Uint8Array, Buffer>(gzip);

/** Names objects that no other writer, and no other opening of this one, has named or will name. */
export class PartKeys {
  readonly #writer: string;
  readonly epoch: number;
  #count = 0;

  constructor(epoch: number, writer: string) {
    this.epoch = epoch;
    this.#writer = writer;
  }

  next(folder: 'runs' | 'snapshots'): string {
    this.#count++;
    return `${folder}/${digits(this.epoch)}-${this.#writer}-${digits(this.#count)}`;
  }
}

/** The epoch in the key of a part, which comes after the archive's prefix; undefined for any other key. */
export function epochOfPart(key: string): number | undefined {
  const found = /^(?:runs|snapshots)\/(\d+)-/.exec(key);
  return found === null ? undefined : Number(found[1]);
}

export function compressBody(body: Uint8Array, compress: 'gzip' | undefined): Promise<Uint8Array> | Uint8Array {
  return compress === undefined ? body : compressed(body);
}

/** Collects bytes, and stores them in parts of about `maxBytes`. Memory stays within twice of that. */
export class PartWriter {
  readonly parts: Part[] = [];
  readonly #at: SlotStore;
  readonly #nextKey: () => string;
  readonly #maxBytes: number;
  readonly #compress: 'gzip' | undefined;
  #buffers: Uint8Array[] = [];
  #bytes = 0;

  constructor(at: SlotStore, nextKey: () => string, maxBytes: number, compress: 'gzip' | undefined) {
    this.#at = at;
    this.#nextKey = nextKey;
    this.#maxBytes = maxBytes;
    this.#compress = compress;
  }

  /** How many bytes are not in a part yet. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /** Adds bytes, which must not change until they are stored. Resolves when there is room for more. */
  add(bytes: Uint8Array): void {
    this.#buffers.push(bytes);
    this.#bytes += bytes.length;
  }

  /** Stores full parts, so that no more than `maxBytes` are left. */
  async spill(): Promise<void> {
    while (this.#bytes > this.#maxBytes) {
      const all = this.take();
      this.add(all.subarray(this.#maxBytes));
      await this.#store(all.subarray(0, this.#maxBytes));
    }
  }

  /** Stores what is left, too. */
  async finish(): Promise<readonly Part[]> {
    await this.spill();
    if (this.#bytes > 0) await this.#store(this.take());
    return this.parts;
  }

  /** What is not in a part yet, which is forgotten here. */
  take(): Uint8Array {
    const all = this.#buffers.length === 1 ? this.#buffers[0] : Buffer.concat(this.#buffers, this.#bytes);
    this.#buffers = [];
    this.#bytes = 0;
    return all;
  }

  async #store(bytes: Uint8Array): Promise<void> {
    const body = await compressBody(bytes, this.#compress);
    this.parts.push(await storePart(this.#at, this.#nextKey(), body));
  }
}

/** Stores an object with a key that nothing else has. */
export async function storePart(at: SlotStore, key: string, body: Uint8Array): Promise<Part> {
  const hash = await hashInTurns(body);
  // It exists already if the answer to an earlier attempt was lost.
  await untilAnswered(at, (signal) => at.store.create(`${at.prefix}/${key}`, body, { signal }));
  return { key, length: body.length, hash };
}

function digits(number: number): string {
  return String(number).padStart(8, '0');
}
