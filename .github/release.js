/**
 * npm run release [-- --dry-run]: publishes the version in package.json, with provenance, if all of this holds: the
 * repository is named, nothing is uncommitted, the commit has the version's tag, the changelog has its date, and the
 * tests pass from a clean install.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const { version, repository } = JSON.parse(readFileSync('package.json', 'utf8'));
// The registry compares it with the place that the provenance names, and refuses the package only when all else is done.
demand(repository?.url, 'package.json has no "repository" with a "url", which publishing with provenance needs');

const newest = /^## \[(.*)\] - \d{4}-\d\d-\d\d$/m.exec(readFileSync('CHANGELOG.md', 'utf8'))?.[1];
const tags = git('tag', '--points-at', 'HEAD').split('\n');

demand(git('status', '--porcelain') === '', 'there are changes that are not committed');
demand(tags.includes(`v${version}`), `this commit has no tag v${version}`);
demand(newest === version, `the newest date in the changelog is not that of ${version}`);
npm('ci');
npm('test');
// Provenance is signed with the identity of the build server: elsewhere npm refuses to publish.
npm('publish', '--provenance', ...process.argv.slice(2));

function git(...args) {
  return execFileSync('git', args, { encoding: 'utf8' }).trim();
}

function npm(...args) {
  execFileSync('npm', args, { stdio: 'inherit' });
}

function demand(condition, message) {
  if (condition) return;
  console.error(`not released: ${message}`);
  process.exit(1);
}
