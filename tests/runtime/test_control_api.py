"""The control API on a running node. Packages here are static files, so that no test depends on tenant code."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from dataplane.messages import DatabaseLimits
from runtime.config import Config
from tests.node_server import Node, eventually, pack


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    options = ["--workers", "2", "--database-workers", "1", "--keep-builds", "2"]
    for limit in ("transaction", "contended-transaction", "stream-idle", "contended-stream-idle"):
        options += [f"--{limit}-ms", "600000"]
    with Node(tmp_path_factory.mktemp("control") / "data", *options) as node:
        yield node


def page(text: str) -> dict[str, str | bytes]:
    return {"public/index.html": text}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "part"),
    [
        ("POST", "/v1/projects/default/apps", {"name": "Not Valid"}, 400, "Not Valid"),
        ("POST", "/v1/projects/default/apps", {"nmae": "x"}, 400, "nmae"),
        ("POST", "/v1/projects/default/apps", {}, 400, "name"),
        ("POST", "/v1/projects/default/apps", {"name": 5}, 400, "name"),
        ("POST", "/v1/projects/NOPE/apps", {"name": "x"}, 400, "NOPE"),
        ("GET", "/v1/projects/default/apps/nobody", None, 404, "nobody"),
        ("GET", "/v1/projects/default/apps/nobody/logs", None, 404, "nobody"),
        ("POST", "/v1/projects/default/apps/nobody/deployments", None, 404, "nobody"),
        ("GET", "/v1/databases/db-aaaaaaaaaaaa", None, 404, "db-aaaaaaaaaaaa"),
        ("POST", "/v1/projects/default/databases", {"name": "../x"}, 400, "../x"),
        ("GET", "/v1/elsewhere", None, 404, "/openapi.json"),
        ("PATCH", "/v1/projects", None, 405, "PATCH"),
    ],
)
def test_bad_input_is_named_in_problem_details(
    api: Node, method: str, path: str, body: Any, status: int, part: str
) -> None:
    answer = api.control(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert part in answer.json()["detail"]
    assert answer.json()["status"] == status


def test_all_variables_of_an_app_together_are_bounded(api: Node) -> None:
    api.control("POST", "/v1/projects/default/apps", json={"name": "giant"})
    path = "/v1/projects/default/apps/giant/environment"
    value = {"value": "x" * 60_000}
    statuses = [api.control("PUT", f"{path}/KEY_{number}", json=value).status_code for number in range(17)]
    assert statuses == [200] * 17
    refused = api.control("PUT", f"{path}/ONE_MORE", json=value)
    assert (refused.status_code, "1048576 bytes together" in refused.json()["detail"]) == (400, True)
    assert api.control("PUT", f"{path}/KEY_0", json={"value": "short"}).status_code == 200
    assert len(api.control("GET", path).json()["environment"]) == 17


def test_a_body_that_is_not_json_is_400(api: Node) -> None:
    answer = api.control("POST", "/v1/projects/default/apps", content=b"{nope")
    assert (answer.status_code, answer.json()["title"]) == (400, "Bad Request")


def test_an_over_large_json_body_is_413(api: Node) -> None:
    answer = api.control("POST", "/v1/projects/default/apps", content=b'"' + b"x" * (2 << 20))
    assert answer.status_code == 413


def test_ids_are_accepted_in_place_of_names(api: Node) -> None:
    app = api.control("POST", "/v1/projects/acme/apps", json={"name": "by-id"}).json()["app"]
    path = f"/v1/projects/{app['project_id']}/apps/{app['app_id']}"
    assert api.control("GET", path).json()["app"] == app


def test_the_description_matches_the_answers(api: Node) -> None:
    description = httpx.get(api.control_url + "/openapi.json", trust_env=False).json()
    assert description["openapi"] == "3.1.0"
    schemas = description["components"]["schemas"]
    api.ensure_app("described")
    app = api.control("GET", "/v1/projects/default/apps/described").json()["app"]
    assert set(app) == set(schemas["AppView"]["properties"])
    status = api.control("GET", "/v1/status").json()
    assert set(status) == set(schemas["Status"]["properties"])
    upload = description["paths"]["/v1/projects/{project}/apps/{app}/deployments"]["post"]
    assert "application/zstd" in upload["requestBody"]["content"]
    assert description["paths"]["/healthz"]["get"]["security"] == []


def test_default_hosts_name_the_project_unless_it_is_the_default_one(api: Node) -> None:
    for project in ("default", "team"):
        api.control("POST", f"/v1/projects/{project}/apps", json={"name": "site"})
    deploy = "/v1/projects/{}/apps/site/deployments"
    assert api.control("POST", deploy.format("default"), content=pack(page("a"))).json()["hosts"] == ["site.localhost"]
    assert api.control("POST", deploy.format("team"), content=pack(page("b"))).json()["hosts"] == [
        "site-team.localhost"
    ]
    assert api.get("site-team").text == "b"
    assert api.get("site").text == "a"


def test_the_data_plane_s_own_names_cannot_be_taken(api: Node) -> None:
    assert api.upload(page("x"), "greedy", hosts="db.localhost").status_code == 409


@pytest.mark.parametrize(
    "query", ["max_concurrent_requests=0", "max_concurrent_requests=100001", "max_concurrent_requests=x", "hosts=a..b"]
)
def test_bad_deploy_parameters_are_400(api: Node, query: str) -> None:
    api.ensure_app("parameters")
    path = f"/v1/projects/default/apps/parameters/deployments?{query}"
    assert api.control("POST", path, content=pack(page("x"))).status_code == 400


def test_builds_tell_their_limits_and_reference(api: Node) -> None:
    manifest = {"assets": {"directory": "public"}, "limits": {"wall_ms": 1500, "max_concurrent_requests": 7}}
    files = {"brrrd.json": json.dumps(manifest), **page("x")}
    api.deploy(files, "limited", env_ref="rev-9")
    api.deploy(files, "limited", max_concurrent_requests=9)
    newest, oldest = api.control("GET", "/v1/projects/default/apps/limited/builds").json()["builds"]
    assert (newest["active"], oldest["active"], oldest["env_ref"]) == (True, False, "rev-9")
    assert oldest["limits"]["wall_ms"] == 1500
    assert [build["limits"]["max_concurrent_requests"] for build in (newest, oldest)] == [9, 7]


def test_deploys_of_one_app_at_the_same_time_all_succeed(api: Node) -> None:
    api.ensure_app("contended")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: api.deploy(page(str(number)), "contended"), range(6)))
    assert len({answer["build_id"] for answer in answers}) == 6
    builds = api.control("GET", "/v1/projects/default/apps/contended/builds").json()["builds"]
    [active] = [build["build_id"] for build in builds if build["active"]]
    number = [answer["build_id"] for answer in answers].index(active)
    assert {api.get("contended").text for _ in range(8)} == {str(number)}


def test_the_same_package_in_two_apps_survives_the_deletion_of_one(api: Node) -> None:
    for app in ("twin-one", "twin-two"):
        api.deploy(page("shared content"), app)
    deleted = api.control("DELETE", "/v1/projects/default/apps/twin-one").json()
    assert (deleted["routing"], deleted["artifacts"]) == (1, 0)
    assert api.get("twin-two").text == "shared content"
    assert api.control("DELETE", "/v1/projects/default/apps/twin-two").json()["artifacts"] == 1


def test_domains_are_re_entrant(api: Node) -> None:
    api.deploy(page("d"), "domain-owner")
    api.ensure_app("domain-taker")
    path = "/v1/projects/default/apps/domain-owner/domains"
    first = api.control("POST", path, json={"domain": "Shop.Example.com", "dns_mode": "managed"})
    assert (first.status_code, first.json()["domain"]["status"]) == (201, "pending")
    assert api.get("shop.example.com").status_code == 404
    assert api.control("POST", path, json={"domain": "shop.example.com"}).status_code == 200
    taken = api.control("POST", path.replace("owner", "taker"), json={"domain": "shop.example.com"})
    assert taken.status_code == 409
    for _ in range(2):
        done = api.control("POST", path + "/shop.example.com/finalize")
        assert (done.status_code, done.json()["domain"]["status"]) == (200, "active")
    assert api.get("shop.example.com").text == "d"
    assert [api.control("DELETE", path + "/shop.example.com").json()["deleted"] for _ in range(2)] == [True, False]
    assert api.control("POST", path + "/shop.example.com/finalize").status_code == 404


def test_a_local_name_is_served_at_once(api: Node) -> None:
    api.deploy(page("local"), "locals")
    api.control("POST", "/v1/projects/default/apps/locals/domains", json={"domain": "*.locals.localhost"})
    assert api.get("any.locals.localhost").text == "local"


def test_a_second_create_keeps_the_database_and_shows_no_token(api: Node) -> None:
    first = api.control("POST", "/v1/projects/default/databases", json={"name": "twice"})
    again = api.control("POST", "/v1/projects/default/databases", json={"name": "twice"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["created"] is True
    assert again.json() == {
        "database_id": first.json()["database_id"],
        "database_url": first.json()["database_url"],
        "created": False,
        "database_token": None,
    }


def test_query_tokens_open_the_database_until_rotation(api: Node) -> None:
    database = api.create_database("tokens")
    api.sql(database, "create table t (n)")
    path = f"/v1/databases/{database['database_id']}"
    body = {"ttl_seconds": 60, "audience": "test", "reason": "to see"}
    token = api.control("POST", path + "/query-token", json=body).json()["query_token"]
    api.sql(database, "insert into t values (1)", token=token)
    rotated = api.control("POST", path + "/token/rotate").json()
    for dead in (token, database["database_token"]):
        with pytest.raises(AssertionError, match="401"):
            api.sql(database, "select 1", token=dead)
    assert api.sql(database, "select count(*) from t", token=rotated["database_token"])[0]["rows"][0][0]["value"] == "1"


def test_rotation_ends_transactions_that_were_begun_with_the_old_token(api: Node) -> None:
    database = api.create_database("rotated-in-use")
    begin = [{"type": "execute", "stmt": {"sql": sql}} for sql in ("create table t (n)", "begin immediate")]
    url = f"{database['database_url']}/v2/pipeline"
    headers = {"authorization": f"Bearer {database['database_token']}"}
    answer = httpx.post(url, json={"requests": begin}, headers=headers, trust_env=False)
    assert answer.status_code == 200 and answer.json()["baton"]
    token = api.control("POST", f"/v1/databases/{database['database_id']}/token/rotate").json()["database_token"]
    # Nothing else would end that transaction while this waits.
    api.sql(database, "insert into t values (1)", token=token)


@pytest.mark.parametrize(("seconds", "lives"), [(0, 1), (-5, 1), (60, 60), (3601, 3600), (10**15, 3600)])
def test_a_token_lives_1_to_3600_seconds_whatever_is_asked_for(api: Node, seconds: int, lives: int) -> None:
    database = api.create_database("lifetimes")
    path = f"/v1/databases/{database['database_id']}/query-token"
    before = time.time()
    answer = api.control("POST", path, json={"ttl_seconds": seconds})
    assert answer.status_code == 200
    expires = datetime.fromisoformat(answer.json()["expires_at"]).timestamp()
    assert before + lives - 1 <= expires <= time.time() + lives + 1
    assert api.control("POST", path, json={"ttl_seconds": "60"}).status_code == 400


def test_a_suspended_database_refuses_until_resumed(api: Node) -> None:
    database = api.create_database("paused")
    api.sql(database, "create table t (n)")
    path = f"/v1/databases/{database['database_id']}"
    assert api.control("POST", path + "/suspend").json()["database"]["status"] == "suspended"
    with pytest.raises(AssertionError, match="suspended"):
        api.sql(database, "select 1")
    said = api.control("POST", path + "/suspend", json={"reason": "unpaid"}).json()["database"]
    assert said["suspend_reason"] == "unpaid"
    with pytest.raises(AssertionError, match="The database is suspended: unpaid"):
        api.sql(database, "select 1")
    resumed = api.control("POST", path + "/resume").json()["database"]
    assert (resumed["status"], resumed["suspend_reason"]) == ("ready", None)
    api.sql(database, "insert into t values (1)")


def test_a_database_is_held_to_limits_of_its_own_also_after_a_restart(api: Node) -> None:
    database = api.create_database("bounded")
    path = f"/v1/databases/{database['database_id']}"
    fill = "insert into t values (zeroblob(100000))"
    api.sql(database, "create table t (b)", fill)
    assert api.control("GET", path).json()["database"]["limits"]["own"] == []
    answer = api.control("PUT", path + "/limits", json={"max_database_bytes": 150_000, "max_streams": 7})
    limits = answer.json()["database"]["limits"]
    assert (limits["max_database_bytes"], limits["max_streams"]) == (150_000, 7)
    assert limits["own"] == ["max_database_bytes", "max_streams"]
    assert limits["max_websockets"] == Config().max_database_websockets
    with pytest.raises(AssertionError, match="SQLITE_FULL"):
        api.sql(database, fill)
    api.stop()
    api.start()
    with pytest.raises(AssertionError, match="SQLITE_FULL"):
        api.sql(database, fill)
    assert api.control("PUT", path + "/limits", json={}).json()["database"]["limits"]["own"] == []
    api.sql(database, fill)
    entry = api.control("GET", "/v1/audit", params={"database": "bounded", "action": "database.limits"}).json()
    assert [one["detail"] for one in entry["entries"]] == [{}, {"max_database_bytes": 150_000, "max_streams": 7}]


def test_limits_of_a_database_have_the_bounds_of_the_configuration(api: Node) -> None:
    database = api.create_database("checked")
    path = f"/v1/databases/{database['database_id']}/limits"
    bounds = msgspec.json.schema(Config)["$defs"]["Config"]["properties"]
    keys = {"max_streams": "max_database_streams", "max_websockets": "max_database_websockets"}
    for name in DatabaseLimits.__struct_fields__:
        least, most = (bounds[keys.get(name, name)][end] for end in ("minimum", "maximum"))
        for value, status in ((least - 1, 400), (least, 200), (most, 200), (most + 1, 400)):
            answer = api.control("PUT", path, json={name: value})
            assert answer.status_code == status, (name, value, answer.text)
            assert status == 200 or name in answer.json()["detail"]
    assert "max_cats" in api.control("PUT", path, json={"max_cats": 1}).json()["detail"]


def test_files_of_a_deleted_database_are_gone(api: Node) -> None:
    database = api.create_database("shredded")
    api.sql(database, "create table t (n)", "insert into t values (1)")
    folder = api.data_dir / "databases"
    shown = api.control("GET", f"/v1/databases/{database['database_id']}").json()["database"]
    assert shown["storage_bytes"] > 0
    assert shown["frames"]["written"] > 0
    assert api.control("DELETE", f"/v1/databases/{database['database_id']}").status_code == 200
    assert not [path for path in folder.rglob("*") if database["database_id"] in str(path)]
    assert api.control("GET", f"/v1/databases/{database['database_id']}").status_code == 404


def test_usage_counts(api: Node) -> None:
    database = api.create_database("counted")
    api.sql(database, "create table t (n)", "insert into t values (1), (2)", "select * from t")
    path = f"/v1/databases/{database['database_id']}/usage"
    eventually(20, lambda: api.control("GET", path).json()["usage"]["queries"] >= 3)
    usage = api.control("GET", path).json()["usage"]
    assert usage["storage_bytes"] > 0
    (today,) = usage["days"]
    assert (today["queries"], today["rows_written"]) == (usage["queries"], usage["rows_written"])


def test_metrics_count_responses_by_app(api: Node) -> None:
    api.deploy(page("m"), "measured")
    for _ in range(3):
        api.get("measured")
    line = 'brrrd_responses_total{app="measured",project="default",status="2xx"} 3.0'

    def counted() -> bool:
        return line in httpx.get(api.control_url + "/metrics", trust_env=False).text

    eventually(10, counted)


def test_status_names_every_process(api: Node) -> None:
    status = api.control("GET", "/v1/status").json()
    assert status["ready"] is True
    assert [process["name"] for process in status["processes"]] == [
        "edge-0", "edge-1", "egress", "cache", "zygote", "database-0",
    ]  # fmt: skip
    assert {process["state"] for process in status["processes"]} == {"ready"}


def test_curl_uploads_with_expect_100_continue(api: Node, tmp_path: Path) -> None:
    api.ensure_app("curled")
    package = tmp_path / "package.tar.zst"
    package.write_bytes(pack({**page("curled"), "public/noise.bin": os.urandom(3_000_000)}))
    done = subprocess.run(
        [
            "curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {api.token}", "--data-binary",
            f"@{package}", f"{api.control_url}/v1/projects/default/apps/curled/deployments",
        ],
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["uploaded"] is True
    assert api.get("curled").text == "curled"


def test_old_builds_go_with_their_packages(api: Node) -> None:
    packages = api.data_dir / "packages" / "packages"
    before = set(packages.iterdir())
    for number in range(4):
        api.deploy(page(f"pruned version {number}"), "pruned")
    assert len(api.control("GET", "/v1/projects/default/apps/pruned/builds").json()["builds"]) == 2
    assert len(set(packages.iterdir()) - before) == 2


def test_a_protected_database_refuses_changes(api: Node) -> None:
    database = api.create_database("precious")
    api.stop()
    api.options = (*api.options, "--protected-databases", database["database_id"])
    api.start()
    path = f"/v1/databases/{database['database_id']}"
    for change in ("/suspend", "/resume", "/token/rotate", "/query-token"):
        assert api.control("POST", path + change).status_code == 403
    assert api.control("PUT", path + "/limits", json={}).status_code == 403
    assert api.control("DELETE", path).status_code == 403
    assert api.control("GET", path).json()["database"]["protected"] is True
    api.sql(database, "select 1")
