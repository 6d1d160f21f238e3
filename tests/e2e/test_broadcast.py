"""BroadcastChannel between the isolates of an app."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.node_server import Node, eventually

APP = """
const me = crypto.randomUUID();
const calls = new BroadcastChannel('calls');
const replies = new BroadcastChannel('replies');
let heard = [];
calls.onmessage = ({ data }) => replies.postMessage({ from: me, data });
replies.onmessage = ({ data }) => heard.push(data);
replies.onmessageerror = () => heard.push('messageerror');

function values() {
  const cycle = { name: 'cycle', list: [] }; cycle.list.push(cycle, cycle.list);
  const shared = new Uint16Array([1, 2, 65535]);
  const withCause = new RangeError('bad', { cause: new TypeError('worse') });
  return {
    simple: [undefined, null, true, false, 0, -0, 1.5, NaN, Infinity, 12n ** 40n, -5n],
    texts: ['', 'text', 'grüße 😀', '\\ud800 alone'],
    boxed: [Object(true), Object(-0), Object('box'), Object(7n)],
    date: new Date(86400000), invalid: new Date(NaN), pattern: /a+(b)?/giu,
    holes: [1, , 3], empty: [], nested: [[[[]]]], named: Object.assign([1], { extra: 'x' }),
    map: new Map([['a', { b: 1 }], [{}, new Map()]]), set: new Set([1, 'x', new Set()]),
    buffer: new Uint8Array([1, 2, 3]).buffer, resizable: new ArrayBuffer(2, { maxByteLength: 16 }),
    views: [shared, new DataView(shared.buffer, 2), shared.subarray(1), new BigInt64Array([1n])],
    error: withCause, exception: new DOMException('gone', 'AbortError'), cycle,
    proto: JSON.parse('{"__proto__": {"polluted": true}}'), '': 'empty key',
  };
}

const show = (value, seen = []) => {
  if (typeof value === 'bigint') return `${value}n`;
  if (Object.is(value, -0)) return '-0';
  if (typeof value === 'string') return [...value].map((c) => c.codePointAt(0).toString(36)).join('.');
  if (typeof value !== 'object' || value === null) return String(value);
  if (seen.includes(value)) return `again ${seen.indexOf(value)}`;
  seen.push(value);
  const more = (item) => show(item, seen);
  const parts = [Object.prototype.toString.call(value), Object.getPrototypeOf(value)?.constructor?.name];
  if (value instanceof Map) parts.push(...[...value].flat().map(more));
  else if (value instanceof Set) parts.push(...[...value].map(more));
  else if (value instanceof Date) parts.push(value.getTime());
  else if (value instanceof ArrayBuffer) parts.push(value.maxByteLength, value.resizable, new Uint8Array(value).join());
  else if (ArrayBuffer.isView(value)) parts.push(value.byteOffset, value.byteLength, more(value.buffer));
  else if (value instanceof DOMException) parts.push(value.name, value.message);
  else if (value instanceof Error) parts.push(value.name, value.message, value.stack, more(value.cause));
  else parts.push(value.valueOf() === value ? String(value.source) : more(value.valueOf()),
    ...Object.keys(value).map((key) => `${key}=${more(value[key])}`), Array.isArray(value) && value.length);
  return parts.join(' ');
};

async function call(data, enough = 1) {
  heard = [];
  calls.postMessage(data);
  for (let i = 0; i < 500 && heard.length < enough; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  return heard;
}
const thrown = (run) => {
  try { run(); return 'nothing'; } catch (error) { return `${error.name}: ${error.message}`; }
};

export default { async fetch(request) {
  const path = new URL(request.url).pathname;
  if (path === '/ping') {
    heard = [];
    calls.postMessage('ping');
    await new Promise((resolve) => setTimeout(resolve, 100));
    return Response.json(heard.filter((reply) => reply.from !== me).length);
  }
  if (path === '/values') {
    const sent = values();
    const [reply] = await call(sent);
    return Response.json([reply.from !== me, show(structuredClone(sent)), show(reply.data)]);
  }
  if (path === '/limits') {
    const channel = new BroadcastChannel('limits');
    const results = [
      thrown(() => channel.postMessage('x'.repeat(65_600))), thrown(() => channel.postMessage('x'.repeat(65_500))),
      thrown(() => channel.postMessage(() => {})), thrown(() => channel.postMessage({ a: Symbol() })),
      thrown(() => { for (let i = 0; i < 5000; i++) channel.postMessage(i); }),
      thrown(() => new BroadcastChannel('n'.repeat(1025))),
    ];
    channel.close();
    return Response.json([...results, thrown(() => channel.postMessage(1))]);
  }
  if (path === '/names') {
    const made = [];
    const result = thrown(() => { for (let i = 0; i < 2000; i++) made.push(new BroadcastChannel(`name ${i}`)); });
    made.forEach((channel) => channel.close());
    return Response.json([made.length, result]);
  }
} };"""


@pytest.fixture(scope="module")
def two_isolates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    options = ("--workers", "1", "--database-workers", "1", "--min-isolates", "2", "--max-isolates", "2")
    with Node(tmp_path_factory.mktemp("broadcast") / "data", *options) as node:
        node.deploy({"_worker.js": APP}, "talk")
        node.deploy({"_worker.js": APP}, "stranger")
        eventually(20, lambda: node.get("talk", "/ping").json() == 1)
        eventually(20, lambda: node.get("stranger", "/ping").json() == 1)
        yield node


def test_isolates_of_the_app_hear_each_other_and_nobody_else_does(two_isolates: Node) -> None:
    # The other app has channels of the same names: it would answer too.
    assert two_isolates.get("talk", "/ping").json() == 1


def test_every_kind_of_value_arrives_as_a_clone(two_isolates: Node) -> None:
    other, expected, got = two_isolates.get("talk", "/values").json()
    assert other
    assert got == expected
    assert "polluted" in got
    assert "again 0" not in got


def test_limits_are_named(two_isolates: Node) -> None:
    answers = two_isolates.get("talk", "/limits").json()
    assert [answer.partition(":")[0] for answer in answers] == [
        "QuotaExceededError",
        "nothing",
        "DataCloneError",
        "DataCloneError",
        "QuotaExceededError",
        "QuotaExceededError",
        "InvalidStateError",
    ]
    assert "1000 messages and 4 MiB per second" in answers[4]
    log = two_isolates.cli("logs", "--app", "talk").stdout
    assert "more than 65536 bytes" in log
    count, error = two_isolates.get("talk", "/names").json()
    assert (count, error.partition(":")[0]) == (998, "QuotaExceededError")


def test_a_restart_of_the_process_between_them_does_not_part_them(two_isolates: Node) -> None:
    (egress,) = two_isolates.processes("egress")
    egress.kill()

    def reunited() -> Any:
        answer = two_isolates.get("talk", "/ping")
        return answer.status_code == 200 and answer.json() == 1

    eventually(20, reunited)
