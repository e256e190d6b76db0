/**
 * A child process that calls functions for its parent. Each contestant lives in one of its own for a
 * whole scenario: the heap, the compiled code and the threads of one never weigh on another, and
 * the compiler stays warm from turn to turn.
 */
process.on('message', async ({ module, name, input }) => {
  try {
    const functions = await import(module);
    process.send({ value: await functions[name](input) });
  } catch (error) {
    process.send({ error: error instanceof Error ? error.stack : String(error) });
  }
});
process.on('disconnect', () => process.exit());
