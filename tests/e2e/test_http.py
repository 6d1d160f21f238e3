"""HTTP through the whole chain: what a client sends reaches the app unchanged, and the other way round."""

import json
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.node_server import Node, eventually

ECHO = """
export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/headers") return Response.json([...request.headers]);
    if (url.pathname === "/body") return new Response(request.body, { status: 201 });
    if (url.pathname === "/length") return new Response(String((await request.arrayBuffer()).byteLength));
    if (url.pathname === "/cookies") {
      const headers = new Headers();
      headers.append("set-cookie", "a=1; Path=/, with comma");
      headers.append("set-cookie", "b=2");
      headers.append("x-many", "one");
      headers.append("x-many", "two");
      return new Response("ok", { headers });
    }
    if (url.pathname === "/empty") return new Response(null, { status: 204 });
    if (url.pathname === "/teapot") return new Response("short and stout", { status: 418 });
    if (url.pathname === "/connection") {
      return new Response("ok", { headers: { connection: "close, x-hop", "x-hop": "secret", "keep-alive": "5" } });
    }
    return Response.json({ url: request.url, method: request.method });
  },
};
"""


@pytest.fixture(scope="module")
def echo(node: Node) -> str:
    node.deploy({"_worker.js": ECHO}, "echo")
    return "echo.localhost"


def head_of(answer: bytes) -> list[str]:
    return answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")


def request(target: str, *headers: str, method: str = "GET", host: str = "echo.localhost") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def unchunked(body: bytes) -> bytes:
    """The content of a body in the chunked transfer coding (RFC 9112, section 7.1)."""
    pieces: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if size == 0:
            return b"".join(pieces)
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


def header_values(answer: httpx.Response, name: str) -> list[str]:
    return [value for key, value in answer.json() if key == name]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_the_method_reaches_the_app(node: Node, echo: str, method: str) -> None:
    assert node.request(method, echo, "/x").json()["method"] == method


@pytest.mark.parametrize(
    "target", ["/a%2Fb/%C3%A4?q=%20+&q=2&empty=", "/a//b/", "/?", "/%E4?x=%FF", "/plus+and:colon@at;semi,comma"]
)
def test_path_and_query_are_not_decoded(node: Node, echo: str, target: str) -> None:
    body = json.loads(node.raw(request(target)).partition(b"\r\n\r\n")[2].splitlines()[-1])
    assert body["url"] == f"http://echo.localhost{target}"


def test_duplicate_request_headers_are_kept(node: Node, echo: str) -> None:
    answer = node.raw(request("/headers", "X-Many: one", "X-Many: two", "Cookie: a=1", "Cookie: b=2"))
    headers = dict(json.loads(answer.partition(b"\r\n\r\n")[2].splitlines()[-1]))
    # As the fetch standard combines them; cookies with a semicolon (RFC 9110, section 5.3; RFC 6265, section 5.4).
    assert headers["x-many"] == "one, two"
    assert headers["cookie"] == "a=1; b=2"


def test_set_cookie_is_never_merged_and_duplicates_are_kept(node: Node, echo: str) -> None:
    answer = node.get(echo, "/cookies")
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/, with comma", "b=2"]
    assert answer.headers["x-many"] == "one, two"


def test_hop_by_hop_headers_stay_on_their_hop(node: Node, echo: str) -> None:
    answer = node.raw(
        request("/headers", "Connection: x-secret", "X-Secret: 1", "Keep-Alive: 5", "TE: gzip", "Upgrade: h2c")
    )
    names = {name for name, _ in json.loads(answer.partition(b"\r\n\r\n")[2].splitlines()[-1])}
    assert not names & {"connection", "x-secret", "keep-alive", "te", "upgrade", "transfer-encoding"}
    answered = node.get(echo, "/connection")
    assert "x-hop" not in answered.headers
    assert "keep-alive" not in answered.headers


def test_a_forged_client_address_is_replaced(node: Node, echo: str) -> None:
    forged = {"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Forwarded-Proto": "https"}
    answer = node.get(echo, "/headers", headers=forged)
    assert header_values(answer, "x-forwarded-for") == ["127.0.0.1"]
    assert header_values(answer, "x-forwarded-proto") == ["http"]
    assert header_values(answer, "x-forwarded-host") == ["echo.localhost"]
    assert "6.6.6.6" not in answer.text


def test_a_request_id_is_made_and_told_to_both_sides(node: Node, echo: str) -> None:
    answer = node.get(echo, "/headers", headers={"X-Request-Id": "forged"})
    assert header_values(answer, "x-request-id") == [answer.headers["x-request-id"]]
    assert answer.headers["x-request-id"] != "forged"
    assert answer.headers["x-request-id"] != node.get(echo, "/headers").headers["x-request-id"]


def test_a_large_body_streams_through_both_ways(node: Node, echo: str) -> None:
    body = bytes(range(256)) * (20 << 12)  # 20 MB: more than all buffers on the way hold
    head = request("/body", f"Content-Length: {len(body)}", method="POST")
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as connection:
        sending = threading.Thread(target=connection.sendall, args=(head + body,))
        sending.start()
        answer = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        sending.join()
    assert head_of(answer)[0] == "HTTP/1.1 201 Created"
    assert unchunked(answer.partition(b"\r\n\r\n")[2]) == body


def test_a_chunked_upload_arrives_whole(node: Node, echo: str) -> None:
    def chunks() -> Iterator[bytes]:
        for number in range(100):
            yield bytes([number]) * 1000

    assert node.request("POST", echo, "/length", content=chunks()).text == "100000"


def test_the_response_begins_before_the_request_ends(node: Node, echo: str) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.sendall(b"POST /body HTTP/1.1\r\nHost: echo.localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"6\r\nfirst \r\n")
        received = b""
        while b"first" not in received:
            piece = connection.recv(65536)
            assert piece
            received += piece
        connection.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
        while b"second" not in received:
            piece = connection.recv(65536)
            assert piece
            received += piece
    assert received.startswith(b"HTTP/1.1 201")


def test_a_streamed_response_arrives_as_it_is_made(node: Node) -> None:
    node.deploy(
        {
            "_worker.js": """
            let proceed;
            export default { fetch(request) {
              if (request.url.endsWith("/proceed")) {
                proceed();
                return new Response("well");
              }
              let number = 0;
              return new Response(new ReadableStream({
                async pull(controller) {
                  if (number === 3) return controller.close();
                  const told = new Promise((resolve) => { proceed = resolve; });
                  controller.enqueue(new TextEncoder().encode(`${number++};`));
                  await told;
                },
              }));
            } }"""
        },
        "ticks",
    )
    with node.client("ticks.localhost").stream("GET", "/") as response:
        pieces = response.iter_raw()
        for number in range(3):
            assert next(pieces) == b"%d;" % number
            assert node.get("ticks", "/proceed").text == "well"
        assert b"".join(pieces) == b""


def test_head_has_the_headers_and_no_body(node: Node, echo: str) -> None:
    answer = node.raw(request("/teapot", method="HEAD"))
    assert head_of(answer)[0].startswith("HTTP/1.1 418")
    assert answer.partition(b"\r\n\r\n")[2] == b""


def test_204_has_neither_body_nor_length(node: Node, echo: str) -> None:
    answer = node.raw(request("/empty"))
    assert head_of(answer)[0].startswith("HTTP/1.1 204")
    lowered = [line.lower() for line in head_of(answer)]
    assert not [line for line in lowered if line.startswith(("content-length", "transfer-encoding"))]
    assert answer.partition(b"\r\n\r\n")[2] == b""


@pytest.mark.parametrize("host", ["ECHO.localhost", "echo.localhost:8080", "echo.localhost."])
def test_host_names_are_compared_without_case_port_and_final_dot(node: Node, echo: str, host: str) -> None:
    assert node.raw(request("/", host=host)).startswith(b"HTTP/1.1 200")


def test_an_unknown_host_is_404(node: Node) -> None:
    answer = node.get("nobody.localhost")
    assert answer.status_code == 404
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize("host", ["a b", "a_b..c", "[::1", "user@host", "%00", "a" * 300, "host:port", "/etc/passwd"])
def test_a_malformed_host_is_400(node: Node, host: str) -> None:
    assert node.raw(request("/", host=host)).startswith(b"HTTP/1.1 400")


def test_a_missing_host_and_two_hosts_are_400(node: Node, echo: str) -> None:
    assert node.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert node.raw(request("/", "Host: other.localhost")).startswith(b"HTTP/1.1 400")


def test_a_body_over_the_limit_is_413(node: Node, echo: str) -> None:
    answer = node.raw(request("/length", "Content-Length: 200000000", method="POST"))
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_browser_gets_a_page_and_a_program_gets_problem_json(node: Node) -> None:
    page = node.get("nobody.localhost", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["x-request-id"] in page.text
    problem = node.get("nobody.localhost", headers={"Accept": "*/*"})
    assert problem.headers["content-type"].startswith("application/problem+json")
    assert problem.json()["status"] == 404


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/docs", "/openapi.json", "/readyz", "/v1/projects", "/debug", "/v1/status"]
)
def test_the_data_host_serves_nothing_but_databases(node: Node, path: str) -> None:
    assert node.get("localhost", path).status_code in (401, 404)
    assert "project" not in node.get("localhost", path).text


def test_a_client_that_goes_away_aborts_the_request(node: Node) -> None:
    node.deploy(
        {
            "_worker.js": """
            let started = 0, aborted = 0;
            export default { async fetch(request) {
              if (request.url.endsWith("/seen")) return Response.json([started, aborted]);
              started++;
              request.signal.addEventListener("abort", () => { aborted++ });
              await new Promise((resolve) => setTimeout(resolve, 20000));
              return new Response("too late");
            } }"""
        },
        "leaver",
    )
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: leaver.localhost\r\n\r\n")
        eventually(10, lambda: node.get("leaver", "/seen").json() == [1, 0])
    eventually(10, lambda: node.get("leaver", "/seen").json() == [1, 1])


def test_an_exception_is_500_without_internals(node: Node) -> None:
    node.deploy({"_worker.js": "export default { fetch() { throw new Error('internal detail') } }"}, "thrower")
    answer = node.get("thrower")
    assert answer.status_code == 500
    assert "internal detail" not in answer.text
    assert answer.headers["x-request-id"] in answer.text


def test_a_stream_that_fails_midway_is_not_passed_off_as_complete(node: Node) -> None:
    node.deploy(
        {
            "_worker.js": """
            export default { fetch() {
              let first = true;
              return new Response(new ReadableStream({ pull(controller) {
                if (!first) throw new Error("broken");
                first = false;
                controller.enqueue(new TextEncoder().encode("begin"));
              } }));
            } }"""
        },
        "truncated",
    )
    with pytest.raises(httpx.RemoteProtocolError):
        node.get("truncated")


def test_the_function_form_env_and_wait_until_work(node: Node) -> None:
    node.deploy(
        {
            "_worker.js": """
            let later = 0;
            export default async function (request, env, ctx) {
              ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 50)).then(() => { later++ }));
              return new Response(String(later));
            }"""
        },
        "background",
    )
    assert node.get("background").text == "0"
    eventually(10, lambda: int(node.get("background").text) > 0)


def test_modules_of_the_package_can_be_imported(node: Node) -> None:
    node.deploy(
        {
            "index.js": """
            import { name } from "./lib/name.js";
            const { greet } = await import("./lib/greet.js");
            export const unused = 1;
            export default { fetch: () => new Response(greet(name) + " " + import.meta.url) };""",
            "lib/name.js": "export const name = 'module'",
            "lib/greet.js": "import { mark } from '../mark.js'; export const greet = (name) => `hello ${name}${mark}`",
            "mark.js": "export const mark = '!'",
        },
        "modules",
    )
    assert node.get("modules").text == "hello module! file:///index.js"


def test_a_trusted_proxy_is_believed(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1", "--trusted-proxies", "127.0.0.0/8")
    node.deploy({"_worker.js": ECHO}, "echo")
    proxied = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Request-Id": "proxy-id-1"}
    assert node.get("echo", "/x", headers=proxied).json()["url"] == "https://echo.localhost/x"
    answer = node.get("echo", "/headers", headers=proxied)
    assert header_values(answer, "x-forwarded-for") == ["203.0.113.9, 127.0.0.1"]
    assert header_values(answer, "x-request-id") == ["proxy-id-1"]
    assert answer.headers["x-request-id"] == "proxy-id-1"


def test_hypercorn_can_stand_in_front(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1", "--server", "hypercorn")
    node.deploy({"_worker.js": ECHO, "public/file.txt": "static"}, "echo")
    assert node.get("echo", "/x?y=1").json()["method"] == "GET"
    assert node.request("POST", "echo", "/length", content=b"x" * 300_000).text == "300000"
    assert node.get("echo", "/cookies").headers.get_list("set-cookie") == ["a=1; Path=/, with comma", "b=2"]
    assert node.get("echo", "/file.txt").text == "static"
    assert node.get("nobody.localhost").status_code == 404
    node.sql(node.create_database("behind"), "select 1")
