/**
 * A snapshot file, for stores on top of the log that have no storage of their own.
 *
 * @module segmented-wal/snapshot
 */
export { Snapshot } from './snapshot.js';
export { SnapshotFile, type SaveOptions, type SnapshotContent, type SnapshotOptions } from './snapshot-file.js';
