"""Static files of a package, served by the edge."""

import json

import pytest

from tests.node_server import Node

WORKER = "export default { fetch: (request) => new Response('worker ' + new URL(request.url).pathname) }"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200_000)


@pytest.fixture(scope="module")
def site(node: Node) -> str:
    node.deploy(
        {
            "_worker.js": WORKER,
            "public/index.html": "<!doctype html>home",
            "public/style.css": "body { color: teal }",
            "public/logo.png": PNG,
            "public/docs/index.html": "docs",
            "public/a b ä.txt": "odd name",
        },
        "site",
    )
    return "site"


def test_files_have_their_content_type(node: Node, site: str) -> None:
    assert node.get(site).headers["content-type"] == "text/html; charset=utf-8"
    assert node.get(site, "/style.css").headers["content-type"] == "text/css; charset=utf-8"
    assert node.get(site, "/logo.png").headers["content-type"] == "image/png"
    assert node.get(site, "/logo.png").content == PNG


def test_an_unchanged_file_is_304(node: Node, site: str) -> None:
    first = node.get(site, "/logo.png")
    again = node.get(site, "/logo.png", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert node.get(site, "/logo.png", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_range_is_answered_partially(node: Node, site: str) -> None:
    answer = node.get(site, "/logo.png", headers={"Range": "bytes=1-3"})
    assert (answer.status_code, answer.content) == (206, b"PNG")
    assert answer.headers["content-range"] == f"bytes 1-3/{len(PNG)}"
    assert node.get(site, "/logo.png", headers={"Range": "bytes=999999-"}).status_code == 416


def test_head_of_a_file_has_its_length(node: Node, site: str) -> None:
    answer = node.request("HEAD", site, "/logo.png")
    assert (answer.headers["content-length"], answer.content) == (str(len(PNG)), b"")


def test_other_paths_and_methods_go_to_the_worker(node: Node, site: str) -> None:
    assert node.get(site, "/api").text == "worker /api"
    assert node.request("POST", site, "/style.css").text == "worker /style.css"


def test_encoded_names_are_found(node: Node, site: str) -> None:
    assert node.get(site, "/a%20b%20%C3%A4.txt").text == "odd name"


@pytest.mark.parametrize(
    "path",
    ["/_worker.js", "/../_worker.js", "/%2e%2e/_worker.js", "/..%2f_worker.js", "/public/index.html", "/brrrd.json"],
)
def test_nothing_outside_the_assets_is_served(node: Node, site: str, path: str) -> None:
    answer = node.raw(f"GET {path} HTTP/1.1\r\nHost: site.localhost\r\nConnection: close\r\n\r\n".encode())
    assert b"export default" not in answer
    assert b"doctype" not in answer


def test_a_package_of_files_alone_needs_no_worker(node: Node) -> None:
    node.deploy({"index.html": "only files", "404.txt": "x"}, "files")
    assert node.get("files").text == "only files"
    assert node.get("files", "/missing").status_code == 404


def test_the_manifest_decides_about_missing_pages_headers_and_redirects(node: Node) -> None:
    manifest = {
        "assets": {"directory": "www", "not_found": "missing.html"},
        "headers": [{"source": "/assets/*", "headers": {"Cache-Control": "public, max-age=31536000, immutable"}}],
        "redirects": [{"source": "/old/:page", "destination": "/new/:page", "status": 308}],
    }
    node.deploy(
        {
            "brrrd.json": json.dumps(manifest),
            "www/index.html": "home",
            "www/missing.html": "nothing here",
            "www/assets/app.js": "1",
        },
        "manifest",
    )
    gone = node.get("manifest", "/gone")
    assert (gone.status_code, gone.text) == (404, "nothing here")
    assert node.get("manifest", "/assets/app.js").headers["cache-control"] == "public, max-age=31536000, immutable"
    moved = node.get("manifest", "/old/page?q=1")
    assert (moved.status_code, moved.headers["location"]) == (308, "/new/page?q=1")


def test_a_single_page_app_answers_every_path(node: Node) -> None:
    node.deploy({"brrrd.json": '{"assets": {"directory": "www", "single_page": true}}', "www/index.html": "spa"}, "spa")
    answer = node.get("spa", "/deep/link", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.text) == (200, "spa")


def test_a_new_build_replaces_files_at_once(node: Node) -> None:
    for version in ("1", "2"):
        node.deploy({"public/v.txt": version}, "replaced")
        assert {node.get("replaced", "/v.txt").text for _ in range(8)} == {version}


READER = """
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === '/has') return new Response(typeof env.ASSETS);
    const { method, headers } = request;
    const answer = await env.ASSETS.fetch(searchParams.get('of'), { method, headers });
    return Response.json([answer.status, answer.headers.get('location'), answer.url, await answer.text()]);
  },
};
"""


@pytest.fixture(scope="module")
def reader(node: Node) -> str:
    files: dict[str, str | bytes] = {
        "_worker.js": READER,
        "public/a.txt": "mine",
        "public/docs/index.html": "docs",
        "public/big.bin": PNG * 20,
    }
    node.deploy(files, "reader")
    return "reader"


def read(node: Node, url: str, method: str = "GET", **headers: str) -> list[object]:
    answer = node.request(method, "reader", "/read", params={"of": url}, headers=headers).json()
    assert isinstance(answer, list)
    return answer


def test_a_worker_reads_its_static_files_whatever_host_it_names(node: Node, reader: str) -> None:
    assert read(node, "http://any.example/a.txt?x") == [200, None, "http://any.example/a.txt?x", "mine"]
    assert read(node, "https://assets.local/docs/")[3] == "docs"
    assert read(node, "http://x/docs")[:2] == [308, "/docs/"]
    assert len(str(read(node, "http://x/big.bin")[3])) > 1_000_000


def test_a_worker_that_asks_for_other_files_does_not_reach_itself(node: Node, reader: str, site: str) -> None:
    assert read(node, "http://x/read?of=x")[0] == 404
    assert read(node, "http://site.localhost/style.css")[0] == 404
    assert read(node, "http://x/a.txt", "POST")[0] == 405
    assert read(node, "http://x/a.txt", **{"If-None-Match": node.get("reader", "/a.txt").headers["etag"]})[0] == 304


def test_only_an_app_with_static_files_has_the_binding(node: Node, reader: str) -> None:
    assert node.get("reader", "/has").text == "object"
    node.deploy({"_worker.js": READER}, "bare")
    assert node.get("bare", "/has").text == "undefined"
