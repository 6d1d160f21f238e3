// The part of web-platform-tests' testharness.js that the sample needs, written for it.
(function (scope) {
  function create_test_environment() {
    throw new Error('looks for a page or a browser');
  }
  function ShellTestEnvironment() {}
  var test_environment = create_test_environment();
  const tests = [];
  const reports = [];
  const ends = [];
  let running = Promise.resolve();
  const end = () => ends.forEach((report) => report(tests, { status: 0, message: null }));
  const record = (test, status, message) => {
    Object.assign(test, { status, message });
    reports.forEach((report) => report(test));
  };
  Object.assign(scope, {
    setup() {},
    done() {},
    timeout: end,
    add_result_callback: (report) => reports.push(report),
    add_completion_callback: (report) => ends.push(report),
    assert_equals(actual, expected) {
      if (!Object.is(actual, expected)) throw new Error(`expected ${expected} but got ${actual}`);
    },
    promise_test(run, name) {
      const test = { name };
      tests.push(test);
      running = running.then(() => run(test)).then(
        () => record(test, 0, null),
        (error) => record(test, 1, String(error)),
      );
    },
    test(run, name) {
      scope.promise_test(async () => run(), name);
    },
  });
  setTimeout(() => running.then(end), 0);
})(self);
