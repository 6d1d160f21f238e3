"""What is measured: one worker source per workload (`workers/`), and the request that drives it."""

import json
from pathlib import Path

import msgspec

WORKERS = Path(__file__).parent / "workers"


class Workload(msgspec.Struct, frozen=True):
    name: str
    title: str
    method: str = "GET"
    path: str = "/"
    headers: dict[str, str] = {}
    body: str = ""

    @property
    def source(self) -> Path:
        return WORKERS / f"{self.name}.js"


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
)
