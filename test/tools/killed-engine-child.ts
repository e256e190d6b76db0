/**
 * Changes an engine from many writers until it is killed:
 *
 *     node dist/test/tools/killed-engine-child.js ENGINE DIRECTORY ROUND
 *
 * Says on its standard output, at once and in order:
 *
 *     opened   acknowledged WRITER NUMBER   segment   checkpoint
 */
import { changeBy, openEngine, WRITERS, type EngineName } from './killed-engine.js';
import { say } from './killed-process.js';

const [name, directory, round] = process.argv.slice(2);

const engine = await openEngine(name as EngineName, directory);
engine.log.on('segment', () => say('segment'));
engine.log.on('checkpoint', () => say('checkpoint'));
say('opened');
await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));

async function write(writer: number): Promise<void> {
  for (let number = 1; ; number++) {
    const { key, value } = changeBy(Number(round), writer, number);
    await engine.change(key, value);
    say(`acknowledged ${writer} ${number}`);
  }
}
