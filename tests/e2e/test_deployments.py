"""Deploying, rolling back and configuring apps, as a user or a control plane does it."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.node_server import Node, eventually

HELLO = "export default { fetch() { return new Response('hello') } }"


def answers(text: str) -> dict[str, str | bytes]:
    return {"_worker.js": f"export default {{ fetch() {{ return new Response({text!r}) }} }}"}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def test_a_deployed_folder_answers_by_host_name(node: Node, tmp_path: Path) -> None:
    folder = write(tmp_path / "dist", {"_worker.js": HELLO})
    deployed = node.cli_json("deploy", str(folder), "--app", "first", "--host", "first.localhost,www.first.localhost")
    assert deployed["uploaded"] is True
    assert set(deployed["hosts"]) == {"first.localhost", "www.first.localhost"}
    assert deployed["app_id"]
    assert deployed["build_id"]
    assert node.get("first").text == "hello"
    assert node.get("www.first.localhost").text == "hello"


def test_deploy_creates_a_missing_project(node: Node, tmp_path: Path) -> None:
    folder = write(tmp_path / "dist", {"_worker.js": HELLO})
    node.cli("deploy", "--package", str(folder), "--project", "acme", "--app", "shop")
    assert "shop-acme.localhost" in [
        host for app in node.cli_json("apps", "list", "--project", "acme")["apps"] for host in app["hosts"]
    ]
    assert node.get("shop-acme.localhost").text == "hello"
    projects = node.control("GET", "/v1/projects").json()["projects"]
    assert "acme" in [project["name"] for project in projects]


def test_a_new_build_is_on_every_edge_worker_when_the_deploy_returns(node: Node) -> None:
    for version in ("one", "two", "three"):
        node.deploy(answers(version), "versions")
        # A connection each: the kernel spreads them over the edge workers.
        assert {node.get("versions").text for _ in range(12)} == {version}


def test_traffic_sees_no_error_during_deploys(node: Node) -> None:
    node.deploy(answers("v0"), "busy")
    stop = threading.Event()
    seen: list[int | str] = []

    def hammer() -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not stop.is_set():
                try:
                    seen.append(client.get(node.url, headers={"Host": "busy.localhost"}).status_code)
                except httpx.TransportError as error:
                    seen.append(repr(error))

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 4):
            node.deploy(answers(f"v{number}"), "busy")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(seen) == {200}
    assert len(seen) > 20


def test_a_request_in_flight_finishes_on_the_build_it_began_on(node: Node) -> None:
    node.deploy(
        {
            "_worker.js": """
            export default { async fetch() {
              const { readable, writable } = new TransformStream();
              (async () => {
                const writer = writable.getWriter();
                const bytes = (text) => new TextEncoder().encode(text);
                await writer.write(bytes("old begins,"));
                await new Promise((resolve) => setTimeout(resolve, 1500));
                await writer.write(bytes("old ends"));
                await writer.close();
              })();
              return new Response(readable);
            } }"""
        },
        "overlap",
    )
    with node.client("overlap.localhost").stream("GET", "/") as response:
        pieces = response.iter_text()
        first = next(pieces)
        node.deploy(answers("new"), "overlap")
        assert node.get("overlap").text == "new"
        assert first + "".join(pieces) == "old begins,old ends"


def test_rollback_switches_back(node: Node) -> None:
    first = node.deploy(answers("one"), "undo")
    second = node.deploy(answers("two"), "undo")
    assert node.get("undo").text == "two"
    assert node.cli_json("apps", "rollback", "undo")["build_id"] == first["build_id"]
    assert node.get("undo").text == "one"
    node.cli("apps", "rollback", "undo", "--build", second["build_id"])
    assert node.get("undo").text == "two"
    builds = node.cli_json("apps", "builds", "undo")["builds"]
    assert {build["build_id"] for build in builds} == {first["build_id"], second["build_id"]}


def test_an_environment_change_is_live_when_the_call_returns(node: Node) -> None:
    node.deploy(
        {
            "_worker.js": "export default { fetch(request, env) {"
            " return new Response(`${env.GREETING} ${process.env.GREETING}`) } }"
        },
        "environment",
    )
    assert node.get("environment").text == "undefined undefined"
    node.cli("apps", "env", "set", "GREETING=moin=moin", "--app", "environment")
    assert node.get("environment").text == "moin=moin moin=moin"
    assert "GREETING" in node.cli("apps", "env", "list", "--app", "environment").stdout
    node.cli("apps", "env", "unset", "GREETING", "--app", "environment")
    assert node.get("environment").text == "undefined undefined"


def test_a_secret_variable_is_refused_rather_than_kept_openly(node: Node) -> None:
    node.ensure_app("secretive")
    answer = node.control(
        "PUT", "/v1/projects/default/apps/secretive/environment/KEY", json={"value": "x", "secret": True}
    )
    assert answer.status_code == 400


def test_a_syntax_error_is_refused_with_file_and_line_and_the_old_build_stays(node: Node) -> None:
    node.deploy(answers("old"), "strict")
    answer = node.upload({"_worker.js": "const a = 1;\nconst b = ;\nexport default {}"}, "strict")
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert "_worker.js:2" in answer.json()["detail"]
    assert "SyntaxError" in answer.json()["detail"]
    assert node.get("strict").text == "old"


def test_the_command_line_tells_why_a_build_was_refused(node: Node, tmp_path: Path) -> None:
    folder = write(tmp_path / "dist", {"_worker.js": "\n\nthrow new Error('not today')"})
    done = node.cli("deploy", str(folder), "--app", "told", check=False)
    assert done.returncode == 1
    assert "not today" in done.stderr
    assert "_worker.js:3" in done.stderr


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"_worker.js": "\nthrow new TypeError('wrong at start')"}, ["_worker.js:2", "wrong at start"]),
        ({"_worker.js": "await Promise.reject(new Error('rejected at start'))"}, ["rejected at start"]),
        ({"_worker.js": "import './missing.js'; export default () => {}"}, ["missing.js"]),
        ({"_worker.js": "import { no } from './part.js'; export default no", "part.js": "export {}"}, ["no"]),
        ({"_worker.js": "export const answer = 42"}, ["fetch"]),
        ({"_worker.js": "export default { fetch: 42 }"}, ["fetch"]),
        ({"_worker.js": "await new Promise(() => {}); export default () => {}"}, ["_worker.js"]),
        ({"brrrd.json": '{"main": "gone.js"}'}, ["gone.js"]),
        ({"brrrd.json": '{"main": "_worker.js", "limts": {}}', "_worker.js": HELLO}, ["limts"]),
        ({"brrrd.json": '{"limits": {"wall_ms": "soon"}}', "_worker.js": HELLO}, ["wall_ms"]),
        ({"brrrd.json": "{", "_worker.js": HELLO}, ["brrrd.json"]),
        ({}, ["_worker.js"]),
    ],
    ids=[
        "evaluation-throws", "top-level-await-rejects", "missing-import", "missing-export", "no-handler",
        "handler-not-a-function", "top-level-await-never-ends", "missing-main", "unknown-key", "bad-value",
        "not-json", "nothing-to-serve",
    ],
)  # fmt: skip
def test_a_build_that_cannot_be_served_is_refused_by_name(
    node: Node, files: dict[str, str | bytes], expected: list[str]
) -> None:
    node.deploy(answers("old"), "refusing")
    answer = node.upload(files, "refusing")
    assert answer.status_code == 422, answer.text
    for part in expected:
        assert part in answer.json()["detail"]
    assert node.get("refusing").text == "old"


def test_a_host_of_another_app_is_refused(node: Node) -> None:
    node.deploy(answers("mine"), "owner", hosts="contested.localhost")
    assert node.upload(answers("theirs"), "taker", hosts="contested.localhost").status_code == 409
    assert node.get("contested.localhost").text == "mine"


def test_domains_are_attached_finalized_and_removed(node: Node) -> None:
    node.deploy(answers("domains"), "domains")
    node.cli("domains", "add", "shop.example.com", "--app", "domains")
    for _ in range(2):
        node.cli("domains", "finalize", "shop.example.com", "--app", "domains")
    assert node.get("shop.example.com").text == "domains"
    node.cli("domains", "add", "*.wild.example.com", "--app", "domains")
    node.cli("domains", "finalize", "*.wild.example.com", "--app", "domains")
    assert node.get("any.wild.example.com").text == "domains"
    node.cli("domains", "remove", "shop.example.com", "--app", "domains")
    assert node.get("shop.example.com").status_code == 404


def test_a_deleted_app_is_gone(node: Node) -> None:
    node.deploy(answers("short-lived"), "deleted")
    answer = node.control("DELETE", "/v1/projects/default/apps/deleted")
    assert answer.status_code == 200
    assert "deleted.localhost" in answer.text
    assert node.get("deleted").status_code == 404
    assert node.control("GET", "/v1/projects/default/apps/deleted").status_code == 404


def test_an_empty_list_is_not_an_error_but_a_missing_app_is(node: Node) -> None:
    empty = node.control("GET", "/v1/projects/nothing-here/apps")
    assert (empty.status_code, empty.json()) == (200, {"apps": []})
    assert node.control("GET", "/v1/projects/default/apps/nobody").status_code == 404
    assert node.cli("apps", "show", "nobody", check=False).returncode == 1


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic Zm9vOmJhcg==", "Bearer"])
def test_a_wrong_operator_token_is_401(node: Node, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    for method, path in [("GET", "/v1/projects"), ("GET", "/v1/status"), ("POST", "/v1/projects/default/apps")]:
        answer = httpx.request(method, node.control_url + path, headers=headers, trust_env=False)
        assert answer.status_code == 401
        assert "www-authenticate" in answer.headers


def test_health_readiness_metrics_and_the_description_need_no_token(node: Node) -> None:
    with httpx.Client(base_url=node.control_url, trust_env=False) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert "brrrd_" in client.get("/metrics").text
        assert "/v1/projects/{project}/apps" in client.get("/openapi.json").json()["paths"]


def test_a_package_over_the_limit_is_413_and_nothing_is_kept(start_node: Callable[..., Node]) -> None:
    node = start_node("--max-package-bytes", "20000", "--workers", "1")

    def large_files() -> set[Path]:
        return {path for path in node.data_dir.rglob("*") if path.is_file() and path.stat().st_size >= 20_000}

    node.ensure_app("big")
    before = large_files()
    noise = random.Random(1).randbytes(400_000)
    assert node.upload({"_worker.js": HELLO, "public/noise.bin": noise}, "big").status_code == 413
    kept = large_files() - before
    assert not [path for path in kept if "sqlite" not in path.name and ".db" not in path.name]


def test_logs_reach_the_owner(node: Node) -> None:
    source = "export default { fetch() { console.log('seen by', { a: 1 }); throw new Error('bug') } }"
    node.deploy({"_worker.js": source}, "logging")
    answer = node.get("logging")
    assert answer.status_code == 500
    request_id = answer.headers["x-request-id"]
    assert request_id in answer.text
    assert "bug" not in answer.text
    deadline = time.monotonic() + 10
    while "bug" not in (text := node.cli("logs", "--app", "logging").stdout) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "seen by { a: 1 }" in text
    assert "_worker.js:1" in text
    assert request_id in text


def test_a_typo_in_a_command_is_a_usage_error(node: Node) -> None:
    assert node.cli("apps", "lst", check=False).returncode == 2


def test_a_kill_in_the_middle_of_deploys_leaves_an_old_or_a_new_build(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1", "--database-workers", "1")
    node.deploy(answers("0"), "torn")
    acknowledged = 0
    number = 0
    for round_ in range(4):
        stop = threading.Event()

        def deploy_on(stopped: threading.Event = stop) -> None:
            nonlocal acknowledged, number
            while not stopped.is_set():
                number += 1
                try:
                    answer = node.upload(answers(str(number)), "torn")
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    acknowledged = number

        deploying = threading.Thread(target=deploy_on)
        deploying.start()
        time.sleep(0.3 + 0.11 * round_)
        node.kill()
        stop.set()
        deploying.join()
        node.start()
        served = int(node.get("torn").text)
        assert acknowledged <= served <= number
        builds = node.control("GET", "/v1/projects/default/apps/torn/builds").json()["builds"]
        assert sum(build["active"] for build in builds) == 1
        acknowledged = served
    leftovers = list((node.data_dir / "packages" / "tmp").iterdir())
    assert leftovers == []


def test_an_app_that_keeps_dying_is_refused_until_a_new_build_comes(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1")
    node.deploy(answers("fragile"), "dying")

    def is_given_up() -> bool:
        for host in node.processes("host"):
            host.kill()
        answer = node.get("dying")
        return answer.status_code == 503 and "died" in answer.text and "retry-after" in answer.headers

    eventually(30, is_given_up)
    node.deploy(answers("healed"), "dying")
    assert node.get("dying").text == "healed"
