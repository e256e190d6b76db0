import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './example-project.js';

/** A fenced block of a Markdown file. Those marked `ts` can be run, those marked `typescript` only show something. */
export interface Block {
  readonly line: number;
  readonly language: string;
  readonly code: string;
}

/** A link or picture that leads to another file of this repository. */
export interface RelativeLink {
  /** As it is written. */
  readonly target: string;
  /** The file, relative to the root; the page itself if only a heading is named. */
  readonly file: string;
  /** The heading that is named, if one is. */
  readonly fragment: string | undefined;
}

/** Every page of the documentation, relative to the root: the main page, and those that the reference site contains. */
export function documentationPages(): string[] {
  const { projectDocuments } = JSON.parse(readText('.config/typedoc.json')) as { projectDocuments: string[] };
  return ['README.md', ...projectDocuments.flatMap(expand)];
}

/** The text of a file, whose path is relative to the root. */
export function readText(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

/** The fenced blocks of `markdown`, in their order. */
export function findBlocks(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(({ index, 1: language, 2: code }) => {
    return { line: markdown.slice(0, index).split('\n').length, language, code };
  });
}

/** The links and pictures of a page that lead to files of this repository. */
export function relativeLinks(page: string): RelativeLink[] {
  const prose = readText(page).replaceAll(/^```.*?^```$/gms, '');
  const inline = [...prose.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"|^\[[^\]]+\]: (\S+)$/gm)];
  const targets = inline.map(([, link, attribute, definition]) => link ?? attribute ?? definition);
  return targets.filter((target) => !/^[a-z]+:/i.test(target)).map((target) => {
    const [, name, fragment] = /^([^#]*)(?:#(.*))?$/.exec(target) ?? [];
    return { target, file: name === '' ? page : path.posix.join(path.posix.dirname(page), name), fragment };
  });
}

/** The headings of a page, as code hosts name them in links. */
export function headingAnchors(page: string): string[] {
  const prose = readText(page).replaceAll(/^```.*?^```$/gms, '');
  return [...prose.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => {
    return heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-');
  });
}

/** What a program must print by its comments: the one after a call of `console.log`, in a loop `a, then b`. */
export function expectedLines(code: string): string[] {
  return [...code.matchAll(/console\.log\(.*\/\/ (.*)$/gm)].flatMap(([, comment]) => comment.split(', then '));
}

/** Without any comment, all that counts is that the code runs. */
export function assertOutput(lines: readonly string[], code: string): void {
  const expected = expectedLines(code);
  if (expected.length > 0) assert.deepEqual(lines, expected);
}

function expand(pattern: string): string[] {
  const file = path.posix.join('.config', pattern);
  if (!file.endsWith('*.md')) return [file];
  const folder = path.posix.dirname(file);
  const names = readdirSync(path.join(ROOT, folder)).filter((name) => name.endsWith('.md'));
  return names.map((name) => `${folder}/${name}`);
}
