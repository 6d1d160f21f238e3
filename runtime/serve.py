"""Runs a node in this process: opens the data folder, starts everything in order, drains and stops in reverse.

Called by the command line. SIGTERM and SIGINT drain, a second one ends at once.
"""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvloop

from artifacts.store import Store as Packages
from artifacts.store import StoreLimits
from runtime import preconditions
from runtime.addresses import join_address, parse_address
from runtime.config import Config, ConfigError
from runtime.control.application import application
from runtime.control.audit import Audit
from runtime.control.database_service import DatabaseService
from runtime.control.deployments import Deployments
from runtime.control.endpoint import MAX_BODY_BYTES
from runtime.control.services import Services
from runtime.control.serving import Serving
from runtime.control.snapshots import Snapshots
from runtime.control.usage_record import UsageRecord
from runtime.data_dir import TOKEN_FILE, DataDir
from runtime.state import node
from runtime.state.schema import SchemaError
from runtime.state.store import Store
from runtime.supervisor.slot import StartFailed
from runtime.supervisor.sockets import listen_tcp
from runtime.supervisor.supervisor import Supervisor
from runtime.telemetry import metrics, node_log
from runtime.telemetry.app_logs import AppLogs
from runtime.telemetry.reports import Reports

log = logging.getLogger("brrrd.node")

PR_SET_CHILD_SUBREAPER = 36
STATUS_REFUSED = 1
STATUS_SECOND_SIGNAL = 130
CONTROL_DRAIN_SECONDS = 5
SAME_SIGNAL_SECONDS = 0.25
"""timeout(1), for one, signals its child and then the whole group: that is one request to stop, not two."""


class Addresses:
    """Where a node that is ready can be reached."""

    def __init__(
        self, edge: str, control: str, database_url: str, token_file: Path | None, scheme: str = "http"
    ) -> None:
        self.edge = edge
        self.scheme = scheme
        """The edge's: http or https."""
        self.control = control
        self.database_url = database_url
        self.token_file = token_file

    def __repr__(self) -> str:
        return f"<Addresses edge={self.edge} control={self.control}>"


def run(config: Config, on_ready: Callable[[Addresses], None] | None = None) -> int:
    """Run a node until a signal ends it; returns the exit status. Must be called on the main thread.

    Children are told to die with the thread that started them, so that thread has to be the process's main one.
    """
    node_log.set_up(config.log_format, config.log_level)
    _inherit_orphans()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(serve(config, on_ready))
        except (ConfigError, SchemaError, StartFailed) as error:
            print(f"brrrd: {error}", file=sys.stderr)
            return STATUS_REFUSED
        except sqlite3.Error as error:
            print(f"brrrd: the state file {config.data_dir}/state.db cannot be used: {error}", file=sys.stderr)
            return STATUS_REFUSED


def _inherit_orphans() -> None:
    """Hosts whose zygote died become children of this process, which reaps them (`prctl(2)`)."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def serve(config: Config, on_ready: Callable[[Addresses], None] | None = None) -> int:
    """As `run`, on the running loop. Raises `ConfigError`, `SchemaError`, `StartFailed` and `sqlite3.Error`."""
    preconditions.check(config)
    data_dir = DataDir.open(Path(config.data_dir))
    try:
        return await _serve(config, data_dir, on_ready)
    finally:
        data_dir.close()


async def _serve(config: Config, data_dir: DataDir, on_ready: Callable[[Addresses], None] | None) -> int:
    control_socket = listen_tcp(*parse_address(config.control, "control"), 1, "control")[0]
    control = join_address(*control_socket.getsockname()[:2])
    token = data_dir.operator_token(config.operator_token)
    store = await Store.open(data_dir.path / "state.db")
    services = await _services(config, data_dir, store, control)
    serving, supervisor, logs = services.serving, services.supervisor, services.logs
    stopping = _stop_on_signal(supervisor)
    api = asyncio.create_task(_serve_control(services, token, control_socket, stopping))
    start = asyncio.create_task(serving.start())
    try:
        if await _first(start, stopping):
            finishing = asyncio.gather(serving.finish_drops(), services.snapshots.run_schedule(), services.usage.run())
            token_file = None if config.operator_token else data_dir.path / TOKEN_FILE
            scheme, database_url = config.edge_scheme(), supervisor.public_db_url
            _announce(Addresses(supervisor.edge_address, control, database_url, token_file, scheme), on_ready)
            await stopping.wait()
            await _end(finishing)
        log.info("draining")
        logs.end_following()
        start.cancel()
        await supervisor.stop()
        await asyncio.wait([api], timeout=CONTROL_DRAIN_SECONDS + 1)
        await services.usage.write()
        log.info("stopped")
    finally:
        # After an error the processes are still there; their channels close with this process.
        supervisor.kill()
        api.cancel()
        await store.close()
        services.reports.close()
        logs.close()
    return 0


async def _services(config: Config, data_dir: DataDir, store: Store, control: str) -> Services:
    """Put the node together; nothing of it runs yet. `control` is where its API can be reached."""
    logs = AppLogs(data_dir.path / "logs")
    databases_dir = data_dir.path / "databases"
    databases_dir.mkdir(mode=0o700, exist_ok=True)
    token_key = await store.write(node.token_key)
    reports = Reports(logs)
    supervisor = Supervisor(config, data_dir.path, data_dir.run, token_key, reports)
    limits = StoreLimits(
        packed_bytes=config.max_package_bytes, unpacked_bytes=config.max_unpacked_bytes, files=config.max_package_files
    )
    serving = Serving(store, Packages(data_dir.path / "packages", limits), supervisor)
    audit = Audit(store, config.keep_audit_entries)
    snapshots = Snapshots(config, serving, audit, data_dir.path)
    await snapshots.recover()
    return Services(
        config=config,
        data_dir=data_dir,
        serving=serving,
        supervisor=supervisor,
        deployments=Deployments(config, serving, audit, reports.traces),
        databases=DatabaseService(config, serving, audit, databases_dir, token_key),
        snapshots=snapshots,
        usage=UsageRecord(store, reports),
        audit=audit,
        reports=reports,
        logs=logs,
        metrics=metrics.registry(metrics.NodeCollector(reports, supervisor, lambda: serving.names)),
        control_address=control,
        version=distribution_version("brrrd"),
    )


async def _end(background: asyncio.Future[Any]) -> None:
    """Cancel what runs beside the node; a failure of its own is said."""
    background.cancel()
    await asyncio.wait([background])
    failure = None if background.cancelled() else background.exception()
    if isinstance(failure, Exception):
        log.error("work in the background had failed", exc_info=failure)


async def _first(start: asyncio.Task[None], stopping: asyncio.Event) -> bool:
    """Whether start-up ended before somebody asked to stop. Raises what start-up raised."""
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if start.done():
        start.result()
        return True
    return False


def _stop_on_signal(supervisor: Supervisor) -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    first = loop.time()

    def stop() -> None:
        nonlocal first
        if not stopping.is_set():
            first = loop.time()
        elif loop.time() - first > SAME_SIGNAL_SECONDS:
            # Whoever asks twice does not want to wait: children die with this process.
            supervisor.kill()
            os._exit(STATUS_SECOND_SIGNAL)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopping


async def _serve_control(services: Services, token: str, sock: socket.socket, stopping: asyncio.Event) -> None:
    settings = hypercorn.config.Config()
    settings.bind = [f"fd://{sock.detach()}"]
    settings.accesslog = None
    settings.errorlog = logging.getLogger("hypercorn.error")
    settings.include_server_header = False
    settings.graceful_timeout = CONTROL_DRAIN_SECONDS
    settings.h11_max_incomplete_size = MAX_BODY_BYTES // 16
    settings.keep_alive_timeout = 75
    await hypercorn.asyncio.serve(
        application(services, token),  # type: ignore[arg-type]
        settings,
        shutdown_trigger=stopping.wait,
        mode="asgi",
    )


def _announce(addresses: Addresses, on_ready: Callable[[Addresses], None] | None) -> None:
    log.info(
        "ready: edge %s://%s, control http://%s, databases %s/v1/…",
        addresses.scheme,
        addresses.edge,
        addresses.control,
        addresses.database_url,
    )
    if on_ready is not None:
        on_ready(addresses)
