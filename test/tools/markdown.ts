/** A fenced block of a Markdown file. Those marked `ts` can be run, those marked `typescript` only show something. */
export interface Block {
  readonly line: number;
  readonly language: string;
  readonly code: string;
}

/** The fenced blocks of `markdown`, in their order. */
export function findBlocks(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(({ index, 1: language, 2: code }) => {
    return { line: markdown.slice(0, index).split('\n').length, language, code };
  });
}
