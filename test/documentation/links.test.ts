/** Every link and picture of the documentation, in the three places where it is read. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { ROOT } from '../tools/example-project.js';
import { documentationPages, headingAnchors, readText, relativeLinks } from '../tools/markdown.js';

const run = promisify(execFile);

const pages = documentationPages();

describe('on a code host', () => {
  for (const page of pages) {
    test(`${page} leads to a file or a heading that is not there`, () => {
      const broken = relativeLinks(page).filter(({ file, fragment }) => !isThere(file, fragment));
      assert.deepEqual(broken.map(({ target }) => target), []);
    });
  }

  test('a page is not linked from the main page, nor from one that is', () => {
    const reached = new Set(['README.md']);
    for (const page of reached) {
      for (const { file } of relativeLinks(page)) if (pages.includes(file)) reached.add(file);
    }
    assert.deepEqual(pages.filter((page) => !reached.has(page)), []);
  });

  test('a page of the repository is left out of the reference site', () => {
    assert.deepEqual(markdownFiles('').filter((file) => !pages.includes(file)), []);
  });
});

/**
 * The package contains no page but the README and the changelog. The registry shows the README and resolves its relative
 * links against `repository` in package.json: links against the page of a file there, pictures against its bytes. So they
 * must be paths from the root of the repository. The repository must then be given as a whole, without a `directory`.
 */
describe('on the page of the published package', () => {
  test('the main page has a link that is not a path from the root of the repository', () => {
    const wrong = relativeLinks('README.md').filter(({ target }) => !/^(#[\w-]+|[.\w][\w./-]*(#[\w-]+)?)$/.test(target));
    assert.deepEqual(wrong, []);
    assert.deepEqual(relativeLinks('README.md').filter(({ target }) => /(^|\/)\.\.?\//.test(target)), []);
  });

  test('the changelog, which is read in the package, leads to a file that is not in it', () => {
    assert.deepEqual(relativeLinks('CHANGELOG.md'), []);
  });

  test('the repository is given with a directory, against which the links are wrong', () => {
    const { repository } = JSON.parse(readText('package.json')) as { repository?: { directory?: string } };
    assert.equal(repository?.directory, undefined);
  });
});

describe('on the reference site', () => {
  const site = mkdtempSync(path.join(os.tmpdir(), 'segmented-wal-site-'));
  let files: string[];

  before(async () => {
    const typedoc = path.join(ROOT, 'node_modules/typedoc/bin/typedoc');
    const options = ['--options', '.config/typedoc.json', '--out', site, '--logLevel', 'Warn'];
    await run(process.execPath, [typedoc, ...options], { cwd: ROOT });
    files = readdirSync(site, { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll(path.sep, '/'));
  });
  after(() => rmSync(site, { recursive: true, force: true }));

  test('a page leads to a file or a heading that is not there', () => {
    const anchors = new Map<string, Set<string>>();
    const broken: string[] = [];
    for (const page of files.filter((file) => file.endsWith('.html'))) {
      for (const target of targetsOf(path.join(site, page))) {
        const [name, fragment] = decodeURI(target).split('#');
        const file = siteFile(site, page, name);
        if (file === undefined || !hasAnchor(anchors, file, fragment)) broken.push(`${page}: ${target}`);
      }
    }
    assert.deepEqual(broken, []);
  });

  test('a page has the name of its file in the menu instead of its title', () => {
    const shown = files.filter((file) => file.startsWith('documents/')).map((file) => {
      return /<title>(.*?) \| /.exec(readFileSync(path.join(site, file), 'utf8'))?.[1];
    });
    const titles = pages.slice(1).map((page) => /^#+ (.*)$/m.exec(readText(page))?.[1]);
    assert.deepEqual(shown.sort(), titles.sort());
  });
});

/** Whether a file of the repository, not of what is built or installed, is there and has the heading. */
function isThere(file: string, fragment: string | undefined): boolean {
  if (/^(\.\.|dist|dist-docs|node_modules)(\/|$)/.test(file)) return false;
  const place = path.join(ROOT, file);
  if (!existsSync(place) || !statSync(place).isFile()) return false;
  return fragment === undefined || headingAnchors(file).includes(fragment);
}

/** The Markdown files in `folder`, but for those that describe specimens. */
function markdownFiles(folder: string): string[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return isOthers(name) ? [] : markdownFiles(name);
    return entry.isFile() && name.endsWith('.md') ? [name] : [];
  });
}

function isOthers(folder: string): boolean {
  return /^(\.git|dist|dist-docs|coverage|test\/fixtures)$|(^|\/)node_modules$/.test(folder);
}

/** What a page of the site links or shows, of the site itself. */
function targetsOf(file: string): string[] {
  const html = readFileSync(file, 'utf8');
  const targets = [...html.matchAll(/<(?:a|img|link|script|use)\b[^>]*? (?:href|src)="([^"]+)"/g)].map(([, target]) => target);
  return targets.filter((target) => !/^[a-z]+:/i.test(target));
}

function siteFile(site: string, page: string, name: string): string | undefined {
  let file = name === '' ? path.join(site, page) : path.join(site, path.dirname(page), name);
  if (existsSync(file) && statSync(file).isDirectory()) file = path.join(file, 'index.html');
  return file.startsWith(site) && existsSync(file) ? file : undefined;
}

function hasAnchor(anchors: Map<string, Set<string>>, file: string, fragment: string | undefined): boolean {
  if (fragment === undefined || fragment === '' || !/\.html$/.test(file)) return true;
  let ids = anchors.get(file);
  if (ids === undefined) {
    const html = readFileSync(file, 'utf8');
    anchors.set(file, ids = new Set([...html.matchAll(/ (?:id|name)="([^"]+)"/g)].map(([, id]) => id)));
  }
  return ids.has(fragment);
}
