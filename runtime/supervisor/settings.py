"""What each kind of process is told of the configuration when it starts: one pure function a kind.

Called by the supervisor. The numbers of descriptors are those that `Process.spawn` gives: 3 is the control channel.
"""

from collections.abc import Sequence
from pathlib import Path

from dataplane.messages import WorkerSettings
from router.messages import CacheSettings, EdgeSettings, EgressSettings
from runtime.config import Config
from runtime.supervisor import routes


def edge(config: Config, index: int, *, public_db_url: str, token_key: bytes) -> EdgeSettings:
    """An edge worker's, whose descriptors are its TCP socket, its Unix socket and the shared counts."""
    return EdgeSettings(
        index=index,
        server=config.server,
        tcp_fd=4,
        unix_fd=5,
        db_hosts=config.data_hosts(),
        public_db_url=public_db_url,
        trusted_proxies=config.trusted_proxies,
        max_body_bytes=config.max_body_bytes,
        max_head_bytes=config.max_head_bytes,
        token_key=token_key,
        tables_follow=True,
        workers=config.edge_workers(),
        occupancy_fd=6,
        tls_cert=config.tls_cert,
        tls_key=config.tls_key,
    )


def egress(
    config: Config,
    *,
    edge_sockets: Sequence[str],
    edge_address: tuple[str, int],
    public_db_url: str,
    ticket_key: bytes,
    token_key: bytes,
) -> EgressSettings:
    """The egress process's; `edge_address` is where the edge listens for others."""
    host, port = edge_address
    return EgressSettings(
        listen_fd=4,
        allow=config.egress_allow,
        edge_sockets=list(edge_sockets),
        edge_authorities=routes.edge_authorities(port, host, config.data_hosts(), public_db_url),
        db_hosts=config.data_hosts(),
        ca_file=config.egress_ca_file,
        ticket_key=ticket_key,
        token_key=token_key,
        catalog_follows=True,
    )


def cache(config: Config, directory: Path, *, app_ids: Sequence[str], ticket_key: bytes) -> CacheSettings:
    """The cache process's, which keeps what it stores in `directory`."""
    return CacheSettings(
        listen_fd=4,
        directory=str(directory),
        app_bytes=config.cache_mb << 20,
        total_bytes=config.cache_total_mb << 20,
        entry_bytes=config.cache_entry_mb << 20,
        app_ids=list(app_ids),
        ticket_key=ticket_key,
    )


def database_worker(config: Config, index: int, directory: Path) -> WorkerSettings:
    """A database worker's, whose databases are in `directory`."""
    return WorkerSettings(
        index=index,
        listen_fd=4,
        directory=str(directory),
        statement_ms=config.statement_ms,
        transaction_ms=config.transaction_ms,
        contended_transaction_ms=config.contended_transaction_ms,
        idle_ms=config.stream_idle_ms,
        idle_writer_ms=config.contended_stream_idle_ms,
        max_answer_bytes=config.max_answer_bytes,
        max_database_bytes=config.max_database_bytes,
        max_row_bytes=config.max_row_bytes,
        max_sql_bytes=config.max_sql_bytes,
        max_streams=config.max_database_streams,
        max_websockets=config.max_database_websockets,
    )
