import type { Entry } from '../../index.js';
import { count, print, write } from '../output.js';
import { showChunk, writeHexLines, writeJsonChunk } from './chunk-text.js';

/** How entries are printed. */
export interface Style {
  readonly json: boolean;
  /** All bytes, in hexadecimal digits. */
  readonly hex: boolean;
}

export const STYLE_OPTIONS = {
  json: { type: 'boolean', help: 'print a line of JSON for each entry' },
  hex: { type: 'boolean', help: 'print all data in hexadecimal digits' },
} as const;

/** Prints an entry piece by piece, however large it is. An error ends the print, but never within a line. */
export async function printEntry(entry: Entry, style: Style): Promise<void> {
  await (style.json ? printJsonEntry(entry, style.hex) : printLines(entry, style.hex));
}

async function printLines(entry: Entry, isHex: boolean): Promise<void> {
  const { id, segment: { segmentId }, extent: { start }, endsBatch } = entry;
  let chunks = 0;
  let bytes = 0;
  for await (const { length } of entry) {
    chunks++;
    bytes += length;
  }
  const extent = `${count(chunks, 'chunk')}, ${count(bytes, 'byte')}`;
  const rest = endsBatch ? '' : ', batch continues';
  await print(`entry ${id}  at ${start} of segment ${segmentId}  ${extent}${rest}`);
  for await (const chunk of entry) await (isHex ? writeHexLines(chunk) : print(`  ${await showChunk(chunk)}`));
}

async function printJsonEntry(entry: Entry, isHex: boolean): Promise<void> {
  const { id, segment: { segmentId }, extent: { start }, endsBatch } = entry;
  await write(`{"id":${id},"segmentId":${segmentId},"offset":${start},"endsBatch":${endsBatch},"chunks":[`);
  let separator = '';
  try {
    for await (const chunk of entry) {
      await write(separator);
      separator = ',';
      await writeJsonChunk(chunk, isHex);
    }
  } catch (error) {
    await print(`],"incomplete":${JSON.stringify((error as Error).message)}}`);
    throw error;
  }
  await print(']}');
}
