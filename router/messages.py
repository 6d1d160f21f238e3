"""Control messages between the supervisor and edge workers, and the egress process (framing: `runtime.channel`)."""

import msgspec

from dataplane.messages import Catalog


class EdgeSettings(msgspec.Struct, tag="edge_settings", frozen=True):
    """First message to an edge worker. Its listening sockets are inherited, in this order: TCP, then Unix."""

    index: int
    server: str
    """uvicorn or hypercorn."""
    tcp_fd: int
    unix_fd: int
    """HTTP on a Unix socket, for the egress process: requests from apps to this node's own names."""
    db_hosts: list[str]
    public_db_url: str
    trusted_proxies: list[str]
    """Networks (CIDR) whose X-Forwarded-*, Forwarded and X-Request-Id headers are believed."""
    max_body_bytes: int
    max_head_bytes: int
    token_key: bytes
    """Key that signs query tokens and batons; never logged."""
    tables_follow: bool = False
    """The next two messages are `Routes` and `Catalog`: serve nobody before both apply. The listening sockets have been
    open all along, so a restarted worker finds connections waiting that must not be told "unknown host"."""
    workers: int = 1
    """How many edge workers there are."""
    tls_cert: str = ""
    """Files of the TCP listener's certificate and key; empty: no TLS."""
    tls_key: str = ""
    occupancy_fd: int = -1
    """Memory shared with the other edge workers (`router.occupancy`); -1: there are no others."""


class Upstream(msgspec.Struct, frozen=True):
    """One isolate host that serves an app."""

    host_id: str
    socket: str
    """Path of the host's listening Unix socket."""


class App(msgspec.Struct, frozen=True):
    """One app's active build, as the edge needs it."""

    app_id: str
    project: str
    app: str
    build_id: str
    upstreams: list[Upstream]
    """Hosts that serve it, in order of preference. Empty: one is being started, or would be after `Wake`."""
    directory: str
    """Absolute path of the unpacked package, for static files."""
    asset_index: str | None
    """Absolute path of the build's asset index (`artifacts.index`), or None without static files."""
    has_worker: bool
    """False: a package of static files only."""
    wall_ms: int = 30_000
    max_body_bytes: int = 100_000_000
    max_concurrent_requests: int = 100
    queue_ms: int = 5_000
    websocket_message_kb: int = 1024
    """Largest message that a WebSocket client may send."""
    slot: int = -1
    """Where edge workers count the app's requests together (`router.occupancy`) while it has several hosts."""
    unavailable: str | None = None
    """Set while the app is quarantined: why, in a sentence for its owner."""


class Routes(msgspec.Struct, tag="routes", frozen=True):
    """The whole routing table; replaces the one before in one step."""

    version: int
    hosts: dict[str, str]
    """Host name in lower case A-label form, exact or `*.suffix`, to app id."""
    apps: dict[str, App]


class Coming(msgspec.Struct, tag="coming", frozen=True):
    """A host is being started for an app without one: connect to it now, and use it once it says that it is up.

    Saves the way over the supervisor and a whole table. The next table that names the host makes it one like others.
    """

    app_id: str
    build_id: str
    upstream: Upstream


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Stop accepting, finish what is in flight within `grace_ms`, exit 0."""

    grace_ms: int


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker accepts requests."""


class Applied(msgspec.Struct, tag="applied", frozen=True):
    """`Routes` or `Catalog` of this version is what every new request sees now. Edge workers say it; of catalogs, the
    egress process too.
    """

    kind: str
    """routes or catalog."""
    version: int


class HostGone(msgspec.Struct, tag="host_gone", frozen=True):
    """The connection to a host broke, in case the supervisor does not know yet."""

    host_id: str


class Wake(msgspec.Struct, tag="wake", frozen=True):
    """A request waits for an app that has no host."""

    app_id: str


class Stalled(msgspec.Struct, tag="stalled", frozen=True):
    """A host has been silent for a moment while requests wait there: perhaps its JavaScript does not yield."""

    host_id: str


class AppStats(msgspec.Struct, frozen=True):
    """Counters of one app at one edge worker since it started."""

    responses: dict[str, int]
    """By status class: 1xx … 5xx."""
    seconds_sum: float
    seconds_buckets: list[int]
    """Cumulative counts for `LATENCY_BUCKETS`, the last is +Inf."""
    websockets: int = 0
    """Open now."""
    messages_in: int = 0
    """WebSocket messages from clients."""
    messages_out: int = 0
    limits: dict[str, int] = {}
    """Requests that this worker refused, by the limit that was the cause."""


LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds."""


class EdgeStats(msgspec.Struct, tag="edge_stats", frozen=True):
    """Sent every second while something changed."""

    connections: int
    in_flight: int
    apps: dict[str, AppStats]
    databases: dict[str, AppStats]


ToEdge = EdgeSettings | Routes | Coming | Catalog | Drain
FromEdge = Ready | Applied | HostGone | Wake | Stalled | EdgeStats


class EgressSettings(msgspec.Struct, tag="egress_settings", frozen=True):
    """First message to the egress process."""

    listen_fd: int
    """Listening Unix socket that isolate hosts connect to."""
    allow: list[str]
    """Networks or host names beyond the public internet that apps may reach (`egress_allow`)."""
    edge_sockets: list[str]
    """Unix sockets of the edge workers' HTTP listeners, for the node's own names."""
    edge_authorities: list[str]
    """host:port pairs under which the edge listens (also with loopback names)."""
    db_hosts: list[str]
    ca_file: str
    """File with further authorities for outbound TLS; empty: none."""
    ticket_key: bytes
    """Key that the tickets of hosts were sealed with (`router.identity`); never logged."""
    token_key: bytes = b""
    """As in `EdgeSettings`."""
    catalog_follows: bool = False
    """Serve nobody before a `Catalog` has come: hosts find the listening socket of a restarted process open."""


class LocalNames(msgspec.Struct, tag="local_names", frozen=True):
    """Host names that this node serves itself, exact or `*.suffix`; replaces the list before."""

    names: list[str]


class EgressStats(msgspec.Struct, tag="egress_stats", frozen=True):
    requests: int
    refused: int
    failed: int
    connections: int = 0
    """Open to the outside now."""
    databases: dict[str, AppStats] = {}
    """Requests of apps to databases, by database id."""


class CacheSettings(msgspec.Struct, tag="cache_settings", frozen=True):
    """First message to the cache process."""

    listen_fd: int
    """Listening Unix socket that isolate hosts connect to."""
    directory: str
    """Its folder, made if it is not there."""
    app_bytes: int
    """What one app may store; 0: nothing is stored."""
    total_bytes: int
    entry_bytes: int
    """Largest body of one entry."""
    app_ids: list[str]
    """All apps there are: what others have stored is removed."""
    ticket_key: bytes
    """As in `EgressSettings`."""


class EmptyCache(msgspec.Struct, tag="empty_cache", frozen=True):
    """Remove all that an app has stored. Answered by `CacheEmptied` with the same number."""

    app_id: str
    number: int
    for_good: bool = False
    """The app was deleted: store nothing for it from now on."""


class CacheEmptied(msgspec.Struct, tag="cache_emptied", frozen=True):
    number: int
    entries: int
    """How many there were; -1: they could not be removed."""
    bytes: int


class AppCacheStats(msgspec.Struct, frozen=True):
    """What one app did with its caches since the process started, and what it has stored now."""

    hits: int
    misses: int
    stores: int
    refused: int
    """Calls that a limit, or the disk, did not allow."""
    evicted: int
    """Entries removed for want of room."""
    entries: int
    bytes: int


class CacheStats(msgspec.Struct, tag="cache_stats", frozen=True):
    """Sent every second while something changed, with the apps for which it did."""

    apps: dict[str, AppCacheStats]


ToEgress = EgressSettings | LocalNames | Catalog | Drain
FromEgress = Ready | Applied | EgressStats
ToCache = CacheSettings | EmptyCache | Drain
FromCache = Ready | CacheEmptied | CacheStats
