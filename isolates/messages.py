"""Control messages between the supervisor, the zygote and isolate hosts (framing: `runtime.channel`).

The supervisor starts the zygote with a channel. For each host it sends `Fork` together with two file descriptors
(SCM_RIGHTS, in this order): the host's end of a new control channel, and a listening Unix stream socket on which edge
workers connect. The forked host then waits on its channel for `Load`.
"""

from typing import Literal

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What one app may use. Counted at the host, so that it holds over all edge workers."""

    wall_ms: int = 30_000
    memory_mb: int = 128
    max_concurrent_requests: int = 100
    queue_ms: int = 5_000
    """How long a request over the cap may wait; as many as the cap may wait at once."""
    cpu_ms: int = 0
    """CPU time of one turn of JavaScript, which is what runs between two waits; 0: no limit but `wall_ms`."""
    response_mb: int = 0
    """Body of one response; 0: no limit."""
    module_mb: int = 64
    """One module, or other file that is imported."""
    cron_wall_ms: int = 900_000
    """One run of a cron, what it gives to `waitUntil` included."""
    max_websockets: int = 1000
    """Open at once, of clients and to others, over all isolates of the app, which tell each other once a second."""
    websocket_message_kb: int = 1024
    """One message that arrives."""
    subrequests: int = 1000
    """That one request, or run of a cron, may make; 0: no limit."""
    max_concurrent_subrequests: int = 200
    """At once, over all isolates of the app. This and the next two are kept by the egress process."""
    subrequest_ms: int = 300_000
    """One subrequest, its response included; 0: no limit."""
    subrequest_mb: int = 0
    """Body of one subrequest, and of its response; 0: no limit."""


# supervisor -> zygote


class Fork(msgspec.Struct, tag="fork", frozen=True):
    """Fork one host. Sent with the two descriptors described above, in the same `sendmsg`."""

    host_id: str
    stands_by: bool = False
    """No app waits for it: it has time to rehearse."""


# zygote -> supervisor


class ZygoteReady(msgspec.Struct, tag="zygote_ready", frozen=True):
    """V8 is initialised; `Fork` is welcome."""

    engine: str
    """Engine and version, for `brrrd status`."""
    containment: list[str] = []
    """What holds a host that was broken into, in words for an operator."""
    missing: list[str] = []
    """What could not be had of it on this machine, each with the reason."""


class Forked(msgspec.Struct, tag="forked", frozen=True):
    host_id: str
    pid: int


class Exited(msgspec.Struct, tag="exited", frozen=True):
    """A host ended. `status` as `os.waitstatus_to_exitcode` gives it: negative is a signal."""

    host_id: str
    pid: int
    status: int


# supervisor -> host


class Load(msgspec.Struct, tag="load", frozen=True):
    """Evaluate this build and serve it. Answered by `Loaded` or `LoadFailed`."""

    app_id: str
    build_id: str
    directory: str
    """Absolute path of the unpacked package."""
    main: str
    """Entry module, relative to `directory`, with forward slashes."""
    environment: dict[str, str]
    limits: Limits
    egress_socket: str
    """Path of the egress process's listening socket; the host connects to it and sends REQUEST frames (`wire.py`)."""
    cache_socket: str = ""
    """Path of the cache process's listening socket, in the same folder."""
    ticket: bytes = b""
    """What the host shows to the node's services, which tells whose it is; opaque here."""
    node: bool = False
    assets: bool = False
    """The package has static files, which the app may fetch through `env.ASSETS`."""
    scheduled: bool = False
    """The app has crons: it cannot be served without a handler for them."""


class Fire(msgspec.Struct, tag="fire", frozen=True):
    """Run the app's handler for a cron. Answered by `Fired`."""

    run_id: str
    """Stands in the log lines of the run as request ids do."""
    cron: str
    scheduled_ms: int
    """When it was due, in milliseconds since the epoch."""


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Send GOAWAY to every edge worker, finish what is in flight (`waitUntil` included) within `grace_ms`, exit 0."""

    grace_ms: int


class Probe(msgspec.Struct, tag="probe", frozen=True):
    """Look whether JavaScript yields. If not, `Blocked` follows, and requests that it has not seen are sent back."""


class Elsewhere(msgspec.Struct, tag="elsewhere", frozen=True):
    """So many WebSockets are open in the other isolates of the app, which count towards its limit too."""

    websockets: int


class LogLess(msgspec.Struct, tag="log_less", frozen=True):
    """The apps of the node log more than it takes, and this one has a part in that: keep to its own share for now."""


# host -> supervisor


class Loaded(msgspec.Struct, tag="loaded", frozen=True):
    milliseconds: float


class LoadFailed(msgspec.Struct, tag="load_failed", frozen=True):
    """The build cannot be served; the host exits after this."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0


class Log(msgspec.Struct, tag="log", frozen=True):
    """One line for the app's owner: `console`, an uncaught exception, or a limit that was hit."""

    time: float
    """Seconds since the epoch."""
    level: str
    """debug, info, warn or error."""
    request_id: str
    message: str


class HostStats(msgspec.Struct, tag="host_stats", frozen=True):
    """Sent every second while something changed. Counters only grow over a host's life."""

    requests: int
    active: int
    queued: int
    refused: int
    exceptions: int
    heap_bytes: int
    limits: dict[str, int] = {}
    """How often each limit was hit that does not end the host, by its name: response_mb, module_mb, log_volume,
    max_websockets, websocket_buffer."""
    websockets: int = 0
    """Open now, of clients and to others."""


class Retiring(msgspec.Struct, tag="retiring", frozen=True):
    """The isolate was terminated or ran out of memory: the host ends at once.

    `limit` names the setting, wall_ms, cpu_ms or memory_mb; or else prototypes: the app broke the language.
    """

    limit: str
    message: str


class Blocked(msgspec.Struct, tag="blocked", frozen=True):
    """JavaScript has not yielded for a while, so that new requests would wait; or it yields again."""

    blocked: bool


ToZygote = Fork
FromZygote = ZygoteReady | Forked | Exited


class Fired(msgspec.Struct, tag="fired", frozen=True):
    """A run of a cron ended."""

    run_id: str
    outcome: Literal["ok", "exception", "timeout"]
    """`timeout`: it was given up at `cron_wall_ms`."""
    milliseconds: float


ToHost = Load | Fire | Drain | Probe | Elsewhere | LogLess
FromHost = Loaded | LoadFailed | Log | HostStats | Retiring | Blocked | Fired
