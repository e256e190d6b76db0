import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ExampleProject, ROOT } from '../tools/example-project.js';

const run = promisify(execFile);
const RELEASE = path.join(ROOT, '.github/release.js');

/** What a release says that is refused in a directory with this package.json. */
async function refusalOf(manifest: object): Promise<string> {
  using project = new ExampleProject();
  project.write('package.json', JSON.stringify({ name: 'released', version: '1.2.3', type: 'module', ...manifest }));
  project.write('CHANGELOG.md', '## [1.2.3] - 2030-01-01\n');
  const refused = await run(process.execPath, [RELEASE], { cwd: project.directory }).then(
    () => assert.fail('it was released'),
    (error: Error & { readonly code: number; readonly stderr: string }) => error,
  );
  assert.equal(refused.code, 1);
  return refused.stderr;
}

test('a release without a repository fails as late as at the registry', async () => {
  const refusal = 'not released: package.json has no "repository" with a "url", which publishing with provenance needs\n';
  assert.equal(await refusalOf({}), refusal);
  assert.equal(await refusalOf({ repository: { type: 'git' } }), refusal);
  assert.doesNotMatch(await refusalOf({ repository: { type: 'git', url: 'git+https://example.org/a/b.git' } }), /repository" with/);
});
