"""`python -m benchmarks d1`: a worker that runs one query per request, on brrrd and on miniflare with D1.

On brrrd it uses `@libsql/client/web`, whose `fetch` reaches the database of the same node; on miniflare, which runs
workerd, the D1 binding. One edge worker, one isolate and one database worker against miniflare as it comes.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks.comparison import Report, compare, describe_machine, publish_beside
from benchmarks.databases import SCHEMA
from benchmarks.load import Measurement, Target, measure, require_wrk
from benchmarks.peers import Peer, PeerError, require_same_answers
from benchmarks.workloads import Workload
from tests.node import NODE, bundle, node_environment, npm_project
from tests.node_server import Node, free_port

MINIFLARE = "4.20260730.0"
CLIENT = {"@libsql/client": "0.18.0", "esbuild": "0.28.2"}
WARM_UP_SECONDS = 2.0
_SQL = Path(__file__).parent / "sql"
_QUERY = Workload("query", "one query per request")


@contextmanager
def brrrd() -> Iterator[Peer]:
    """The worker with its client, bundled as its author would."""
    options = ("--workers", "1", "--max-isolates", "1", "--database-workers", "1")
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "_worker.js"
        bundle(npm_project("libsql-web", CLIENT), _SQL / "libsql.js", output, "--conditions=worker,browser")
        with Node(Path(directory) / "node", *options) as node:
            database = node.create_database("benchmark")
            node.sql(database, *SCHEMA)
            node.deploy({"_worker.js": output.read_bytes()}, "query")
            variables = (f"DATABASE_URL={database['database_url']}", f"DATABASE_TOKEN={database['database_token']}")
            node.cli("apps", "env", "set", "--app", "query", *variables)
            yield Peer("brrrd", {"query": Target(node.url, ("query.localhost",))})


@contextmanager
def miniflare() -> Iterator[Peer]:
    """Raises `PeerError` if it does not start."""
    folder = npm_project("miniflare", {"miniflare": MINIFLARE})
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".mjs", prefix=".serve-", dir=folder) as script:
        # Node.js looks for the package where the script lies.
        script.write((_SQL / "miniflare.mjs").read_text())
        script.flush()
        process = subprocess.Popen(
            [str(NODE), script.name, str(port), str(_SQL / "d1.js"), json.dumps(SCHEMA)],
            cwd=folder, env=node_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise PeerError("miniflare did not start")
            yield Peer(f"miniflare {MINIFLARE}", {"query": Target(f"http://127.0.0.1:{port}", ("query.localhost",))})
        finally:
            process.terminate()
            process.wait(20)
            if process.stdout is not None:
                process.stdout.close()


def run(*, connections: Sequence[int], seconds: float, rounds: int, json_file: Path | None) -> None:
    """Measure both in turns and print rates, latencies and ratios."""
    require_wrk()
    console = Console()
    rows = []
    with ExitStack() as stack:
        with console.status("starting"):
            peers = [stack.enter_context(miniflare()), stack.enter_context(brrrd())]
        require_same_answers(peers, [_QUERY])
        targets = {peer.name: peer.targets["query"] for peer in peers}

        for target in targets.values():
            measure(target, _QUERY, connections=32, seconds=WARM_UP_SECONDS)
        for count in connections:

            def one(name: str, count: int = count) -> Measurement:
                return measure(targets[name], _QUERY, connections=count, seconds=seconds)

            with console.status(f"{count} connections"):
                rows.append(compare(list(targets), rounds, one, workload=_QUERY.title, connections=count))
    report = Report(describe_machine(), seconds, rounds, rows)
    publish_beside(console, report, list(targets), json_file=json_file, markdown_file=None)
