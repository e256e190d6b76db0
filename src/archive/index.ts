/**
 * The entries of a log in an object store, from which another machine brings them back.
 *
 * @module segmented-wal/archive
 */
export { ArchiveError } from './errors.js';
export type { ArchiveErrorCode } from './errors.js';
export type { ObjectStore } from './object-store.js';
