/**
 * For `suite.js`, loaded before a file of tests. The test runner watches every promise of its thread, to tell of an error
 * that nothing has caught in which test it arose; what is nothing but promises then takes up to twice the time. Here the
 * runner watches only while the tests of a file are registered, when it needs to know which suite each is in. An error
 * that nothing has caught still fails the file, but without the name of a test.
 */
import asyncHooks from 'node:async_hooks';

const { createHook } = asyncHooks;
asyncHooks.createHook = (callbacks) => {
  const hook = createHook(callbacks);
  return {
    enable() {
      hook.enable();
      setImmediate(() => hook.disable());
      return this;
    },
    disable() {
      hook.disable();
      return this;
    },
  };
};
await import('node:test');
asyncHooks.createHook = createHook;
