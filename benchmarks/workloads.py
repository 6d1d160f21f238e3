"""What is measured: one worker source per workload (`workers/`), and the request that drives it."""

import json
from pathlib import Path

import msgspec

WORKERS = Path(__file__).parent / "workers"
SERVICE = "{service}"
"""Stands in a path for the URL of the loopback service that the worker is to call."""


class Workload(msgspec.Struct, frozen=True):
    name: str
    title: str
    method: str = "GET"
    path: str = "/"
    headers: dict[str, str] = {}
    body: str = ""
    body_bytes: int = 0
    """Instead of `body`: that many bytes."""
    script: str = ""
    """Lua for wrk that makes the requests itself (`request`, `response`)."""
    worker: str = ""
    """Name of the source if it is not the workload's own."""
    apps: int = 1
    """The source is deployed that often under different host names, which requests take in turn."""
    connections: tuple[int, ...] = ()
    """Numbers of connections, where only these make sense."""

    @property
    def source(self) -> Path:
        return WORKERS / f"{self.worker or self.name}.js"

    @property
    def content(self) -> bytes:
        """The request's body."""
        return self.body.encode() or b"b" * self.body_bytes

    @property
    def app_names(self) -> list[str]:
        """The first label of each host name."""
        return [self.name] if self.apps == 1 else [f"{self.name}-{number}" for number in range(self.apps)]


_ORDER = json.dumps(
    {
        "customer": "Søren & daughters",
        "lines": [
            {"product": f"product-{number}", "quantity": number % 7, "price": 100 + number} for number in range(20)
        ],
    }
)

HTTP_WORKLOADS = (
    Workload("hello", "hello"),
    Workload(
        "json",
        "JSON in and out",
        method="POST",
        path="/orders",
        headers={"Content-Type": "application/json"},
        body=_ORDER,
    ),
    Workload("page", "200-row page", path="/rows?title=Two%20hundred"),
    Workload("stream", "1 MB stream"),
    Workload("hash", "SHA-256 of 16 KiB"),
    Workload("down-10k", "10 KB down", worker="download", path="/?bytes=10000"),
    Workload("up-10k", "10 KB up", worker="upload", method="POST", body_bytes=10_000),
    Workload("down-1m", "1 MB down", worker="download", path="/?bytes=1000000"),
    Workload("up-1m", "1 MB up", worker="upload", method="POST", body_bytes=1_000_000),
    Workload("timer", "5 ms timer", worker="timer", path="/?ms=5"),
    Workload("slow", "50 handlers of 50 ms", worker="timer", path="/?ms=50", connections=(50,)),
    Workload("subrequest", "subrequest", path=f"/?url={SERVICE}"),
    Workload("apps", "200 apps in turn", worker="hello", apps=200, connections=(32,)),
)
