"""Source maps on a running node: what the owner of an app reads, and what visitors do not get."""

import json

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
