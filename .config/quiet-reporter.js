/** A test reporter like `spec`, but silent about what passed: failures, skipped tests, and the closing lines. */
import { Readable } from 'node:stream';
import { spec } from 'node:test/reporters';

export default async function* quietReporter(events) {
  yield* Readable.from(noteworthy(events)).compose(new spec());
}

async function* noteworthy(events) {
  for await (const event of events) {
    if (event.type === 'test:start') continue;
    if (event.type === 'test:pass' && event.data.skip === undefined && event.data.todo === undefined) continue;
    yield event;
  }
}
