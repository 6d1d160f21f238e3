"""Takes what processes push and keeps the latest and the sums: the supervisor's `Telemetry`, read by `metrics.py`."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

from dataplane import messages as dataplane
from isolates.messages import HostStats, Log
from router import messages as router
from runtime.supervisor.crons import Outcome
from runtime.telemetry.app_logs import AppLogs
from runtime.telemetry.log_shares import LogShares
from runtime.telemetry.stack_traces import StackTraces
from runtime.telemetry.totals import Totals

LIMIT = "limit "
"""Start of the names of a host's, or an edge worker's, counters that count a limit."""
LOG_VOLUME = "log_volume"
TELL_SECONDS = 1.0
EGRESS = -1
"""The egress process among edge workers, as a source of figures of databases."""
BUCKETS = (*(str(bound) for bound in router.LATENCY_BUCKETS), "+Inf")


class Reports:
    """All figures of the node's processes since it started."""

    def __init__(self, logs: AppLogs) -> None:
        self.apps: Totals[int] = Totals()
        self.databases: Totals[int] = Totals()
        self.usage: Totals[int] = Totals()
        self.hosts: Totals[str] = Totals()
        self.egress: Totals[int] = Totals()
        self.outbound_connections = 0
        self.cache: Totals[int] = Totals()
        self.cached: dict[str, tuple[int, int]] = {}
        """App to its entries in the Cache API, and their bytes."""
        self._cache_counters: dict[str, dict[str, float]] = {}
        self.edges: dict[int, tuple[int, int]] = {}
        """Edge worker to its open connections and requests in flight."""
        self.streams: dict[int, int] = {}
        """Database worker to its open streams."""
        self.storage: dict[str, int] = {}
        self.retired: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """How many hosts of an app were ended at each limit."""
        self.crons: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
        """How the runs of an app's crons ended."""
        self._edge_limits: dict[tuple[int, str], dict[str, int]] = {}
        """What an edge worker last said of an app's requests that it refused."""
        self.lost_lines: Counter[str] = Counter()
        """Log lines of an app that were dropped here because apps log too much together."""
        self._shares = LogShares(time.monotonic())
        self._telling: asyncio.TimerHandle | None = None
        self._write = logs.write
        self.traces = StackTraces(logs.write)

    def __repr__(self) -> str:
        return f"<Reports {len(self.edges)} edges, {len(self.streams)} database workers>"

    def edge_stats(self, worker: int, stats: router.EdgeStats) -> None:
        """Called about once a second per edge worker."""
        self.edges[worker] = (stats.connections, stats.in_flight)
        for app_id, value in stats.apps.items():
            if value.limits:
                self._edge_limits_hit(worker, app_id, value.limits)
        self.apps.report(worker, {key: _flat(value) for key, value in stats.apps.items()})
        self.databases.report(worker, {key: _flat(value) for key, value in stats.databases.items()})

    def _edge_limits_hit(self, worker: int, app_id: str, limits: dict[str, int]) -> None:
        """Tell an app's owner what an edge worker refused since it last said so: it has no way to the log itself."""
        before = self._edge_limits.get((worker, app_id), {})
        self._edge_limits[worker, app_id] = limits
        for limit, count in limits.items():
            more = count - before.get(limit, 0)
            if more > 0:
                what = "A request or message was" if more == 1 else f"{more} requests or messages were"
                self._write(app_id, "", Log(time.time(), "warn", "", f"{what} refused (limit {limit})"))

    def edge_restarted(self, worker: int) -> None:
        """An edge worker died."""
        self._edge_limits = {key: limits for key, limits in self._edge_limits.items() if key[0] != worker}
        self.edges.pop(worker, None)
        self.apps.ended(worker)
        self.databases.ended(worker)

    def egress_stats(self, stats: router.EgressStats) -> None:
        """Called about once a second."""
        counters = {"requests": stats.requests, "refused": stats.refused, "failed": stats.failed}
        self.outbound_connections = stats.connections
        self.egress.report(0, {"": counters})
        self.databases.report(EGRESS, {key: _flat(value) for key, value in stats.databases.items()})

    def egress_restarted(self) -> None:
        """The egress process died."""
        self.outbound_connections = 0
        self.egress.ended(0)
        self.databases.ended(EGRESS)

    def cache_stats(self, stats: router.CacheStats) -> None:
        """Called about once a second while something changes, with the apps for which it does."""
        for app_id, figures in stats.apps.items():
            self._cache_counters[app_id] = {
                "hits": figures.hits,
                "misses": figures.misses,
                "stores": figures.stores,
                "refused": figures.refused,
                "evicted": figures.evicted,
            }
            self.cached[app_id] = (figures.entries, figures.bytes)
        self.cache.report(0, self._cache_counters)

    def cache_restarted(self) -> None:
        """The cache process died."""
        self._cache_counters = {}
        self.cache.ended(0)

    def database_stats(self, worker: int, stats: dataplane.WorkerStats) -> None:
        """Called about once a second per database worker."""
        self.streams[worker] = stats.streams
        counters = {}
        for key, value in stats.databases.items():
            self.storage[key] = value.storage_bytes
            counters[key] = {
                "rows_read": value.rows_read,
                "rows_written": value.rows_written,
                "queries": value.queries,
                "received_bytes": value.received_bytes,
                "sent_bytes": value.sent_bytes,
            }
        self.usage.update(worker, counters)

    def database_worker_restarted(self, worker: int) -> None:
        """A database worker died."""
        self.streams.pop(worker, None)
        self.usage.ended(worker)

    def host_stats(self, host_id: str, app_id: str, stats: HostStats) -> None:
        """Called about once a second per busy host."""
        counters = {"requests": stats.requests, "refused": stats.refused, "exceptions": stats.exceptions}
        counters |= {LIMIT + name: count for name, count in stats.limits.items()}
        self.hosts.report(host_id, {app_id: counters})

    def host_retired(self, app_id: str, limit: str) -> None:
        """A host ended because the app's code was over a limit."""
        self.retired[app_id][limit] += 1

    def cron_ended(self, app_id: str, outcome: Outcome) -> None:
        """A run of a cron ended, or was skipped."""
        self.crons[app_id][outcome] += 1

    def limits(self) -> Iterator[tuple[str, str, int]]:
        """App id, limit, and how often it was hit."""
        hits = {app_id: Counter(limits) for app_id, limits in self.retired.items()}
        for app_id, lost in self.lost_lines.items():
            hits.setdefault(app_id, Counter())[LOG_VOLUME] += lost
        for totals in (self.hosts, self.apps):
            for app_id, counters in totals.sums().items():
                found = {name.removeprefix(LIMIT): int(n) for name, n in counters.items() if name.startswith(LIMIT)}
                if found:
                    hits.setdefault(app_id, Counter()).update(found)
        for app_id, limits in hits.items():
            for name, count in limits.items():
                yield app_id, name, count

    def host_ended(self, host_id: str) -> None:
        """A host ended, for whatever reason."""
        self.hosts.ended(host_id)

    def app_log(self, app_id: str, build_id: str, directory: str, line: Log) -> bool:
        """A line for an app's owner, from a build that is unpacked in `directory`. False: it was one too many."""
        if self._shares.admits(app_id, len(line.message), time.monotonic()):
            self.traces.line(app_id, build_id, directory, line)
            return True
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell_lost)
        return False

    def _tell_lost(self) -> None:
        self._telling = None
        for app_id, count in self._shares.take_dropped().items():
            self.lost_lines[app_id] += count
            text = f"{count} log lines were dropped: the node's apps log more than it takes (limit {LOG_VOLUME})"
            self._write(app_id, "", Log(time.time(), "warn", "", text))

    def close(self) -> None:
        """Hand the lines that wait to the logs, which are closed next."""
        if self._telling is not None:
            self._telling.cancel()
            self._tell_lost()
        self.traces.close()

    def forget_app(self, app_id: str) -> None:
        """The app was deleted."""
        self.traces.forget(app_id)
        self._shares.forget(app_id)
        self.lost_lines.pop(app_id, None)
        self._edge_limits = {key: limits for key, limits in self._edge_limits.items() if key[1] != app_id}
        self.apps.forget(app_id)
        self._cache_counters.pop(app_id, None)
        self.cached.pop(app_id, None)
        self.cache.forget(app_id)
        self.hosts.forget(app_id)
        self.retired.pop(app_id, None)
        self.crons.pop(app_id, None)

    def forget_database(self, database_id: str) -> None:
        """The database was deleted."""
        self.databases.forget(database_id)
        self.usage.forget(database_id)
        self.storage.pop(database_id, None)


def _flat(stats: router.AppStats) -> dict[str, float]:
    """One app's figures as counters that can be summed: `2xx`, …, `sum`, `messages in`, and `le <bound>`."""
    flat: dict[str, float] = dict(stats.responses)
    flat["sum"] = stats.seconds_sum
    flat["messages in"], flat["messages out"] = stats.messages_in, stats.messages_out
    flat |= {LIMIT + name: count for name, count in stats.limits.items()}
    for bound, count in zip(BUCKETS, stats.seconds_buckets, strict=False):
        flat["le " + bound] = count
    return flat
