"""Stacks in the log of an app: its own frames, and those of the platform only as far as they say something."""

import re

import pytest

from isolates.messages import Log
from tests.isolates.driver import Host

APP = """
async function deep(run) { await 0; return run(); }
const runs = {
  'an exception': () => { throw new Error('bad'); },
  'what the app called': () => new Headers({ 'bad name': 'x' }),
  'a callback': () => { const target = new EventTarget();
    target.addEventListener('x', function heard() { throw new Error('bad'); });
    target.dispatchEvent(new Event('x')); },
  'its own lines': () => { const error = new Error('bad'); error.stack += '\\n    more of the app'; throw error; },
  'a timer': () => new Promise(() => setTimeout(function late() { throw new Error('bad'); })),
  'a trace': () => console.trace('here'),
};
export default { async fetch(request) {
  await deep(runs[decodeURIComponent(new URL(request.url).pathname.slice(1))]);
  return new Response('x');
} };"""

EXPECTED = {
    "an exception": ["an exception", "deep", "async Object.fetch"],
    "what the app called": ["new Headers (brrrd)", "what the app called", "deep", "async Object.fetch"],
    "a callback": [
        "EventTarget.heard",
        "EventTarget.dispatchEvent (brrrd)",
        "a callback",
        "deep",
        "async Object.fetch",
    ],
    "its own lines": ["its own lines", "deep", "async Object.fetch", "more of the app"],
    "a timer": ["late"],
    "a trace": ["a trace", "deep", "async Object.fetch"],
}


@pytest.mark.parametrize("case", EXPECTED)
def test_frames(platform_host: Host, case: str) -> None:
    edge = platform_host.serve(APP)
    edge.request(1, f"http://a/{case.replace(' ', '%20')}")
    message = platform_host.end.expect(Log).message
    frames = [re.sub(r" \(file:.*\)$", "", line.strip()) for line in message.split("\n")[1:]]
    assert [frame.removeprefix("at ") for frame in frames] == EXPECTED[case], message
