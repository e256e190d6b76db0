import path from 'node:path';
import { isDamage, WalError } from '../../base/errors.js';
import type { SegmentHeader } from '../../format/segment-format.js';
import { HOLDS_FILE_NAME, parseSegmentName, TAIL_FILE_NAME } from '../../format/file-names.js';
import type { FileHandle, FileManager } from '../../files/file-manager.js';
import { isAllZeros, readFully } from '../../files/transfer.js';
import { Segment } from '../../segment/segment.js';
import { readHeader } from '../../segment/segment-header.js';
import { SharedSegment } from '../../segment/shared-segment.js';

const SegmentOf = { read: SharedSegment, write: Segment };

/** What a directory holds, before any record has been looked at. */
export interface SegmentFiles {
  /** The segments that have a valid header and are not marked as checkpointed, by id. Their files are open. */
  readonly segments: Segment[];
  /** The names of files that hold nothing live. */
  readonly spares: string[];
  /** Those among them that are a segment's header and first link, and nothing else. Their files are open. */
  readonly beginnings: Segment[];
  /** Second names of files that have another name: what a rename can leave behind if only half of it survives. */
  readonly aliases: string[];
  readonly hasTailCopy: boolean;
  readonly hasHolds: boolean;
}

/** A file, or a segment with its file: that one waits for the reads under way. */
export type Closable = Pick<FileHandle, 'close'>;

export interface FileUse {
  /** For `read` the directory may be another process's, which goes on using the files. */
  readonly access: 'read' | 'write';
  /** Told of a file whose header is damaged, which is then passed over. Without it that is an error. */
  onDamage?: (this: void, error: WalError) => void;
}

/**
 * Reads the header of every segment file. Changes nothing. The caller closes the segments' files, also after an error.
 */
export async function readSegmentFiles(
  fileManager: FileManager, directory: string, opened: Closable[],
  { access, onDamage }: FileUse = { access: 'write' },
): Promise<SegmentFiles> {
  const names = await fileManager.list(directory);
  const files: SegmentFiles = {
    segments: [],
    spares: [],
    beginnings: [],
    aliases: [],
    hasTailCopy: names.includes(TAIL_FILE_NAME),
    hasHolds: names.includes(HOLDS_FILE_NAME),
  };
  const ours = names.flatMap((name) => {
    const parsed = parseSegmentName(name);
    return parsed === undefined ? [] : [{ name, ...parsed }];
  });
  // Those not marked as checkpointed come first, so that of two names for one file the live one stays.
  ours.sort((a, b) => Number(a.checkpointed) - Number(b.checkpointed) || a.id - b.id);
  const identities = new Set<string>();
  for (const { name, id, checkpointed } of ours) {
    const file = await fileManager.open(path.join(directory, name), { access, durableWrites: access === 'write' });
    opened.push(file);
    const header = await liveHeader(file, id, checkpointed).catch((error: unknown) => {
      if (onDamage === undefined || !isDamage(error)) throw error;
      onDamage(error);
      return undefined;
    });
    const identity = header === undefined ? name : `${header.format.version} ${header.segmentId ?? id} ${header.seed}`;
    if (identities.has(identity)) files.aliases.push(name);
    else if (header === undefined) files.spares.push(name);
    else {
      const segment = new SegmentOf[access](header, header.segmentId ?? id, name, file);
      opened[opened.length - 1] = segment;
      if (!checkpointed) files.segments.push(segment);
      else files.spares.push(name);
      if (checkpointed && (await segment.size()) === segment.beginningLength) files.beginnings.push(segment);
    }
    identities.add(identity);
  }
  files.segments.sort((a, b) => a.segmentId - b.segmentId);
  assertDistinct(files.segments);
  return files;
}

/** The header of a segment file; undefined if the file can only be a leftover, which holds nothing. */
async function liveHeader(file: FileHandle, id: number, checkpointed: boolean): Promise<SegmentHeader | undefined> {
  const header = await readHeader((target, offset) => readFully(file, target, offset));
  if (header !== undefined && !('unknownVersion' in header)) return header;
  // A file that was checkpointed may hold anything: a crash in the middle of a new header leaves it so.
  if (checkpointed) return undefined;
  if (header !== undefined) {
    const message = `segment ${id} has format version ${header.unknownVersion}`;
    throw new WalError('WAL_UNSUPPORTED_VERSION', message, { segmentId: id });
  }
  if (await isAllZeros(file)) return undefined;
  throw new WalError('WAL_CORRUPT', `segment ${id} has no valid header`, { segmentId: id, offset: 0 });
}

function assertDistinct(segments: readonly Segment[]): void {
  for (let i = 1; i < segments.length; i++) {
    const [a, b] = [segments[i - 1], segments[i]];
    if (a.segmentId !== b.segmentId) continue;
    const message = `${a.name} and ${b.name} both claim to be segment ${a.segmentId}`;
    throw new WalError('WAL_CORRUPT', message, { segmentId: a.segmentId, offset: 0 });
  }
}
