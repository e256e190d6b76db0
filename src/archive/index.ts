/**
 * The entries of a log in an object store, from which another machine brings them back.
 *
 * @module segmented-wal/archive
 */
export { ArchiveError } from './errors.js';
export type { ArchiveErrorCode } from './errors.js';
export type { ObjectStore } from './object-store.js';
export { directoryStore } from './directory-store.js';
export { fetchStore } from './fetch-store.js';
export type { SignedFetch, SignedFetchOptions, SignedFetchResponse } from './fetch-store.js';
export { s3Store } from './s3-store.js';
export type { S3ClientLike, S3Commands } from './s3-store.js';
export { Archive } from './archive.js';
export type { ArchiveEvents } from './archive-events.js';
export type { ArchiveOptions } from './archive-options.js';
export type { ArchiveStats } from './archive-stats.js';
export type { RequestFailure } from './slot-store.js';
export { ArchiveReader } from './archive-reader.js';
export type { ArchivedEntriesOptions, ArchiveRange, ArchiveReaderOptions } from './archive-reader.js';
export { ArchivedChunk, ArchivedEntry } from './archived-entry.js';
export type { ArchiveEpoch } from './epochs.js';
export type { SnapshotInfo } from './snapshots.js';
export type { Restored, RestoreOptions } from './restore.js';
export type { ArchiveProgress, VerifyOptions, VerifyProblem, VerifyReport } from './verify.js';
