"""Source maps on a running node: what the owner of an app reads, and what visitors do not get."""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.node_server import Node, eventually
from tests.runtime import mapped_app


def test_the_log_names_sources(node: Node) -> None:
    node.deploy({"worker.js": mapped_app.BUNDLE, "worker.js.map": mapped_app.MAP}, "mapped")
    assert node.get("mapped").text == "fine"
    assert node.get("mapped", "/throw").status_code == 500
    read: list[str] = []

    def logged() -> bool:
        entries = [json.loads(line) for line in node.cli("logs", "--app", "mapped", "--json").stdout.splitlines()]
        read[:] = [entry["message"] for entry in entries if "TypeError" in entry["message"]]
        return bool(read)

    eventually(20, logged, every=0.2)
    assert mapped_app.SOURCE in read[0]
    assert mapped_app.CALLER in read[0]
    assert "file:///" not in read[0]


def test_a_large_map_does_not_hold_the_node_up(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1", "--database-workers", "1")
    # As large as one line's wait allows and more: the node is stopped while it is read.
    segments = ",".join(["AAAA"] * 1_900_000)
    large = mapped_app.MAP.replace('"mappings": "', f'"mappings": "{segments},')
    node.deploy({"worker.js": mapped_app.BUNDLE, "worker.js.map": large}, "mapped-large")
    assert node.get("mapped-large", "/throw").status_code == 500
    eventually(20, lambda: "source_map_reader" in "".join(readers(node)))
    start = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - start < 10
    log = "".join(path.read_text() for path in (node.data_dir / "logs").iterdir())
    assert "TypeError" in log, "the line was written as it was"


def readers(node: Node) -> list[str]:
    """Command lines of the node's children; one may end while it is looked at."""
    found = []
    for process in node.processes("other"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_a_refused_build_names_the_source(node: Node) -> None:
    bundle = mapped_app.BUNDLE.replace("{return e.cost*2}", "{return e.cost*2}r();")
    shifted = mapped_app.MAP.replace("CACrB,CCFA", "CACrB;CCFA")
    answer = node.upload({"worker.js": bundle, "worker.js.map": shifted}, "mapped-refused")
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["detail"].startswith(f"{mapped_app.SOURCE}: TypeError")
    assert (problem["file"], problem["line"], problem["column"]) == ("src/price.ts", 6, 15)


def test_visitors_do_not_get_the_worker_s_map(node: Node) -> None:
    files = {"worker.js": mapped_app.BUNDLE, "worker.js.map": mapped_app.MAP, "public/page.html": "page"}
    node.deploy(files, "mapped-hidden")
    assert node.get("mapped-hidden", "/page").text == "page"
    for path in ("/worker.js.map", "/worker.js"):
        assert node.get("mapped-hidden", path).text == "fine", "it is the app that answers"
