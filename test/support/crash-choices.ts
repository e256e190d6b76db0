import type { CrashPoint, Fate } from './crash-point.js';
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

/** At most `limit` of the choices, spread over all of them. */
export function someCrashChoices(point: CrashPoint, random: Random, limit: number): readonly (readonly Fate[])[] {
  const choices = [...crashChoices(point, random)];
  if (choices.length <= limit) return choices;
  // All kept and nothing kept are the first and the last subset, or the first two.
  const picked = [fates(point.fragments.length, () => 'kept'), fates(point.fragments.length, () => 'lost')];
  while (picked.length < limit) picked.push(random.pick(choices) as Fate[]);
  return picked;
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
