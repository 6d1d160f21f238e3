"""A node that ends TLS itself, with HTTP/2 for clients that want it."""

import asyncio
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.node_server import BRRRD, Node
from tests.router.certificates import certificates

APP = """
export default { async fetch(request, env) {
  const { pathname } = new URL(request.url);
  if (pathname === "/own") return fetch("https://secure.localhost/inner");
  if (pathname === "/sql") {
    const body = JSON.stringify({ requests: [{ type: "execute", stmt: { sql: "SELECT 40 + 2" } }] });
    const headers = { authorization: `Bearer ${env.TOKEN}` };
    const answer = await fetch(`${env.URL}/v2/pipeline`, { method: "POST", headers, body });
    return new Response((await answer.json()).results[0].response.result.rows[0][0].value);
  }
  return new Response(`${request.method} ${request.url} ${await request.text()}`);
} }"""


def test_apps_and_databases_are_served_over_https_and_http2(tmp_path: Path, start_node: Callable[..., Node]) -> None:
    authority, _ = certificates(tmp_path)
    pair = str(tmp_path / "server.pem")
    node = start_node("--workers", "1", "--server", "hypercorn", "--tls-cert", pair, "--tls-key", pair)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "worker.js").write_text(APP)
    said = node.cli("deploy", str(tmp_path / "app"), "--app", "secure").stdout
    assert f"https://secure.localhost:{node.port}/" in said
    database = node.create_database("ledger")
    assert database["database_url"].startswith(f"https://127.0.0.1:{node.port}/v1/")
    variables = [f"URL={database['database_url']}", f"TOKEN={database['database_token']}"]
    node.cli("apps", "env", "set", "--app", "secure", *variables)
    trust = ssl.create_default_context(cafile=authority)

    async def visit() -> None:
        base = f"https://127.0.0.1:{node.port}"
        async with httpx.AsyncClient(base_url=base, verify=trust, http2=True, trust_env=False, timeout=60) as client:
            host = {"host": "secure.localhost"}
            answers = await asyncio.gather(*(client.post(f"/{i}", headers=host, content=b"x" * i) for i in range(20)))
            assert {answer.http_version for answer in answers} == {"HTTP/2"}
            wanted = [f"POST https://secure.localhost/{i} {'x' * i}" for i in range(20)]
            assert [answer.text for answer in answers] == wanted
            # Without leaving the node, so without its certificate.
            assert (await client.get("/own", headers=host)).text == "GET https://secure.localhost/inner "
            assert (await client.get("/sql", headers=host)).text == "42"
            sql = {"requests": [{"type": "execute", "stmt": {"sql": "SELECT 1"}}]}
            authorization = {"authorization": f"Bearer {database['database_token']}"}
            answer = await client.post(f"{database['database_url']}/v2/pipeline", headers=authorization, json=sql)
            assert (answer.status_code, answer.http_version) == (200, "HTTP/2")

    asyncio.run(visit())


def test_a_mistake_in_the_configuration_is_refused_by_name_at_start(tmp_path: Path) -> None:
    for option, value, part in (
        ("--egress-allow", "::what::", "egress_allow: '::what::'"),
        ("--tls-cert", "/nowhere.pem", "tls_cert and tls_key must be set together"),
    ):
        command = [str(BRRRD), "serve", "--data-dir", str(tmp_path / "data"), option, value]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (refused.returncode, part in refused.stderr) == (1, True), refused.stderr
        assert not (tmp_path / "data").exists()
