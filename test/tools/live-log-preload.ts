/**
 * Loaded before the command line (`node --import`): the log in `LIVE_LOG` has an owner, which frees all entries up to
 * `LIVE_UP_TO` (0: all but those to come), and uses their files again, right after the command has opened the log.
 */
import { readdir } from 'node:fs/promises';
import { deferred } from '../../src/base/async.js';
import { WriteAheadLog } from '../../src/index.js';
import { SMALL } from './helpers.js';

const { LIVE_LOG: directory = '', LIVE_UP_TO: upTo = '0' } = process.env;
const openReadOnly = WriteAheadLog.openReadOnly.bind(WriteAheadLog);

WriteAheadLog.openReadOnly = async (target, options) => {
  const reader = await openReadOnly(target, options);
  if (target === directory) await reuse(new Set(reader.segments.map(({ name }) => name)));
  return reader;
};

async function reuse(names: ReadonlySet<string>): Promise<void> {
  // Nothing is checkpointed before all is done, nor then: entries go only where they are truncated away.
  const end = deferred();
  const log = await WriteAheadLog.recover(directory, { recover: () => undefined, checkpointTo: () => end.promise }, SMALL);
  log.on('checkpointFailed', () => undefined);
  if (upTo === '0') await log.checkpointActive();
  await log.truncateBefore(upTo === '0' ? log.stats().nextId : Number(upTo) + 1);
  const left = new Set(await readdir(directory));
  const freed = [...names].filter((name) => !left.has(name));
  const isSpare = (name: string): boolean => freed.some((freedName) => name.startsWith(`${freedName}-`));
  while ((await readdir(directory)).some(isSpare)) {
    await log.append('in a file that was freed');
    await log.checkpointActive();
  }
  end.reject(new Error('the log keeps its entries'));
  await log.shutdown();
}
