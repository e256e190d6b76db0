import { shrink, type Failure } from './crash-explorer.js';
import { describeSettings, settingsFor } from './settings.js';

/** A failure in words: what went wrong, where, with which workload, and how to see it again. */
export async function printFailure(failure: Failure): Promise<string> {
  const isRandom = failure.name === 'random';
  const smallest = isRandom ? await shrink(failure) : failure;
  const again = isRandom ? `${failure.seed}` : `${JSON.stringify(failure.name)} ${failure.seed}`;
  const steps = smallest.steps.map(({ do: what, ...rest }) => `    ${what} ${JSON.stringify(rest)}`);
  return [
    `VIOLATION ${failure.message}`,
    `  ${failure.step}`,
    `  workload "${failure.name}", ${describeSettings(settingsFor(failure.seed))}`,
    `  again: npm run test:replay -- ${again}`,
    isRandom ? `  shrunk from ${failure.steps.length} steps, which then give: ${smallest.message}` : '  steps',
    ...steps,
    isRandom ? `  ${smallest.step}` : '',
  ].filter((line) => line !== '').join('\n');
}
