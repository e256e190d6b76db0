/** The fault matrix, row 42: entries are abandoned, and the power goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { someCrashChoices } from '../support/crash-choices.js';
import type { CrashPoint } from '../support/crash-point.js';
import { Random } from '../support/random.js';
import { SimulatedDisk } from '../support/simulated-disk.js';
import { SimulatedFileManager } from '../support/simulated-file-manager.js';
import { ChoosingManager, FORMATS } from '../tools/abandoning.js';
import { RecordingManager, Storage } from '../tools/helpers.js';

for (const [format, make] of Object.entries(FORMATS)) {
  for (const choice of ['aarr', 'rarr', 'rara', 'aaaa']) {
    test(`row 42: a power loss while ${choice} is abandoned in format ${format} leaves a segment whole, or takes it for good`, async () => {
      const disk = new SimulatedDisk();
      const layout = await make(new Storage(new SimulatedFileManager(disk), '/log'));
      for (const path of disk.paths()) {
        const inode = disk.lookup(path);
        if (inode !== undefined) disk.sync(inode, disk.time);
      }
      disk.syncDirectory('/log', disk.time);
      disk.syncDirectory('/', disk.time);
      const wanted = layout.filter((_, i) => choice[i] === 'r').flat();
      const points: CrashPoint[] = [];
      const files = new SimulatedFileManager(disk, { onStep: () => void points.push(disk.crashPoint()) });
      const log = await new Storage(files, '/log').open({ manager: new ChoosingManager(choice) });
      const opened = points.length;
      points.push(disk.crashPoint());
      await log.shutdown();
      const random = new Random(4711);
      for (const [i, point] of points.entries()) {
        for (const fates of someCrashChoices(point, random, 4)) {
          const left = new Storage(new SimulatedFileManager(point.powerLoss(fates, i)), '/log');
          const ids = new Set((await shownBy(left)).filter((id) => id <= layout.flat().length));
          if (i >= opened) assert.deepEqual([...ids], wanted);
          for (const [j, segment] of layout.entries()) {
            const there = segment.filter((id) => ids.has(id)).length;
            const isWhole = there === segment.length || (there === 0 && choice[j] === 'a');
            assert.ok(isWhole, `segment ${j} has ${there} entries after a crash at call ${i}`);
          }
        }
      }
    });
  }
}

async function shownBy(storage: Storage): Promise<number[]> {
  const manager = new RecordingManager();
  const log = await storage.open({ manager });
  await log.shutdown();
  return manager.recoveredIds;
}
