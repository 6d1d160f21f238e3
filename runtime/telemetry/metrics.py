"""`GET /metrics`: the node's figures in the Prometheus text format, made from `Reports` at each scrape."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.supervisor.supervisor import Supervisor
from runtime.telemetry.reports import BUCKETS, Reports

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class NodeCollector(Collector):
    """Collects everything; `names` gives project and name of apps and databases by id."""

    def __init__(
        self, reports: Reports, supervisor: Supervisor, names: Callable[[], Mapping[str, tuple[str, str]]]
    ) -> None:
        self._reports = reports
        self._supervisor = supervisor
        self._names = names

    def collect(self) -> Iterable[Metric]:
        yield from self._processes()
        yield from self._traffic("app", "brrrd", self._reports.apps.sums())
        yield self._messages()
        yield from self._traffic("database", "brrrd_database", self._reports.databases.sums())
        yield from self._hosts()
        yield from self._databases()
        yield from self._egress()
        yield from self._cache()

    def _labels(self, key: str) -> list[str]:
        return list(self._names().get(key, ("", key)))

    def _counters(
        self, prefix: str, labels: list[str], counted: Mapping[str, str], sums: Mapping[str, Mapping[str, float]]
    ) -> Iterable[Metric]:
        """A counter for each name in `counted`, with its text: what `sums` has by that name for an app or database."""
        for name, text in counted.items():
            counter = CounterMetricFamily(f"{prefix}_{name}", text, labels=labels)
            for key, counters in sums.items():
                counter.add_metric(self._labels(key), counters.get(name, 0))
            yield counter

    def _processes(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("brrrd_process_up", "Whether a process of the node is ready.", labels=["process"])
        restarts = CounterMetricFamily("brrrd_process_restarts", "Restarts of a process.", labels=["process"])
        for slot in self._supervisor.slots():
            up.add_metric([slot.name], float(slot.ready.is_set()))
            restarts.add_metric([slot.name], slot.restarts)
        connections = GaugeMetricFamily("brrrd_edge_connections", "Open client connections.", labels=["worker"])
        in_flight = GaugeMetricFamily("brrrd_edge_in_flight", "Requests being answered.", labels=["worker"])
        for worker, (open_, active) in self._reports.edges.items():
            connections.add_metric([str(worker)], open_)
            in_flight.add_metric([str(worker)], active)
        return [up, restarts, connections, in_flight]

    def _traffic(self, kind: str, prefix: str, sums: Mapping[str, Mapping[str, float]]) -> Iterable[Metric]:
        labels = ["project", kind]
        responses = CounterMetricFamily(f"{prefix}_responses", "Responses by status class.", labels=[*labels, "status"])
        seconds = HistogramMetricFamily(f"{prefix}_response_seconds", "Time to the response's end.", labels=labels)
        for key, counters in sums.items():
            names = self._labels(key)
            for name, value in counters.items():
                if name.endswith("xx"):
                    responses.add_metric([*names, name], value)
            buckets = [(bound, counters.get("le " + bound, 0)) for bound in BUCKETS]
            seconds.add_metric(names, buckets, counters.get("sum", 0))
        return [responses, seconds]

    def _messages(self) -> Metric:
        labels = ["project", "app", "direction"]
        messages = CounterMetricFamily("brrrd_websocket_messages", "Messages of WebSocket clients.", labels=labels)
        for key, counters in self._reports.apps.sums().items():
            for direction in ("in", "out"):
                messages.add_metric([*self._labels(key), direction], counters.get(f"messages {direction}", 0))
        return messages

    def _hosts(self) -> Iterable[Metric]:
        labels = ["project", "app"]
        counted = {
            "requests": "Requests that reached an app's code or its queue.",
            "refused": "Requests over the concurrency cap and its queue.",
            "exceptions": "Requests that ended in an uncaught exception.",
        }
        yield from self._counters("brrrd_host", labels, counted, self._reports.hosts.sums())
        limits = CounterMetricFamily(
            "brrrd_host_limits", "Times that an app was over a limit.", labels=[*labels, "limit"]
        )
        for app_id, limit, count in self._reports.limits():
            limits.add_metric([*self._labels(app_id), limit], count)
        yield limits
        crons = CounterMetricFamily("brrrd_cron_runs", "Runs of crons by how they ended.", labels=[*labels, "outcome"])
        for app_id, outcomes in self._reports.crons.items():
            for outcome, count in outcomes.items():
                crons.add_metric([*self._labels(app_id), outcome], count)
        yield crons
        gauges = {
            name: GaugeMetricFamily(f"brrrd_host_{name}", text, labels=labels)
            for name, text in (
                ("active", "Requests in an app's code."),
                ("queued", "Requests waiting for the concurrency cap."),
                ("heap_bytes", "V8 heap in use."),
                ("websockets", "Open WebSockets, of clients and to others."),
            )
        }
        isolates = GaugeMetricFamily("brrrd_host_isolates", "Isolates that serve an app.", labels=labels)
        for app_id, pool in self._supervisor.hosts.pools.items():
            isolates.add_metric(self._labels(app_id), len(pool.hosts))
            for name, gauge in gauges.items():
                gauge.add_metric(self._labels(app_id), sum(getattr(host.stats, name, 0) for host in pool.hosts))
        yield isolates
        yield from gauges.values()
        yield CounterMetricFamily(
            "brrrd_host_restarts", "Hosts started in place of dead ones.", value=self._supervisor.hosts.restarts
        )

    def _databases(self) -> Iterable[Metric]:
        labels = ["project", "database"]
        counted = {
            "rows_read": "Rows read.",
            "rows_written": "Rows written.",
            "queries": "Statements run.",
            "received_bytes": "Bytes of requests, without HTTP.",
            "sent_bytes": "Bytes of answers before compression, without HTTP.",
        }
        yield from self._counters("brrrd_database", labels, counted, self._reports.usage.sums())
        storage = GaugeMetricFamily("brrrd_database_storage_bytes", "Size of the files.", labels=labels)
        for key, size in self._reports.storage.items():
            storage.add_metric(self._labels(key), size)
        streams = GaugeMetricFamily("brrrd_database_streams", "Open streams.", labels=["worker"])
        for worker, count in self._reports.streams.items():
            streams.add_metric([str(worker)], count)
        yield from (storage, streams)

    def _egress(self) -> Iterable[Metric]:
        sums = self._reports.egress.sums().get("", {})
        for name, text in (
            ("requests", "Outbound requests of apps."),
            ("refused", "Outbound requests refused by the address policy or a limit."),
            ("failed", "Outbound requests that failed."),
        ):
            yield CounterMetricFamily(f"brrrd_egress_{name}", text, value=sums.get(name, 0))
        yield GaugeMetricFamily(
            "brrrd_egress_connections", "Outbound connections that are open.", value=self._reports.outbound_connections
        )

    def _cache(self) -> Iterable[Metric]:
        labels = ["project", "app"]
        counted = {
            "hits": "Lookups in the Cache API that found an entry.",
            "misses": "Lookups in the Cache API that found none.",
            "stores": "Responses that were put into the Cache API.",
            "refused": "Calls of the Cache API that a limit or the disk did not allow.",
            "evicted": "Entries removed to stay within the limits.",
        }
        yield from self._counters("brrrd_cache", labels, counted, self._reports.cache.sums())
        entries = GaugeMetricFamily("brrrd_cache_entries", "Entries in the Cache API.", labels=labels)
        size = GaugeMetricFamily("brrrd_cache_bytes", "Bytes of entries in the Cache API.", labels=labels)
        for app_id, (count, stored) in self._reports.cached.items():
            entries.add_metric(self._labels(app_id), count)
            size.add_metric(self._labels(app_id), stored)
        yield from (entries, size)


def registry(collector: NodeCollector) -> CollectorRegistry:
    """A registry of its own, without the library's process-wide default metrics."""
    made = CollectorRegistry(auto_describe=False)
    made.register(collector)
    return made


def text(made: CollectorRegistry) -> bytes:
    """The exposition."""
    return generate_latest(made)
