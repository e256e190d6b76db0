import { isUtf8 } from 'node:buffer';
import type { Entry } from '../../index.js';
import { count, hex, print, printJson } from '../output.js';

const SHOWN_CHARACTERS = 160;
const HEX_PER_LINE = 32;

/** How entries are printed. */
export interface Style {
  readonly json: boolean;
  /** All bytes, in hexadecimal digits. */
  readonly hex: boolean;
}

export const STYLE_OPTIONS = {
  json: { type: 'boolean', help: 'print a line of JSON for each entry, its data in base64' },
  hex: { type: 'boolean', help: 'print all data in hexadecimal digits' },
} as const;

export async function printEntry(entry: Entry, style: Style): Promise<void> {
  const { id, segment: { segmentId }, extent: { start } } = entry;
  const chunks = await entry.readAllChunks();
  if (style.json) {
    const encoding = style.hex ? 'hex' : 'base64';
    const data = chunks.map((chunk) => Buffer.from(chunk).toString(encoding));
    return printJson({ id, segmentId, offset: start, chunks: data });
  }
  const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
  const extent = `${count(chunks.length, 'chunk')}, ${count(bytes, 'byte')}`;
  await print(`entry ${id}  at ${start} of segment ${segmentId}  ${extent}`);
  for (const line of chunks.flatMap(style.hex ? hexLines : readable)) await print(`  ${line}`);
}

/** Bytes as text if they are that, else in hexadecimal digits; cut off where a line gets too long. */
export function readable(chunk: Uint8Array): string {
  const text = isUtf8(chunk) ? JSON.stringify(Buffer.from(chunk).toString()) : `0x${hex(chunk)}`;
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}… (${count(chunk.length, 'byte')})` : text;
}

function hexLines(chunk: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < chunk.length; at += HEX_PER_LINE) {
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex(chunk.subarray(at, at + HEX_PER_LINE))}`);
  }
  return lines;
}
