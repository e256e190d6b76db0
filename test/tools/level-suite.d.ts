/** What is used of modules that come without types. */
declare module 'tape' {
  /** One test, or one assertion of it. */
  export interface Row {
    readonly type: string;
    readonly ok?: boolean;
    readonly name?: string;
    readonly expected?: unknown;
    readonly actual?: unknown;
  }
  interface Harness {
    createStream(options: { readonly objectMode: true }): NodeJS.ReadableStream;
  }
  const tape: { createHarness(): Harness };
  export default tape;
}

declare module 'abstract-level/test/index.js' {
  interface SuiteOptions {
    readonly test: unknown;
    readonly factory: (options?: object) => unknown;
  }
  const suite: { (options: SuiteOptions): void; common(options: SuiteOptions): unknown };
  export default suite;
}
