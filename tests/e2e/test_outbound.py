"""What apps may fetch: the node's own names always, the public internet, and nothing of the operator's network."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.node_server import Node, eventually

FETCHER = """
export default { async fetch(request) {
  const { url, init, read } = await request.json();
  try {
    const response = await fetch(url, init);
    const body = read === "none" ? "" : await response.text();
    return Response.json({ status: response.status, url: response.url, redirected: response.redirected,
      headers: [...response.headers], body });
  } catch (error) {
    return Response.json({ error: error.name, message: error.message, cause: String(error.cause ?? "") });
  }
} }"""


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/target")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._answer(f"{self.command} {self.path}".encode())

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).upper())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Seen-Host", self.headers["Host"])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def upstream() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def fetcher(node: Node) -> Callable[..., dict[str, object]]:
    node.deploy({"_worker.js": FETCHER}, "fetcher")
    return lambda url, **more: node.request("POST", "fetcher", json={"url": url, **more}).json()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.2", "10.0.0.1", "192.168.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706434"],
)
def test_private_addresses_are_refused_with_a_type_error(
    fetcher: Callable[..., dict[str, object]], address: str
) -> None:
    answer = fetcher(f"http://{address}:9/")
    assert answer["error"] == "TypeError"


def test_an_allowed_server_is_reached_and_redirects_are_followed(start_node: Callable[..., Node]) -> None:
    with upstream() as port:
        node = start_node("--workers", "1", "--egress-allow", f"127.0.0.1:{port}")
        node.deploy({"_worker.js": FETCHER}, "fetcher")

        def ask(path: str, **init: object) -> dict[str, object]:
            url = f"http://127.0.0.1:{port}{path}"
            answer: dict[str, object] = node.request("POST", "fetcher", json={"url": url, "init": init}).json()
            return answer

        plain = ask("/plain?q=1")
        assert (plain["status"], plain["body"]) == (200, "GET /plain?q=1")
        assert ["x-seen-host", f"127.0.0.1:{port}"] in plain["headers"]  # type: ignore[operator]
        assert ask("/x", method="POST", body="shout")["body"] == "SHOUT"
        moved = ask("/redirect")
        assert (moved["redirected"], moved["body"]) == (True, "GET /target")
        assert ask("/redirect", redirect="manual")["status"] == 302
        assert ask("/redirect", redirect="error")["error"] == "TypeError"


def test_other_apps_are_reached_by_name_without_leaving_the_node(
    node: Node, fetcher: Callable[..., dict[str, object]]
) -> None:
    node.deploy(
        {"_worker.js": "export default { fetch: async (r) => new Response(`${r.method} ${r.url} ${await r.text()}`) }"},
        "inner",
    )
    answer = fetcher("http://inner.localhost/", init={"method": "POST", "body": "hello"})
    assert answer["body"] == "POST http://inner.localhost/ hello"
    assert fetcher("https://inner.localhost/")["body"] == "GET https://inner.localhost/ "
    assert fetcher("http://unknown.localhost/").get("status") != 200


def test_a_server_that_is_not_there_is_a_type_error(fetcher: Callable[..., dict[str, object]]) -> None:
    assert fetcher("http://does-not-exist.invalid/")["error"] == "TypeError"


def test_a_queue_that_requests_share_is_not_counted_for_the_request_that_came_first(node: Node) -> None:
    shared = """
    const queue = [];
    let busy = false;
    function next() {
      const job = queue.shift();
      busy = job !== undefined;
      if (busy) job().finally(next);
    }
    export default { async fetch(request) {
      const url = new URL("/self", request.url);
      if (request.url === url.href) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return new Response("self");
      }
      const answer = new Promise((resolve, reject) => {
        queue.push(() => fetch(url).then((response) => response.text()).then(resolve, reject));
      });
      if (!busy) next();
      return new Response(await answer);
    } }"""
    node.deploy({"_worker.js": shared, "brrrd.json": '{"limits": {"subrequests": 3}}'}, "shared")
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: node.get("shared").text, range(12)))
    assert answers == ["self"] * 12


def test_a_request_can_make_so_many_subrequests_and_the_owner_is_told(node: Node) -> None:
    many = """
    export default { async fetch(request) {
      if (new URL(request.url).pathname === "/self") return new Response("self");
      let made = 0;
      try {
        for (; made < 9; made++) await (await fetch(new URL("/self", request.url))).text();
      } catch (error) {
        return new Response(`${made} ${error}`);
      }
      return new Response(String(made));
    } }"""
    node.deploy({"_worker.js": many, "brrrd.json": '{"limits": {"subrequests": 3}}'}, "eager")
    for _ in range(2):
        assert node.get("eager").text.startswith("3 TypeError: fetch failed: one request may make no more subrequests")
    counted = 'brrrd_host_limits_total{app="eager",limit="subrequests",project="default"} 2'
    eventually(10, lambda: counted in node.control("GET", "/metrics").text)
    lines = node.control("GET", "/v1/projects/default/apps/eager/logs").text.splitlines()
    assert sum("limit subrequests = 3" in line for line in lines) == 2
