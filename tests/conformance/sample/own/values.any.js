// META: script=resources/double.js
// META: variant=?1
// META: variant=?2

undeclared = 'sloppy';

test(() => assert_equals(double(2), 4), 'A script of META is there');
test(() => assert_equals(undeclared, 'sloppy'), 'Names need no declaration');
test(() => assert_equals(location.search, location.search === '?1' ? '?1' : '?2'), 'The variant is in the location');
test(() => assert_equals(1, 2), 'Numbers differ');
test(() => assert_equals(1, 2), 'Numbers differ');
promise_test(async () => {
  const response = await fetch('resources/data.json');
  assert_equals((await response.json()).answer, 42);
}, 'A static file is served');
promise_test(() => new Promise(() => {}), 'A promise that never settles');
test(() => assert_equals(typeof self.addEventListener, 'function'), 'The rest of the file runs');
