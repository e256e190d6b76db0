/** A test reporter for `suite.js`: a line of JSON for each test and each diagnostic, and one when all is over. */
export default async function* eventsReporter(events) {
  for await (const { type, data } of events) {
    if (type === 'test:pass' || type === 'test:fail') {
      const { name, skip, todo, details } = data;
      // A suite that is skipped stands for its tests, which are not reported.
      const isSuite = details.type === 'suite' && skip === undefined;
      yield line({ type: isSuite ? 'suite' : 'test', name, isPassed: type === 'test:pass', skip: skip ?? todo });
    } else if (type === 'test:diagnostic') {
      yield line({ type: 'diagnostic', message: data.message });
    }
  }
  yield line({ type: 'end' });
}

function line(event) {
  return `${JSON.stringify(event)}\n`;
}
