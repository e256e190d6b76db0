import { decodeHeader, MAX_HEADER_LENGTH } from '../format/segment-format.js';

/** The header of a segment file, as `decodeHeader` says. `read` fills a buffer as far as the file goes. */
export async function readHeader(
  read: (target: Uint8Array, offset: number) => Promise<number>,
): Promise<ReturnType<typeof decodeHeader>> {
  const bytes = Buffer.alloc(MAX_HEADER_LENGTH);
  return decodeHeader(bytes.subarray(0, await read(bytes, 0)));
}

/** `readHeader` on the calling thread. */
export function readHeaderSync(read: (target: Uint8Array, offset: number) => number): ReturnType<typeof decodeHeader> {
  const bytes = Buffer.alloc(MAX_HEADER_LENGTH);
  return decodeHeader(bytes.subarray(0, read(bytes, 0)));
}
