import type { CrashPoint, Fate, Fragment } from './crash-point.js';
import type { Random } from './random.js';

/** Up to so many fragments, every subset of them is tried. */
export const MAX_FRAGMENTS_FOR_ALL_SUBSETS = 10;

/**
 * What a power loss at this moment can leave, as fates of its fragments: every subset of up to ten
 * fragments; beyond that everything, nothing, all but one or two, one alone, each prefix and suffix, and
 * a few by chance. Then each write torn, zeroed and garbled among others kept, and among others lost.
 */
export function* crashChoices(point: CrashPoint, random: Random): Generator<readonly Fate[]> {
  const count = point.fragments.length;
  if (count <= MAX_FRAGMENTS_FOR_ALL_SUBSETS) yield* allSubsets(count);
  else yield* someSubsets(count, random);
  const others: readonly Fate[] = ['kept', 'lost'];
  for (const [i, { change }] of point.fragments.entries()) {
    if (change.kind !== 'data') continue;
    for (const fate of ['torn', 'zeros', 'garbage'] as const) {
      for (const other of others) yield fates(count, (k) => (k === i ? fate : other));
    }
  }
  if (count > 1) for (let i = 0; i < 4; i++) yield fates(count, () => anyFate(random));
}

/**
 * At most `limit` of the choices: everything kept, nothing kept, up to a third with a hole in a write, and others by
 * chance. A write of several sectors that survives but for one of them is what checksums are there for; among
 * hundreds of choices chance alone often misses it.
 */
export function someCrashChoices(point: CrashPoint, random: Random, limit: number): readonly (readonly Fate[])[] {
  const choices = [...crashChoices(point, random)];
  if (choices.length <= limit) return choices;
  const { length } = point.fragments;
  const picked = [fates(length, () => 'kept'), fates(length, () => 'lost')];
  const holes = holesInWrites(point);
  for (let i = Math.min(holes.length, Math.floor(limit / 3)); i > 0; i--) {
    const [hole] = holes.splice(random.below(holes.length), 1);
    picked.push(fates(length, (k) => (k === hole ? 'lost' : 'kept')));
  }
  while (picked.length < limit) picked.push(random.pick(choices) as Fate[]);
  return picked;
}

/** The fragments that are one of several of a write. */
function holesInWrites({ fragments }: CrashPoint): number[] {
  const isOfSameWrite = (a: Fragment, b: Fragment | undefined): boolean =>
    b?.change.kind === 'data' && b.change.operation === a.change.operation;
  return fragments.flatMap((fragment, i) => {
    const isHole = fragment.change.kind === 'data' &&
      [fragments[i - 1], fragments[i + 1]].some((neighbour) => isOfSameWrite(fragment, neighbour));
    return isHole ? [i] : [];
  });
}

function* allSubsets(count: number): Generator<Fate[]> {
  for (let mask = 0; mask < 2 ** count; mask++) yield fates(count, (i) => (mask & (1 << i) ? 'kept' : 'lost'));
}

function* someSubsets(count: number, random: Random): Generator<Fate[]> {
  yield fates(count, () => 'kept');
  yield fates(count, () => 'lost');
  for (let one = 0; one < count; one++) {
    yield fates(count, (i) => (i === one ? 'lost' : 'kept'));
    yield fates(count, (i) => (i === one ? 'kept' : 'lost'));
    yield fates(count, (i) => (i < one ? 'kept' : 'lost'));
    yield fates(count, (i) => (i < one ? 'lost' : 'kept'));
    for (let other = 0; other < one; other++) yield fates(count, (i) => (i === one || i === other ? 'lost' : 'kept'));
  }
  for (let i = 0; i < 50; i++) yield fates(count, () => random.pick(['kept', 'lost']));
}

function fates(count: number, fate: (index: number) => Fate): Fate[] {
  return Array.from({ length: count }, (_, i) => fate(i));
}

function anyFate(random: Random): Fate {
  return random.pick(['kept', 'kept', 'lost', 'lost', 'torn', 'zeros', 'garbage']);
}
