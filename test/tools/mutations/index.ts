/** The bugs that are put into the log, one at a time, to see that the suite catches each: a file for every area. */
import { ARCHIVE } from './archive.js';
import { ARCHIVE_READER } from './archive-reader.js';
import { CHECKPOINTS } from './checkpoints.js';
import { COMMITS } from './commits.js';
import { DISK } from './disk.js';
import { FILES } from './files.js';
import { FORMAT } from './format.js';
import { HOLDS } from './holds.js';
import { IDS } from './ids.js';
import { ITERATION } from './iteration.js';
import { LEVEL } from './level.js';
import { LOCKS } from './locks.js';
import { MODES } from './modes.js';
import { READS } from './reads.js';
import { RECOVERY } from './recovery.js';
import { SNAPSHOTS } from './snapshots.js';
import { SPACE } from './space.js';
import { TOPICS } from './topics.js';
import { TRUNCATION } from './truncation.js';
import { TURNS } from './turns.js';
import type { Mutation } from './mutation.js';

export type { Edit, Mutation, NamedTest } from './mutation.js';

/** Every bug that the suite must catch. */
export const MUTATIONS: readonly Mutation[] = [
  ...FILES,
  ...DISK,
  ...COMMITS,
  ...LOCKS,
  ...MODES,
  ...FORMAT,
  ...RECOVERY,
  ...SPACE,
  ...CHECKPOINTS,
  ...HOLDS,
  ...IDS,
  ...TRUNCATION,
  ...ITERATION,
  ...TOPICS,
  ...ARCHIVE,
  ...ARCHIVE_READER,
  ...READS,
  ...SNAPSHOTS,
  ...TURNS,
  ...LEVEL,
];
