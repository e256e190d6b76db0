/**
 * node .config/commonjs.js: builds dist/cjs, for runtimes that cannot require an ES module. It has no declarations of
 * its own, because most who require the package get the ES module all the same.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.join(import.meta.dirname, '..');
const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
execFileSync(process.execPath, [tsc, '-p', path.join(import.meta.dirname, 'commonjs.json')], { stdio: 'inherit' });
write('package.json', '{ "type": "commonjs" }\n');
write('src/index.d.ts', "export * from '../../src/index.js';\n");
write('src/snapshot/index.d.ts', "export * from '../../../src/snapshot/index.js';\n");
write('src/topics/index.d.ts', "export * from '../../../src/topics/index.js';\n");
write('src/archive/index.d.ts', "export * from '../../../src/archive/index.js';\n");
write('test/support/index.d.ts', "export * from '../../../test/support/index.js';\n");

function write(file, text) {
  writeFileSync(path.join(root, 'dist/cjs', file), text);
}
