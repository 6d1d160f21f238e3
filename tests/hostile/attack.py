"""One hostile script, and what its caller may see."""

from dataclasses import dataclass, field

WALL_MS = 600
PATIENT_WALL_MS = 5000
"""For scripts that are not expected to come near it, so that a busy machine does not decide."""
CUT = 0
"""Instead of a status: the response began, and the connection was closed before its end."""

TIMEOUT = frozenset({504})
THROWN = frozenset({500})
FINE = frozenset({200})
GONE = frozenset({503, 504})
"""The isolate, or its process, did not survive: 503 if it died before the deadline."""
BROKEN = frozenset({CUT})
WORKER = """
%s
const respond = Response;
const ends = Function.prototype.call.bind(String.prototype.endsWith);
const urlOf = Function.prototype.call.bind(Object.getOwnPropertyDescriptor(Request.prototype, "url").get);
async function attack(request, env, ctx) {
%s
}
export default {
  fetch(request, env, ctx) {
    return ends(urlOf(request), "/well") ? new respond("well") : attack(request, env, ctx);
  },
};
"""


@dataclass(frozen=True)
class Attack:
    """`script` is the body of an async function `(request, env, ctx)`; `expected` are the statuses allowed.

    `around` is code of the module's top level. With `deploys` false the deployment itself must be refused with 422.
    `text` must be in the response's body (in the refusal's, for a deployment), `logged` in the app's log.
    """

    name: str
    expected: frozenset[int]
    script: str = "return new Response('ok');"
    around: str = ""
    text: str = ""
    logged: str = ""
    deploys: bool = True
    recovers: bool = True
    """Whether the app answers afterwards: a script that breaks its own realm need not."""
    limits: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    method: str = "GET"
    content: bytes | None = None
    """The request's body."""

    @property
    def wall_ms(self) -> int:
        """The wall clock that the script is given."""
        slow = not self.deploys or self.expected & {CUT, 503, 504}
        return WALL_MS if slow else PATIENT_WALL_MS

    @property
    def worker(self) -> str:
        """The text of the worker's module."""
        return WORKER % (self.around, self.script)
