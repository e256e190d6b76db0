/**
 * An embeddable segmented write-ahead log: when `commit()` has resolved, the entry survives.
 *
 * In the examples `log` is a log that has been opened with
 * `await WriteAheadLog.recover('my-log', LogVoid, options)`, and was empty.
 *
 * @module segmented-wal
 */
export { WriteAheadLog } from './api/write-ahead-log.js';
export type { EntriesOptions, LogManager } from './api/write-ahead-log.js';
export type { WalEvents } from './model/wal-events.js';
export type { SegmentStats, WalStats } from './api/wal-stats.js';
export { LogVoid } from './api/log-void.js';
export { EntryWriter, ChunkWriter } from './api/entry-writer.js';
export { ChunkReader } from './api/chunk-reader.js';
export { Hold } from './api/hold.js';
export type { HoldOptions } from './api/hold.js';
export { ReadOnlyLog } from './api/read-only-log.js';
export type { ReadOnlyOptions, ReadOptions, SegmentInfo } from './api/read-only-log.js';
export type { Recovery } from './engine/checkpoint/log-manager.js';
export type { RecoveryReport } from './model/recovery-report.js';
export { Entry, EntryChunk, SegmentReader } from './segment/segment-reader.js';
export type { RecoveredSegment } from './segment/segment.js';
export { LogPosition } from './model/log-position.js';
export type { AppendOptions, ChunkData, ChunkRecord, CommitOptions, CommittedEntry, EntryId } from './model/entry.js';
export type { CreateOptions, RecoveryProgress, SyncMode, WalOptions } from './model/options.js';
export { WalError } from './base/errors.js';
export type { WalErrorCode } from './base/errors.js';
export { NodeFileManager } from './files/node-file-manager.js';
export { readFully, writeFully } from './files/transfer.js';
export { MemoryFileManager } from './files/memory-file-manager.js';
export type { DirectoryLock, FileHandle, FileManager, OpenOptions } from './files/file-manager.js';
