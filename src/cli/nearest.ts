const MOST_CHANGES = 2;

/** What to say of a command that does not exist. */
export function suggest(name: string, commands: readonly string[]): string {
  const ranked = commands.filter((command) => isNear(name, command))
    .sort((a, b) => distance(name, a) - distance(name, b));
  const hint = ranked.length > 0 ? `did you mean ${ranked[0]}?` : `there are ${commands.join(', ')}`;
  return `no command ${name}; ${hint}`;
}

/** Whether one is the beginning of the other, or a slip of the fingers away. */
function isNear(name: string, command: string): boolean {
  if (name === '') return false;
  return command.startsWith(name) || name.startsWith(command) || distance(name, command) <= MOST_CHANGES;
}

/** How many letters must be changed, added or removed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
