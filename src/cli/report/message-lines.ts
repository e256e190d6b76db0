import type { EntryId } from '../../index.js';
import { decodeMessage } from '../../topics/entry-format.js';
import type { StoredMessage } from '../../topics/run.js';
import { count, print, write } from '../output.js';
import { readable, showChunk, writeHexLines, writeJsonChunk, type ReadableChunk } from './chunk-text.js';
import type { Style } from './entry-lines.js';

/** Prints a message of a topic. */
export async function printMessage({ id, bytes }: StoredMessage, topic: string, style: Style): Promise<void> {
  const { time, key, chunks } = decodeMessage(bytes);
  const readables = chunks.map(asReadable);
  if (style.json) return printJsonMessage({ id, topic, time: new Date(time), key }, readables, style.hex);
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const withKey = key === undefined ? '' : `  key ${readable(Buffer.from(key))}`;
  const extent = `${count(chunks.length, 'chunk')}, ${count(length, 'byte')}`;
  await print(`message ${id}  ${new Date(time).toISOString()}${withKey}  ${extent}`);
  for (const chunk of readables) await (style.hex ? writeHexLines(chunk) : print(`  ${await showChunk(chunk)}`));
}

async function printJsonMessage(
  head: { id: EntryId; topic: string; time: Date; key: string | undefined },
  chunks: readonly ReadableChunk[], isHex: boolean,
): Promise<void> {
  await write(`${JSON.stringify(head).slice(0, -1)},"chunks":[`);
  for (const [i, chunk] of chunks.entries()) {
    if (i > 0) await write(',');
    await writeJsonChunk(chunk, isHex);
  }
  await print(']}');
}

function asReadable(chunk: Uint8Array): ReadableChunk {
  return {
    length: chunk.length,
    readAll: () => Promise.resolve(chunk),
    async *[Symbol.asyncIterator]() {
      yield await Promise.resolve(chunk);
    },
  };
}
