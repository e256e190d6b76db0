/** Creates objects beside another process that creates the same ones. Prints the keys of those that are its own. */
import { directoryStore } from '../../src/archive/directory-store.js';

const [directory, name, count] = process.argv.slice(2);
const store = directoryStore(directory);
const signal = AbortSignal.timeout(60_000);
const created: number[] = [];
process.stdout.write('ready\n');
await new Promise((resolve) => process.stdin.once('data', resolve));
for (let i = 0; i < Number(count); i++) {
  if ((await store.create(`slot/${i}`, Buffer.from(`${name} ${i}`), { signal })) === 'created') created.push(i);
}
process.stdout.write(JSON.stringify(created));
process.stdin.destroy();
