/**
 * node .config/quietly.js SCRIPT…: runs scripts of package.json one after the other and shows what one printed
 * only if it fails.
 */
import { spawnSync } from 'node:child_process';

// The path of npm's own script: calling it needs no shell on any system.
const npm = process.env.npm_execpath;
if (npm === undefined) throw new Error('run this through npm, as in: npm test');

// Packing must not build once more: what is checked is what has been built.
const env = { ...process.env, npm_config_ignore_scripts: 'true' };

for (const script of process.argv.slice(2)) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [npm, 'run', '--silent', script], { encoding: 'utf8', env });
  if (status === 0) continue;
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  console.error(`npm run ${script} failed`);
  process.exit(status ?? 1);
}
