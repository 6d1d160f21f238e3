"""What the node is to serve, as the supervisor needs it: plain data made from the state file by the control API."""

import msgspec

from dataplane.messages import DatabaseLimits
from isolates.messages import Limits


class Placement(msgspec.Struct, frozen=True):
    """One app's active build with the environment it runs in."""

    app_id: str
    project: str
    app: str
    build_id: str
    directory: str
    main: str | None
    """Entry module relative to `directory`; None for a package of static files only, which needs no host."""
    node: bool
    asset_index: str | None
    environment: dict[str, str]
    limits: Limits
    max_isolates: int | None = None
    """The app's own bound on its hosts; the node's holds too."""
    crons: tuple[str, ...] = ()
    """When its handler for crons is called."""


class DatabasePlacement(msgspec.Struct, frozen=True):
    """One database as edge workers are told of it."""

    database_id: str
    token_hash: bytes
    epoch: int
    blocked: str | None
    limits: DatabaseLimits | None = None
    """Its own, if it has any."""


class Desired(msgspec.Struct, frozen=True):
    """Everything the node is to serve; replaces what was there before in one step."""

    apps: dict[str, Placement] = {}
    hosts: dict[str, str] = {}
    """Host name, exact or `*.suffix`, to app id."""
    databases: dict[str, DatabasePlacement] = {}
