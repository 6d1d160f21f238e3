"""The Cache API through the whole chain: what apps see, who sees what, and what survives."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.node_server import Node, eventually

FOLDER = Path(__file__).parent / "caches"
FILES = {path.name: path.read_text() for path in FOLDER.iterdir()}
PACKAGE = {"_worker.js" if name == "worker.js" else name: text for name, text in FILES.items()}
CASES = [
    name for file in ("cases.js", "server_cases.js") for name in re.findall(r"^  async '(.+)'\(", FILES[file], re.M)
]
CONFIG = ("--cache-mb", "8", "--cache-entry-mb", "2")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node") / "data", *CONFIG) as running:
        running.deploy(PACKAGE, "caching")
        yield running


@pytest.mark.parametrize("case", CASES)
def test_case(node: Node, case: str) -> None:
    answer = node.get("caching", f"/{quote(case)}")
    assert answer.text == "passed"


SITE = {
    "_worker.js": """
export default { async fetch(request) {
  const cache = await caches.open("site");
  const { pathname } = new URL(request.url);
  const key = `http://site${pathname.slice(4)}`;
  if (pathname.startsWith("/put/")) {
    await cache.put(key, new Response(request.body));
    return new Response("stored");
  }
  if (pathname.startsWith("/flood/")) return flood(cache);
  return (await cache.match(key)) ?? new Response("nothing", { status: 404 });
} };

async function flood(cache) {
  const errors = {};
  for (let round = 0; round < 20; round++) {
    const puts = Array.from({ length: 900 }, (_, n) => cache.put(`http://flood/${round}/${n}`, new Response("x")));
    for (const { reason } of await Promise.allSettled(puts)) if (reason) errors[reason.name] = `${reason.message}`;
  }
  return Response.json(errors);
}
"""
}


def test_what_an_app_stored_is_there_after_deploys_kills_and_restarts(tmp_path: Path) -> None:
    with Node(tmp_path / "data", "--workers", "1", "--database-workers", "1") as node:
        node.deploy(SITE, "site")
        long = bytes(range(256)) * 2000
        assert node.request("PUT", "site", "/put/short", content=b"short").text == "stored"
        assert node.request("PUT", "site", "/put/long", content=long).text == "stored"
        node.deploy(SITE | {"other.txt": "another build"}, "site")
        assert node.get("site", "/get/long").content == long
        for kind in ("host", "cache"):
            for victim in node.processes(kind):
                victim.kill()
            eventually(20, lambda: _content(node, "/get/short") == b"short")
        assert node.stop() == 0
        node.start()
        assert (_content(node, "/get/short"), _content(node, "/get/long")) == (b"short", long)
        node.kill()
        node.start()
        assert (_content(node, "/get/short"), _content(node, "/get/long")) == (b"short", long)


def _content(node: Node, path: str) -> bytes:
    return node.get("site", path).content


def test_a_site_answers_from_the_cache_of_its_own_app(node: Node) -> None:
    node.deploy(PACKAGE, "twin")
    eventually(10, lambda: node.get("caching", "/site").text == node.get("caching", "/site").text)
    url = "http://caching.localhost/site"
    assert node.get("caching", "/site", headers={"if-none-match": '"v1"'}).status_code == 304
    part = node.get("caching", "/site", headers={"range": "bytes=0-3"})
    assert (part.status_code, part.text) == (206, "made")
    # Another app never sees it, whatever URL it asks for.
    assert node.get("twin", f"/has?{url}").text == "false"
    assert node.get("caching", f"/has?{url}").text == "true"


def test_an_app_is_purged_and_its_figures_are_measured(node: Node) -> None:
    node.deploy(SITE, "purged")
    node.request("PUT", "purged", "/put/one", content=b"one")
    assert node.get("purged", "/get/one").text == "one"
    assert node.get("purged", "/get/two").status_code == 404
    figures = {"hits_total": 1, "misses_total": 1, "stores_total": 1, "entries": 1}
    lines = {f'brrrd_cache_{name}{{app="purged",project="default"}} {value:.1f}' for name, value in figures.items()}
    eventually(10, lambda: lines <= set(httpx.get(node.control_url + "/metrics", trust_env=False).text.splitlines()))
    assert node.cli("apps", "purge", "purged").stdout.startswith("Removed 1 cached responses of app purged, ")
    assert node.get("purged", "/get/one").status_code == 404
    assert node.cli_json("apps", "purge", "purged")["entries"] == 0
    audit = node.control("GET", "/v1/audit?app=purged&action=app.purge").json()
    assert [entry["detail"] for entry in audit["entries"]] == [{"entries": 0}, {"entries": 1}]
    assert node.control("DELETE", "/v1/projects/default/apps/nobody/cache").status_code == 404


def test_what_an_app_stored_goes_with_it(node: Node) -> None:
    node.deploy(SITE, "leaving")
    node.request("PUT", "leaving", "/put/long", content=bytes(500_000))
    bodies = node.data_dir / "responses" / "bodies"
    before = set(bodies.iterdir())
    assert node.control("DELETE", "/v1/projects/default/apps/leaving").json()["cached"] == 1
    eventually(10, lambda: len(before - set(bodies.iterdir())) == 1)
    node.deploy(SITE, "leaving")
    assert node.get("leaving", "/get/long").status_code == 404


def test_a_flood_of_entries_costs_its_app_alone(node: Node) -> None:
    node.deploy(SITE, "flooder")
    node.deploy(SITE, "neighbour")
    node.request("PUT", "neighbour", "/put/one", content=b"one")
    done: list[httpx.Response] = []
    flood = threading.Thread(target=lambda: done.append(node.get("flooder", "/flood/", timeout=100)))
    flood.start()
    asked = 0
    while flood.is_alive() or asked < 20:
        answer = node.get("neighbour", "/get/one")
        assert (answer.status_code, answer.text) == (200, "one")
        asked += 1
    flood.join()
    assert (done[0].status_code, done[0].json()) == (200, {})
