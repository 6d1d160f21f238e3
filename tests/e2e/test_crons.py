"""Crons on a running node, as an operator sees them."""

import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.node_server import Node, eventually

PATH = "/v1/projects/default/apps/jobs"
APP = """
export default {
  fetch: () => new Response("answered"),
  async scheduled({ cron, scheduledTime }) {
    console.log(`ran ${cron} at ${scheduledTime}`);
    if (cron === "1 0 1 1 *") throw new Error("bad run");
    if (cron === "2 0 1 1 *") await new Promise((resolve) => setTimeout(resolve, 60_000));
  },
};"""
CRONS = ["* * * * *", "1 0 1 1 *", "2 0 1 1 *"]


@pytest.fixture(scope="module")
def crons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    options = ("--workers", "1", "--database-workers", "1")
    with Node(tmp_path_factory.mktemp("crons") / "data", *options) as node:
        node.deploy({"_worker.js": APP, "brrrd.json": json.dumps({"crons": CRONS})}, "jobs")
        # Apps are started when they are asked for, so this one sleeps now.
        node.stop()
        node.start()
        yield node


def listed(node: Node) -> dict[str, Any]:
    return {cron["cron"]: cron for cron in node.control("GET", PATH + "/crons").json()["crons"]}


def fire(node: Node, cron: str) -> Any:
    return node.control("POST", PATH + "/runs", json={"cron": cron})


def test_crons_are_listed_with_their_next_run(crons: Node) -> None:
    assert list(listed(crons)) == CRONS
    assert listed(crons)["1 0 1 1 *"]["next_at"].endswith("-01-01T00:01:00.000Z")
    assert re.search(r"^1 0 1 1 \* +\S+", crons.cli("apps", "crons", "jobs").stdout, re.MULTILINE)


def test_a_sleeping_app_is_woken_to_run_a_cron_by_hand(crons: Node) -> None:
    assert crons.control("GET", PATH).json()["app"]["status"] == "idle"
    assert crons.cli("apps", "fire", "jobs", "--cron", "* * * * *").stdout.startswith("* * * * *: ok in ")
    cron = listed(crons)["* * * * *"]
    assert (cron["last_outcome"], cron["running"]) == ("ok", False)
    (noted,) = crons.control("GET", "/v1/audit?action=app.cron-run").json()["entries"]
    assert noted["detail"] == {"cron": "* * * * *"}


def test_a_run_that_fails_is_in_the_log_and_in_the_metrics(crons: Node) -> None:
    answer = fire(crons, "1 0 1 1 *").json()
    assert (answer["outcome"], answer["running"]) == ("exception", False)
    eventually(10, lambda: "Error: bad run" in crons.logged("jobs"))
    metrics = crons.control("GET", "/metrics").text
    assert 'brrrd_cron_runs_total{app="jobs",outcome="exception",project="default"} 1.0' in metrics


def test_a_second_run_is_refused_while_the_first_goes_on_and_a_death_ends_it(crons: Node) -> None:
    answers: list[Any] = []
    running = threading.Thread(target=lambda: answers.append(fire(crons, "2 0 1 1 *").json()))
    running.start()
    eventually(10, lambda: listed(crons)["2 0 1 1 *"]["running"])
    eventually(10, lambda: "ran 2 0 1 1 *" in crons.logged("jobs"))
    assert fire(crons, "2 0 1 1 *").status_code == 409
    hosts = crons.control("GET", "/v1/status").json()["hosts"]
    os.kill(next(host["pid"] for host in hosts if host["app_id"]), signal.SIGKILL)
    running.join()
    assert answers[0]["outcome"] == "died"
    eventually(10, lambda: "The run of the cron 2 0 1 1 * ended early" in crons.logged("jobs"))


def test_what_is_no_cron_of_the_app_is_refused(crons: Node) -> None:
    assert fire(crons, "3 0 1 1 *").status_code == 404
    several = crons.control("POST", PATH + "/runs", json={})
    assert (several.status_code, "several crons" in several.json()["detail"]) == (422, True)
    refused = crons.upload({"_worker.js": APP, "brrrd.json": '{"crons": ["61 * * * *"]}'}, "jobs")
    assert refused.status_code == 422
    assert "crons[0]" in refused.json()["detail"]
    refused = crons.upload({"_worker.js": "export default () => {}", "brrrd.json": '{"crons": ["* * * * *"]}'}, "jobs")
    assert refused.status_code == 422
    assert "no handler for them" in refused.json()["detail"]


def test_a_cron_runs_by_itself_once_a_minute(crons: Node) -> None:
    def runs() -> list[str]:
        # By hand it is given the present time; on its own, the beginning of the minute.
        return re.findall(r"ran \* \* \* \* \* at (\d+0000)$", crons.logged("jobs"), re.MULTILINE)

    eventually(75, runs, every=1)
    assert all(int(run) % 60_000 == 0 for run in runs())
    assert len(set(runs())) == len(runs())
