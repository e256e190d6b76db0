/**
 * What was found when a log was opened.
 *
 * @example
 * const { entries, tornBytes }: RecoveryReport = log.recovery;
 * console.log(`${entries} entries, ${tornBytes} bytes cut off`); // 0 entries, 0 bytes cut off
 */
export interface RecoveryReport {
  /** The segments that held the log, checkpointed ones not counted. */
  readonly segments: number;
  /** The entries handed to the LogManager. */
  readonly entries: number;
  /** Bytes read. */
  readonly bytes: number;
  /** Bytes of an entry at the end of the log that was never completed: cut off. */
  readonly tornBytes: number;
  /** How long opening took, in milliseconds. */
  readonly durationMs: number;
}
