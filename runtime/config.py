"""The node's configuration, and its reference manual: each field says what it does and when to leave it alone.

The command line, the environment and a file all fill the one `Config` (`runtime.config_sources`), and the printed
reference is made of it (`runtime.cli.config_fields`). Its length is that of the manual.

For this room alone: processes of others are told what concerns them (`runtime.supervisor.settings`).
"""

import os
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from runtime.addresses import WILDCARDS, bracketed, parse_address
from runtime.bounds import MOST_CONCURRENT_REQUESTS


class ConfigError(Exception):
    """The configuration cannot be used; the message names the key, where it came from and what is expected."""


def _text(description: str) -> Meta:
    return Meta(description=description)


def _number(description: str, least: int, most: int) -> Meta:
    return Meta(description=description, ge=least, le=most)


SECTIONS = {
    "data_dir": "The node",
    "standby_hosts": "Isolates",
    "limit_ceilings": "Limits of apps",
    "egress_allow": "Outgoing requests of apps",
    "cache_mb": "The Cache API",
    "max_package_bytes": "Packages",
    "database_workers": "Databases",
    "statement_ms": "Limits of databases",
}
"""Headings of the manual, each by the first field below it."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator can set. Sizes are in bytes, times in the unit that the name ends in."""

    data_dir: Annotated[
        str,
        _text(
            "Folder for everything the node keeps: desired state, packages, databases, app logs, the operator token. "
            "Created with mode 0700. One node at a time may use it. Back this folder up."
        ),
    ] = "brrrd-data"

    listen: Annotated[
        str,
        _text(
            "Address and port of the edge, for apps and databases. `0.0.0.0:80` serves all IPv4 interfaces, "
            "`[::]:80` IPv6 too. Port 0 takes a free one."
        ),
    ] = "127.0.0.1:8080"

    control: Annotated[
        str,
        _text(
            "Address and port of the control API. It is plain HTTP with a bearer token: leave it on loopback unless "
            "the network between it and its clients is trusted."
        ),
    ] = "127.0.0.1:8081"

    operator_token: Annotated[
        str,
        _text(
            "Bearer token of the control API. Empty: the one in the file `operator-token` of the data folder, "
            "created at first start. Prefer the environment variable to a file that others can read."
        ),
    ] = ""

    server: Annotated[
        Literal["uvicorn", "hypercorn"],
        _text(
            "HTTP server in front of the edge's ASGI application. `uvicorn` is several times as fast and speaks "
            "HTTP/1.1; `hypercorn` adds HTTP/2, for browsers and clients that connect directly (with `tls_cert`)."
        ),
    ] = "uvicorn"

    tls_cert: Annotated[
        str,
        _text(
            "File with the certificate chain (PEM) of the edge's listener, which speaks TLS then and nothing else. "
            "Empty: plain HTTP, for a proxy in front that ends TLS. It is read at start."
        ),
    ] = ""

    tls_key: Annotated[
        str,
        _text("File with the private key (PEM) of `tls_cert`."),
    ] = ""

    trusted_proxies: Annotated[
        list[str],
        _text(
            "Networks (CIDR) of proxies in front whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` headers are "
            "believed. From anybody else they are replaced. Leave it empty when clients connect directly."
        ),
    ] = []

    workers: Annotated[
        int,
        _number("Edge worker processes. 0 means one per core this process may use.", 0, 256),
    ] = 0

    max_body_bytes: Annotated[
        int,
        _number("Largest request body, which is streamed, never held whole. A larger one gets 413.", 0, 1 << 40),
    ] = 100_000_000

    max_head_bytes: Annotated[
        int,
        _number("Largest request head (request line and headers). A larger one gets 431.", 1024, 1 << 20),
    ] = 65_536

    drain_seconds: Annotated[
        int,
        _number(
            "How long requests in flight may take to finish on SIGTERM, and on an app's old build after a deploy.",
            0,
            3600,
        ),
    ] = 30

    keep_audit_entries: Annotated[
        int,
        _number(
            "Entries kept in the audit log, and as many again for query tokens issued. Older ones go.", 100, 10_000_000
        ),
    ] = 100_000

    log_format: Annotated[
        Literal["auto", "human", "json"],
        _text("Form of the node's own log on standard error. `auto`: human on a terminal, JSON lines otherwise."),
    ] = "auto"

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _text("Least important lines that the node's own log shows."),
    ] = "info"

    standby_hosts: Annotated[
        int,
        _number(
            "Isolate hosts that wait without an app, with the whole platform loaded, so that an app is up a few "
            "milliseconds after its first request. More help where many apps wake at the same moment.",
            0,
            64,
        ),
    ] = 2

    min_isolates: Annotated[
        int,
        _number(
            "Isolates that every app keeps, whether it is used or not. 0: an idle app has none, and its next request "
            "brings one up.",
            0,
            64,
        ),
    ] = 0

    max_isolates: Annotated[
        int,
        _number(
            "Most isolates of one app, each in a host process of its own. Another one is brought up while JavaScript "
            "does not yield in all those there are, so that a computation does not hold up other requests. An app may "
            "set less in its manifest, such as 1 if it keeps state in memory. 0 means one per core this process may "
            "use, and 2 at least.",
            0,
            64,
        ),
    ] = 0

    idle_seconds: Annotated[
        int,
        _number("An app that had no request for this long gives up its isolates beyond `min_isolates`.", 1, 1_000_000),
    ] = 600

    isolate_user: Annotated[
        str,
        _text(
            "User that isolate hosts run as when the node is started as root; otherwise they are the node's own user. "
            "Best one that nothing else uses and that owns no file."
        ),
    ] = "nobody"

    limit_ceilings: Annotated[
        list[str],
        _text(
            "The most that manifests may set, as `NAME=VALUE`: `wall_ms=60000`, `memory_mb=512`. NAME is any of a "
            "manifest's `limits`. A build whose manifest sets more is refused, by the name of the limit. Limits that "
            "are not listed are bounded by the format of manifests alone. Builds that are deployed already stay."
        ),
    ] = []

    wall_ms: Annotated[
        int,
        _number(
            "Longest time for one request, response stream included, for apps whose manifest sets none. After it "
            "the client gets 504 and code that does not yield is interrupted.",
            1,
            3_600_000,
        ),
    ] = 30_000

    cpu_ms: Annotated[
        int,
        _number(
            "CPU time that an app's code may use in one turn, which is what runs between two waits, or in one "
            "operation of `crypto.subtle` beside them; a manifest may set less. Code over it is ended with its "
            "isolate, and the client gets 503. 0: `wall_ms` alone, or what the manifest sets.",
            0,
            3_600_000,
        ),
    ] = 0

    memory_mb: Annotated[
        int,
        _number("V8 heap of one app, for apps whose manifest sets none.", 16, 4096),
    ] = 128

    max_concurrent_requests: Annotated[
        int,
        _number(
            "Requests one app handles at once, over all edge workers; as many again wait in a queue. For apps whose "
            "manifest or deploy call sets none.",
            1,
            MOST_CONCURRENT_REQUESTS,
        ),
    ] = 100

    queue_ms: Annotated[
        int,
        _number("How long a request over the concurrency cap may wait before it gets 503.", 0, 600_000),
    ] = 5_000

    response_mb: Annotated[
        int,
        _number(
            "Largest body of one response of an app's code; a manifest may set less. A larger one gets 502, "
            "or is cut off there if it is a stream. 0: any size, or what the manifest sets.",
            0,
            1 << 20,
        ),
    ] = 0

    cron_wall_ms: Annotated[
        int,
        _number(
            "Longest time for one run of a cron, for apps whose manifest sets none. After it the run is given up, its "
            "timers and outgoing requests are ended, and the app's log says so.",
            1,
            3_600_000,
        ),
    ] = 900_000

    module_mb: Annotated[
        int,
        _number("Largest module, or other file, that an app's code may import.", 1, 1024),
    ] = 64

    max_websockets: Annotated[
        int,
        _number(
            "WebSockets that an app may have open, of clients and to others, for apps whose manifest sets none. "
            "Requests for more get 503. Several isolates of an app count together, once a second. Each WebSocket costs "
            "the edge and the isolate some 20 kB and, while its other side is slow, up to 200 kB.",
            1,
            100_000,
        ),
    ] = 1000

    websocket_message_kb: Annotated[
        int,
        _number(
            "Largest WebSocket message that an app may be sent, for apps whose manifest sets none. A larger one closes "
            "its WebSocket with code 1009.",
            1,
            65_536,
        ),
    ] = 1024

    egress_allow: Annotated[
        list[str],
        _text(
            "Networks (CIDR), host names or host:port pairs that apps may reach with fetch() beyond the public "
            "internet. Every entry here is open to every app on the node."
        ),
    ] = []

    egress_ca_file: Annotated[
        str,
        _text(
            "File with certificates (PEM) of authorities that apps' `https` requests accept beside the usual ones: "
            "those of the machine's own store and of certifi. For services with a certificate of one's own."
        ),
    ] = ""

    subrequests: Annotated[
        int,
        _number(
            "Outgoing requests that one request of an app, or one run of a cron, may make; a manifest may set less. "
            "`fetch` throws after that. 0: any number, or what the manifest sets.",
            0,
            1_000_000,
        ),
    ] = 1000

    max_concurrent_subrequests: Annotated[
        int,
        _number(
            "Outgoing requests of one app at once, over all of its isolates; a manifest may set less. More wait for "
            "their turn, and `fetch` throws when too many wait.",
            1,
            10_000,
        ),
    ] = 200

    subrequest_ms: Annotated[
        int,
        _number(
            "Longest time for one outgoing request, its response included, looked at once a second; a manifest may "
            "set less. 0: any time, or what the manifest sets.",
            0,
            86_400_000,
        ),
    ] = 300_000

    subrequest_mb: Annotated[
        int,
        _number(
            "Largest body of one outgoing request, and of its response after decoding; a manifest may set less. "
            "0: any size, or what the manifest sets.",
            0,
            1 << 20,
        ),
    ] = 0

    cache_mb: Annotated[
        int,
        _number(
            "Disk space for what one app keeps with the Cache API; over it, what was not used for longest goes. "
            "0: nothing is stored, and nothing found.",
            0,
            1 << 20,
        ),
    ] = 256

    cache_total_mb: Annotated[
        int,
        _number(
            "The same for all apps together; over it, the app that has stored the most gives way. The index on disk "
            "may take some of it for good.",
            1,
            1 << 30,
        ),
    ] = 4096

    cache_entry_mb: Annotated[
        int,
        _number("Largest body that an app may keep with the Cache API. A larger one fails its `put`.", 1, 1 << 20),
    ] = 128

    max_package_bytes: Annotated[
        int,
        _number("Largest package as uploaded, compressed.", 1024, 1 << 40),
    ] = 256_000_000

    max_unpacked_bytes: Annotated[
        int,
        _number("Largest package after unpacking.", 1024, 1 << 40),
    ] = 1_000_000_000

    max_package_files: Annotated[
        int,
        _number("Most files in one package.", 1, 10_000_000),
    ] = 50_000

    keep_builds: Annotated[
        int,
        _number(
            "Builds kept per app for rollbacks, the active one included. Older ones go when a newer one is deployed.",
            1,
            10_000,
        ),
    ] = 20

    database_workers: Annotated[
        int,
        _number(
            "Database worker processes. A database belongs to one of them and runs one statement at a time there. "
            "0 means one per core this process may use.",
            0,
            256,
        ),
    ] = 0

    db_hosts: Annotated[
        list[str],
        _text(
            "Host names under which the edge answers as the data plane instead of looking for an app. "
            "Add the public name of the database host here."
        ),
    ] = msgspec.field(default_factory=lambda: ["db.localhost", "localhost", "127.0.0.1"])

    public_db_url: Annotated[
        str,
        _text(
            "Start of the database URLs handed out, without a trailing slash: `https://db.example.com`. "
            "Empty means the listen address. Its host name belongs to the data plane, as those in `db_hosts` do."
        ),
    ] = ""

    protected_databases: Annotated[
        list[str],
        _text("Database ids that refuse suspend, resume, delete, token rotation and query tokens with 403."),
    ] = []

    snapshot_seconds: Annotated[
        int,
        _number(
            "How often a snapshot of every database that has changed is taken: 3600 is hourly, 86400 daily. 0: only "
            "those asked for with `brrrd databases backup`.",
            0,
            31_536_000,
        ),
    ] = 0

    keep_snapshots: Annotated[
        int,
        _number(
            "Scheduled snapshots kept per database, and as many of those that a restore makes of the state before it. "
            "Older ones go when a newer one is there. Snapshots asked for by hand stay until they are deleted.",
            1,
            10_000,
        ),
    ] = 7

    statement_ms: Annotated[
        int,
        _number("Longest time for one SQL statement; the worker that runs it is replaced after that.", 1, 3_600_000),
    ] = 30_000

    transaction_ms: Annotated[
        int,
        _number(
            "Longest time for one SQL transaction. It is rolled back after that, and its client told so "
            "(`TRANSACTION_TIMEOUT`).",
            1,
            3_600_000,
        ),
    ] = 30_000

    contended_transaction_ms: Annotated[
        int,
        _number(
            "The same for a transaction that keeps another writer of the database waiting, while its client thinks. "
            "One request that brings its whole transaction is left to finish.",
            1,
            3_600_000,
        ),
    ] = 5_000

    stream_idle_ms: Annotated[
        int,
        _number(
            "An SQL stream over HTTP that was not used for so long is closed (`STREAM_EXPIRED`), and its transaction "
            "rolled back.",
            1,
            3_600_000,
        ),
    ] = 60_000

    contended_stream_idle_ms: Annotated[
        int,
        _number("The same while its transaction keeps another writer waiting.", 1, 3_600_000),
    ] = 10_000

    max_answer_bytes: Annotated[
        int,
        _number(
            "Largest answer to one SQL request (`RESPONSE_TOO_LARGE`). Results read through a cursor have no limit.",
            1024,
            256 << 20,
        ),
    ] = 32 << 20

    max_database_bytes: Annotated[
        int,
        _number("Size that no database may exceed (`SQLITE_FULL`). 0 means no limit.", 0, 1 << 47),
    ] = 0

    max_row_bytes: Annotated[
        int,
        _number("Largest text, blob or row of a database (`SQLITE_TOOBIG`).", 1024, 512 << 20),
    ] = 128 << 20

    max_sql_bytes: Annotated[
        int,
        _number("Longest text of SQL in one request (`SQL_INPUT_ERROR`).", 1024, 64 << 20),
    ] = 16 << 20

    max_database_streams: Annotated[
        int,
        _number(
            "SQL streams that one database may have open at a time, over HTTP and WebSockets. Requests for more get "
            "429 (`TOO_MANY_STREAMS`).",
            1,
            100_000,
        ),
    ] = 1_000

    max_database_websockets: Annotated[
        int,
        _number("WebSockets that one database may have open at a time. One more is closed with code 1008.", 1, 100_000),
    ] = 1_000

    def __post_init__(self) -> None:
        parse_address(self.listen, "listen")
        parse_address(self.control, "control")
        if self.public_db_url.endswith("/"):
            raise ValueError("public_db_url must not end with a slash")
        if self.public_db_url and not self.public_db_url.startswith(("http://", "https://")):
            raise ValueError("public_db_url must start with http:// or https://")
        self.ceilings()
        if self.max_isolates and self.min_isolates > self.max_isolates:
            raise ValueError("min_isolates must not be more than max_isolates")

    def __repr__(self) -> str:
        return f"<Config data_dir={self.data_dir!r} listen={self.listen} control={self.control}>"

    def data_hosts(self) -> list[str]:
        """`db_hosts`, and the hosts that database URLs are made with: those must lead to the data plane."""
        hosts = [*self.db_hosts, parse_address(self.listen, "listen")[0]]
        if self.public_db_url:
            hosts.append(urlsplit(self.public_db_url).hostname or "")
        return list(dict.fromkeys(bracketed(host).lower() for host in hosts if host.strip("[]") not in WILDCARDS))

    def ceilings(self) -> dict[str, int]:
        """`limit_ceilings` by name. Raises `ValueError`."""
        found = {}
        for entry in self.limit_ceilings:
            name, _, value = (part.strip() for part in entry.partition("="))
            if not name or not value.isascii() or not value.isdigit():
                raise ValueError(f"limit_ceilings: expected NAME=VALUE, as in wall_ms=60000, not {entry!r}")
            found[name] = int(value)
        return found

    def edge_scheme(self) -> str:
        """http, or https if the edge's listener speaks TLS."""
        return "https" if self.tls_cert else "http"

    def edge_workers(self) -> int:
        """Edge workers to start, with the default resolved."""
        return self.workers or len(os.sched_getaffinity(0))

    def most_isolates(self) -> int:
        """Most isolates of one app, with the default resolved."""
        return self.max_isolates or max(2, self.min_isolates, len(os.sched_getaffinity(0)))

    def database_worker_count(self) -> int:
        """Database workers to start, with the default resolved."""
        return self.database_workers or len(os.sched_getaffinity(0))
