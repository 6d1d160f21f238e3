// Assertions of the cases in this folder. Each file adds cases: an async function per behaviour, by name.
const cases = {};
function show(value) {
  return typeof value === 'string' ? JSON.stringify(value) : value instanceof Error ? `${value}` : JSON.stringify(value) ?? String(value);
}
function equal(actual, expected, what = 'value') {
  if (!Object.is(actual, expected)) throw new Error(`${what}: ${show(actual)} instead of ${show(expected)}`);
}
function same(actual, expected, what = 'value') {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`);
}
function ok(value, what = 'condition') {
  if (!value) throw new Error(`${what} does not hold`);
}
function throws(callback, name) {
  try {
    callback();
  } catch (error) {
    equal(error.name, name, 'exception');
    return error;
  }
  throw new Error(`nothing was thrown instead of ${name}`);
}
async function rejects(promise, name) {
  try {
    await promise;
  } catch (error) {
    equal(error.name, name, 'rejection');
    return error;
  }
  throw new Error(`nothing was rejected instead of ${name}`);
}
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
