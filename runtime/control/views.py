"""What the control API takes and gives, as structs: the wire contract, from which `openapi.json` is made."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from isolates.messages import Limits
from runtime.state.usage import Day
from runtime.supervisor.crons import Outcome


def moment(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request body: unknown keys are refused by name."""


class View(msgspec.Struct, frozen=True):
    """A part of an answer."""


class NewApp(Body, frozen=True):
    name: str


class Rollback(Body, frozen=True):
    build_id: str | None = None


class VariableValue(Body, frozen=True):
    value: str
    secret: bool = False


class NewDomain(Body, frozen=True):
    domain: str
    dns_mode: Literal["external", "managed"] = "external"


class NewDatabase(Body, frozen=True):
    name: str


class QueryTokenRequest(Body, frozen=True):
    ttl_seconds: int = 300
    """Clamped to 1 … 3600; `expires_at` of the answer tells what it came to."""
    audience: Annotated[str, msgspec.Meta(max_length=200)] = ""
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    access: Literal["rw", "ro"] = "rw"


class Suspension(Body, frozen=True):
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    """What clients are told."""


class OwnDatabaseLimits(Body, frozen=True):
    """Limits of one database in place of the node's; those that are null or left out are the node's. In the bounds that
    the node's configuration has for them.
    """

    max_database_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 47)] | None = None
    """0 means no limit."""
    max_answer_bytes: Annotated[int, msgspec.Meta(ge=1024, le=256 << 20)] | None = None
    max_row_bytes: Annotated[int, msgspec.Meta(ge=1024, le=512 << 20)] | None = None
    max_sql_bytes: Annotated[int, msgspec.Meta(ge=1024, le=64 << 20)] | None = None
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    max_websockets: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None


class Nothing(Body, frozen=True):
    """No fields: an empty body or `{}`."""


class AppView(View, frozen=True):
    app_id: str
    name: str
    project: str
    project_id: str
    status: Literal["no build", "idle", "starting", "ready", "quarantined"]
    """`idle`: its next request starts it."""
    detail: str | None
    """Why it is quarantined."""
    build_id: str | None
    hosts: list[str]
    created_at: str


class OneApp(View, frozen=True):
    app: AppView


class Apps(View, frozen=True):
    apps: list[AppView]


class DeletedApp(View, frozen=True):
    app_id: str
    deleted: bool
    routing: int
    """Host names taken out of the routing table."""
    isolates: int
    """Running hosts that were ended."""
    artifacts: int
    """Packages removed from the disk."""
    environment: int
    """Variables removed."""
    cached: int
    """Entries of the Cache API removed."""
    hosts: list[str]


class CacheEmptied(View, frozen=True):
    app_id: str
    entries: int
    """Entries of the Cache API removed."""
    bytes: int


class Deployed(View, frozen=True):
    app_id: str
    build_id: str
    hosts: list[str]
    uploaded: bool


class Activated(View, frozen=True):
    app_id: str
    build_id: str
    hosts: list[str]


class BuildView(View, frozen=True):
    build_id: str
    active: bool
    digest: str
    size: int
    env_ref: str
    limits: Limits
    created_at: str


class Builds(View, frozen=True):
    builds: list[BuildView]


class Environment(View, frozen=True):
    environment: dict[str, str]


class VariableSet(View, frozen=True):
    key: str
    value: str


class VariableRemoved(View, frozen=True):
    key: str
    deleted: bool


class CronView(View, frozen=True):
    cron: str
    next_at: str
    running: bool
    last_at: str | None
    """When its last run that ended had begun, since the node started; null: there was none."""
    last_outcome: Outcome | None
    """How that ended; `skipped`: it did not begin, since the one before still went on."""
    last_ms: float | None


class Crons(View, frozen=True):
    crons: list[CronView]


class NewRun(Body, frozen=True):
    cron: str | None = None
    """Which of its crons; an app with one need not say."""


class RunView(View, frozen=True):
    cron: str
    running: bool
    """True: it goes on, and the answer came before its end."""
    outcome: Outcome | None
    milliseconds: float | None


class DomainView(View, frozen=True):
    domain: str
    app_id: str
    status: Literal["pending", "active"]
    dns_mode: str
    created_at: str


class OneDomain(View, frozen=True):
    domain: DomainView


class Domains(View, frozen=True):
    domains: list[DomainView]


class DomainRemoved(View, frozen=True):
    domain: str
    deleted: bool


class CreatedDatabase(View, frozen=True):
    database_id: str
    database_url: str
    created: bool
    """False: there already was one of this name; its token was shown then and is kept nowhere."""
    database_token: str | None


class DatabaseView(View, frozen=True):
    database_id: str
    name: str
    project: str
    project_id: str
    database_url: str
    status: Literal["ready", "suspended", "unavailable"]
    suspend_reason: str | None
    protected: bool
    epoch: int
    """Grows with every token rotation."""
    created_at: str


class Frames(View, frozen=True):
    """Where the write-ahead log stands."""

    written: int
    """Valid frames in the log."""
    checkpointed: int
    """How many of them are in the database file as well."""
    page_bytes: int


class DatabaseLimitsView(View, frozen=True):
    """What holds for it: limits of its own and, for the others, the node's."""

    max_database_bytes: int
    """0: none."""
    max_answer_bytes: int
    max_row_bytes: int
    max_sql_bytes: int
    max_streams: int
    max_websockets: int
    own: list[str]
    """Names of those that are its own."""


class DatabaseDetail(DatabaseView, frozen=True):
    runner: str
    """Database worker that holds it."""
    generation: int
    """Times the write-ahead log was started afresh after a checkpoint, since the database was opened last."""
    frames: Frames
    storage_bytes: int
    limits: DatabaseLimitsView


class OneDatabase(View, frozen=True):
    database: DatabaseDetail


class Databases(View, frozen=True):
    databases: list[DatabaseView]


class UsageView(View, frozen=True):
    database_id: str
    rows_read: int
    rows_written: int
    queries: int
    received_bytes: int
    """Of requests, without HTTP."""
    sent_bytes: int
    """Of answers before compression, without HTTP."""
    storage_bytes: int
    since: str
    """Counters start here: when the node started."""
    days: list[Day] = []
    """What was used by day (UTC), newest first, whatever was restarted meanwhile."""


class Usage(View, frozen=True):
    usage: UsageView


class DatabaseToken(View, frozen=True):
    database_id: str
    database_token: str
    epoch: int


class QueryToken(View, frozen=True):
    database_id: str
    query_token: str
    access: str
    expires_at: str


class DatabaseDeleted(View, frozen=True):
    database_id: str
    deleted: bool


class AuditEntry(View, frozen=True):
    number: int
    """Grows with every entry of the node."""
    at: str
    action: str
    by: str
    """What the caller said in `Brrrd-Actor`, else `operator`; `node` for what the node did by itself."""
    client: str
    """Address and program of the caller."""
    project: str
    app: str | None
    app_id: str | None
    database: str | None
    database_id: str | None
    detail: dict[str, Any]
    """What else there is to say: keys of variables without values, ids of builds and snapshots."""


class AuditLog(View, frozen=True):
    entries: list[AuditEntry]


class ProjectView(View, frozen=True):
    project_id: str
    name: str
    created_at: str


class Projects(View, frozen=True):
    projects: list[ProjectView]


class ProcessView(View, frozen=True):
    name: str
    state: str
    pid: int | None
    restarts: int


class HostView(View, frozen=True):
    host_id: str
    app_id: str | None
    """None: it stands by for an app that has to be started."""
    build_id: str | None
    state: str
    pid: int | None
    active: int
    queued: int
    heap_bytes: int


class Status(View, frozen=True):
    version: str
    ready: bool
    started_at: str
    edge: str
    edge_scheme: str
    control: str
    public_db_url: str
    engine: str
    containment: list[str]
    """What holds an isolate host that was broken into."""
    not_contained: list[str]
    """What could not be had of it on this machine, each with the reason."""
    data_dir: str
    apps: dict[str, int]
    """Number of apps by status."""
    databases: int
    processes: list[ProcessView]
    hosts: list[HostView]


class Health(View, frozen=True):
    status: str
    waiting_for: list[str] = []
