/**
 * What the log is tested with, for those who test their own code: begin with `crashTest`.
 *
 * @module segmented-wal/testing
 */
export { fileManagerSuite, type FileManagerCase } from './file-manager-suite.js';
export { objectStoreSuite, type ObjectStoreCase } from './object-store-suite.js';

// The simulated disk, and what explores its crashes.
export {
  crashTest,
  CrashTestFailure,
  type CrashTestOptions,
  type CrashTestReport,
  type CrashTestSubject,
} from './crash-test.js';
export { SimulatedDisk, type Survives } from './simulated-disk.js';
export type {
  Change,
  Damage,
  DataChange,
  DiskMode,
  DiskTraits,
  Inode,
  LinkChange,
  SizeChange,
} from './disk-content.js';
export { CrashPoint, type Fate, type Fragment } from './crash-point.js';
export { crashChoices, someCrashChoices } from './crash-choices.js';
export {
  applies,
  faultAtCall,
  SimulatedFileManager,
  type Call,
  type CallKind,
  type Fault,
  type SimulatedFileManagerOptions,
} from './simulated-file-manager.js';
export { HangError, Scheduler } from './scheduler.js';
export { Random } from './random.js';
