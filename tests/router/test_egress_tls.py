"""Outbound TLS: whose certificates are accepted, and what an app hears of the others."""

import asyncio
import ssl
from pathlib import Path

from tests.router.certificates import certificates
from tests.router.egress_peer import egress
from tests.router.scripted_server import HELLO, Handler, Server, answering, outside, serving


async def tls_answer(authority: Path | None, context: ssl.SSLContext) -> tuple[str, str, bytes]:
    async with (
        serving(answering(HELLO), tls=context) as server,
        egress(allow=[f"127.0.0.1:{server.port}"], ca_file=str(authority or "")) as running,
    ):
        answer = await (await running.host()).fetch("GET", f"https://127.0.0.1:{server.port}/")
        return answer.code, answer.detail, answer.body


async def test_tls_with_a_trusted_certificate(tmp_path: Path) -> None:
    assert await tls_answer(*certificates(tmp_path)) == ("", "", b"hello")


async def test_tls_with_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    code, detail, _ = await tls_answer(None, certificates(tmp_path)[1])
    assert code == "tls"
    assert "unable to get local issuer certificate" in detail


async def test_tls_with_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    code, detail, _ = await tls_answer(*certificates(tmp_path, days=-1))
    assert code == "tls"
    assert "expired" in detail


async def test_tls_with_another_name_is_refused(tmp_path: Path) -> None:
    code, detail, _ = await tls_answer(*certificates(tmp_path, name="127.0.0.2"))
    assert code == "tls"
    assert "mismatch" in detail


async def test_https_to_a_server_without_tls_is_a_tls_error() -> None:
    def plain(server: Server) -> Handler:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1000)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        return handle

    async with outside(plain) as (server, host, _):
        answer = await host.fetch("GET", f"https://127.0.0.1:{server.port}/")
    assert answer.code == "tls"
