"""Builds the tables that edge workers and the egress process hold: pure functions of the desired and the present."""

import zlib
from collections.abc import Collection, Mapping, Sequence

import msgspec

from dataplane.messages import Catalog, Database
from router.messages import App, LocalNames, Routes, Upstream
from runtime.addresses import WILDCARDS, bracketed
from runtime.supervisor.placement import DatabasePlacement, Desired

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Serving(msgspec.Struct, frozen=True):
    """The hosts that answer for an app now, or why none does."""

    upstreams: list[Upstream] = []
    slot: int = -1
    unavailable: str | None = None


def routes(version: int, desired: Desired, serving: Mapping[str, Serving], max_body_bytes: int) -> Routes:
    """The routing table. An app without a host is in it all the same: the edge asks for one and waits a little."""
    nothing = Serving()
    apps = {}
    for app_id, placement in desired.apps.items():
        now = serving.get(app_id, nothing)
        apps[app_id] = App(
            app_id=app_id,
            project=placement.project,
            app=placement.app,
            build_id=placement.build_id,
            upstreams=now.upstreams,
            directory=placement.directory,
            asset_index=placement.asset_index,
            has_worker=placement.main is not None,
            wall_ms=placement.limits.wall_ms,
            max_body_bytes=max_body_bytes,
            max_concurrent_requests=placement.limits.max_concurrent_requests,
            queue_ms=placement.limits.queue_ms,
            websocket_message_kb=placement.limits.websocket_message_kb,
            slot=now.slot,
            unavailable=now.unavailable if placement.main is not None else None,
        )
    # A name whose app has no build yet is unknown to the edge, as if it were not there.
    hosts = {name: app_id for name, app_id in desired.hosts.items() if app_id in apps}
    return Routes(version=version, hosts=hosts, apps=apps)


def worker_of(database_id: str, workers: int) -> int:
    """Index of the database worker that holds a database: the same one for as long as `workers` stays the same."""
    return zlib.crc32(database_id.encode()) % workers


def catalog(version: int, databases: Mapping[str, DatabasePlacement], sockets: Sequence[str]) -> Catalog:
    """The database catalog; `sockets` are those of the database workers in order."""
    return Catalog(
        version=version,
        databases={
            key: Database(
                database_id=key,
                token_hash=database.token_hash,
                epoch=database.epoch,
                worker_socket=sockets[worker_of(key, len(sockets))],
                blocked=database.blocked,
                limits=database.limits,
            )
            for key, database in databases.items()
        },
    )


def local_names(desired: Desired) -> LocalNames:
    """Names of apps that the egress process must not look for outside the node."""
    return LocalNames(sorted(name for name, app_id in desired.hosts.items() if app_id in desired.apps))


def edge_authorities(port: int, listen_host: str, db_hosts: Collection[str], public_db_url: str) -> list[str]:
    """Every host:port under which an app may spell this node's edge."""
    names = [*LOOPBACK_NAMES, *db_hosts]
    if listen_host not in WILDCARDS:
        names.append(bracketed(listen_host))
    authorities = [f"{name}:{port}" for name in names]
    scheme, _, rest = public_db_url.partition("://")
    authority = rest.partition("/")[0]
    if authority:
        explicit = authority.rpartition(":")[2].isdigit()
        authorities.append(authority if explicit else f"{authority}:{443 if scheme == 'https' else 80}")
    return list(dict.fromkeys(authorities))
