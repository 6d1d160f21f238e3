export function equal(actual, expected, what = '') {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: got ${a}, expected ${b}`);
}

export async function rejects(promise, name) {
  try {
    await promise;
  } catch (error) {
    equal(error.name, name, `${error}`);
    return error;
  }
  throw new Error(`it should have been rejected with a ${name}`);
}

/** What a response shows, and its text. */
export async function shown(response) {
  if (response === undefined) return undefined;
  return { status: response.status, text: await response.text(), headers: Object.fromEntries(response.headers) };
}

export const urls = (requests) => requests.map((request) => request.url);
