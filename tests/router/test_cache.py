"""The cache process itself, started as the supervisor does, with hosts that are not always well-behaved."""

import asyncio
import os
import resource
import signal
from pathlib import Path

import pytest

from isolates.wire import WINDOW_BYTES, Type, encode
from router.cache.index import connect
from router.messages import Drain, EmptyCache
from tests.router.cache_peer import App, body, cache

MB = 1 << 20
A, B = "http://example.com/a", "http://example.com/b"


async def stored(app: App, url: str = A, data: bytes = b"body") -> None:
    answer = await app.put(url, data)
    assert (answer.status, answer.code) == (200, "")


async def test_apps_see_nothing_of_each_other(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        one, two = await running.app("app-1"), await running.app("app-2")
        await stored(one)
        assert (await two.match(A)).code == "miss"
        [record] = [(await one.ask("list", "-", "", "")).body]
        entry_id = int.from_bytes(record[4:12], "little")
        assert (await one.ask("get", "-", "", str(entry_id))).body == b"body"
        # Ids are in nobody's hands but an app's own.
        assert (await two.ask("get", "-", "", str(entry_id))).code == "miss"
        assert (await two.ask("delete", "-", A, "")).status == 404
        assert (await two.ask("names", "", "", "")).body == b""
        assert (await one.match(A)).body == b"body"


async def test_hosts_of_one_app_share_everything(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        one, other = await running.app(), await running.app()
        await one.ask("open", "=shared", "", "")
        await one.put(A, b"body", cache="=shared")
        assert (await other.match(A, "=shared")).body == b"body"
        assert (await other.ask("names", "", "", "")).body == b"=shared"


@pytest.mark.parametrize("how", ["drained", "killed"])
async def test_what_was_answered_survives_the_process(tmp_path: Path, how: str) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        await stored(app)
        assert (await app.put_large(B, MB)).status == 200
        if how == "drained":
            running.channel.send(Drain(grace_ms=1000))
            assert await asyncio.to_thread(running.process.wait) == 0
        else:
            running.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(running.process.wait)
    async with cache(tmp_path) as running:
        app = await running.app()
        assert (await app.match(A)).body == b"body"
        assert (await app.match(B)).body == body(MB)
        await running.until("app-1", entries=2)


async def test_a_body_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        await stored(app)
        begun = [app.start_put(url, bytes(1000), end=False) for url in (A, B)]
        for put in begun:
            put.send(bytes(60_000))
            put.send(bytes(60_000))
        await running.eventually(lambda: bool(running.files()))
        assert (await app.match(A)).body == b"body"
        assert (await app.match(B)).code == "miss"
        begun[0].cancel()
        app.host.close()
        await running.eventually(lambda: not running.files())
        again = await running.app()
        assert (await again.match(A)).body == b"body"


async def test_what_a_killed_process_left_behind_is_swept(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        await app.put_large(A, MB)
        [kept] = running.files()
    stray = tmp_path / "cache" / "bodies" / "stray"
    stray.write_bytes(bytes(1000))
    os.utime(stray, (1, 1))
    async with cache(tmp_path) as running:
        await running.eventually(lambda: running.files() == [kept])
        assert (await (await running.app()).match(A)).body == body(MB)


async def test_an_index_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        await stored(await running.app())
    (tmp_path / "cache" / "index.db").write_bytes(b"not a database" * 1000)
    (tmp_path / "cache" / "index.db-wal").unlink(missing_ok=True)
    async with cache(tmp_path) as running:
        app = await running.app()
        assert (await app.match(A)).code == "miss"
        await stored(app)


async def test_apps_that_are_no_more_lose_what_they_stored(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        await (await running.app("app-1")).put_large(A, MB)
        await stored(await running.app("app-2"))
    async with cache(tmp_path, apps=["app-2"]) as running:
        await running.eventually(lambda: not running.files())
        assert (await (await running.app("app-1")).match(A)).code == "miss"
        assert (await (await running.app("app-2")).match(A)).body == b"body"


async def test_emptying_removes_everything_and_says_how_much(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app, other = await running.app("app-1"), await running.app("app-2")
        await app.put_large(A, MB)
        await asyncio.gather(*(app.put(f"{B}/{n}", b"x", cache="=named") for n in range(700)))
        await stored(other)
        running.channel.send(EmptyCache("app-1", 7))
        async with asyncio.timeout(20):
            emptied = await running.emptied.get()
        assert (emptied.number, emptied.entries) == (7, 701)
        assert emptied.bytes > MB
        assert (await app.match(A)).code == "miss"
        assert (await app.ask("names", "", "", "")).body == b""
        assert not running.files()
        assert (await other.match(A)).body == b"body"
        await stored(app)
        assert (await app.match(A)).body == b"body"


async def test_a_deleted_app_stores_nothing_any_more(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        await stored(app)
        running.channel.send(EmptyCache("app-1", 1, for_good=True))
        async with asyncio.timeout(20):
            await running.emptied.get()
        assert (await app.put(A, b"late")).code == "gone"
        assert (await app.match(A)).code == "miss"


# Bounds


async def test_an_app_over_its_limit_loses_what_it_used_least(tmp_path: Path) -> None:
    async with cache(tmp_path, app_bytes=2 * MB, entry_bytes=MB) as running:
        app = await running.app()
        for n in range(40):
            await stored(app, f"{A}/{n}", bytes(100_000))
        await running.eventually(lambda: (stats := running.stats.get("app-1")) is not None and stats.evicted >= 20)
        assert running.stats["app-1"].bytes <= 2 * MB
        assert running.stats["app-1"].evicted == 40 - running.stats["app-1"].entries
        assert (await app.match(f"{A}/39")).status == 200
        assert (await app.match(f"{A}/0")).code == "miss"


async def test_limits_that_were_lowered_hold_from_the_start(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        for n in range(5):
            await app.put_large(f"{A}/{n}", MB)
    async with cache(tmp_path, app_bytes=2 * MB) as running:
        await running.eventually(lambda: len(running.files()) == 1)


async def test_a_flood_of_one_app_leaves_what_another_has_stored(tmp_path: Path) -> None:
    async with cache(tmp_path, app_bytes=8 * MB, total_bytes=4 * MB, entry_bytes=MB) as running:
        flooding, quiet = await running.app("app-1"), await running.app("app-2")
        for n in range(10):
            await stored(quiet, f"{A}/{n}", bytes(50_000))
        for n in range(80):
            await stored(flooding, f"{A}/{n}", bytes(100_000))
        await running.eventually(lambda: (stats := running.stats.get("app-1")) is not None and stats.evicted >= 40)
        for n in range(10):
            assert (await quiet.match(f"{A}/{n}")).status == 200


async def test_bodies_under_way_are_within_the_limits_too(tmp_path: Path) -> None:
    async with cache(tmp_path, app_bytes=3 * MB, entry_bytes=2 * MB) as running:
        app = await running.app()
        answer = await app.put_large(A, 2 * MB + 1)
        assert (answer.code, "cache_entry_mb = 2" in answer.detail) == ("quota", True)
        answers = await asyncio.gather(*(app.put_large(f"{A}/{n}", 2 * MB - 1) for n in range(3)))
        assert "quota" in {answer.code for answer in answers}
        assert (await app.put_large(A, MB)).status == 200
        await running.eventually(lambda: sum(file.stat().st_size for file in running.files()) <= 3 * MB)


async def test_variants_of_one_url_are_bounded(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        for n in range(100):
            await app.put(A, b"%d" % n, request=[("x-key", str(n))], response=[("vary", "X-Key")])
        await running.until("app-1", entries=64)
        assert (await app.match(A, headers=[("x-key", "99")])).body == b"99"
        assert (await app.match(A, headers=[("x-key", "0")])).code == "miss"


async def test_more_than_the_window_of_a_body_is_refused(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        put = app.start_put(A, end=False)
        for _ in range(400):
            put.send(bytes(60_000))
        answer = await app.host.result(put)
        assert answer.code == "protocol"
        assert (await app.match(A)).code == "miss"


async def test_a_reader_that_stops_reading_holds_nobody_up(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        await app.put_large(A, 4 * MB)
        held = app.call("match", "-", A, "", window=False)
        async with asyncio.timeout(10):
            while len(held.answer.body) < WINDOW_BYTES:
                held.changed.clear()
                await held.changed.wait()
        assert (await app.match(A)).body == body(4 * MB)
        # What is being read stays readable when it is replaced.
        await stored(app)
        held.grant(4 * MB)
        assert (await app.host.result(held)).body == body(4 * MB)
        assert (await app.match(A)).body == b"body"
        await running.eventually(lambda: not running.files())


MALFORMED = [
    b"",
    b"match",
    b"nonsense\n-\nhttp://a/\n",
    b"put\n-\nhttp://a/\n9\nx\ny",
    b"put\n-\nhttp://a/\n0\nabc\n\n\n",
    b"put\nbare\nhttp://a/\n0\n200\n\n\n",
    b"put\n-\n\n0\n200\n\n\n",
    b"get\n-\n\n-1",
    b"match\n-\nhttp://a/\n\nodd",
    b"open\n" + b"=" * 2000 + b"\n\n",
    b"match\n-\nhttp://a/" + b"a" * 20_000 + b"\n",
]


async def test_malformed_calls_are_refused_and_the_next_one_answered(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        for head in MALFORMED:
            assert (await app.host.result(app.host.open(head))).code in ("protocol", "quota"), head
        await stored(app)


async def test_a_host_without_a_ticket_is_not_listened_to(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        app.host.write(encode(0, Type.IDENTIFY, data=b"another"))
        async with asyncio.timeout(10):
            await app.host.closed.wait()
        reader, writer = await asyncio.open_unix_connection(running.path)
        writer.write(encode(1, Type.REQUEST, head=b"names\n\n\n"))
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_a_flood_of_calls_gives_others_their_turn(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        flooding, quiet = await running.app("app-1"), await running.app("app-2")
        await stored(quiet)
        flood = [flooding.call("match", "-", f"{A}/{n}", "") for n in range(20_000)]
        answers = 0
        while not flood[-1].done.is_set():
            assert (await quiet.match(A)).body == b"body"
            answers += 1
        # Hundreds; without turns it would be one for each piece that the process reads of the flood, of thousands.
        assert answers > 20
        assert {(await flooding.host.result(call)).code for call in flood} == {"miss"}


async def test_answers_that_nobody_reads_are_not_piled_up(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app, other = await running.app(), await running.app("app-2")
        await stored(app, A, bytes(60_000))
        await app.put_large(B, MB)
        before = _memory(running.process.pid)
        app.host.stop_reading()
        calls = [app.call("match", "-", url, "") for url in (A, B) for _ in range(1500)]
        for _ in range(50):
            assert (await other.match(A)).code == "miss"
        assert _memory(running.process.pid) - before < 64 * MB
        app.host.read_on()
        assert (await app.host.result(calls[0])).body == bytes(60_000)
        assert {len((await app.host.result(call)).body) for call in calls[:1500]} == {60_000}


def _memory(pid: int) -> int:
    """Bytes of a process's memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_entries_expire_and_go(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        await app.put(A, b"body", response=[("cache-control", "max-age=1")])
        async with asyncio.timeout(10):
            while (await app.match(A)).code != "miss":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (await app.ask("list", "-", "", "")).body == b""


async def test_a_file_that_is_gone_is_a_miss(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        await app.put_large(A, MB)
        running.files()[0].unlink()
        assert (await app.match(A)).code == "miss"
        await running.until("app-1", entries=0)


async def test_a_full_disk_is_an_error_and_no_more(tmp_path: Path) -> None:
    async with cache(tmp_path) as running:
        app = await running.app()
        await stored(app)
        _, hard = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        # As if there were no room: no file may grow beyond this.
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (300_000, hard))
        assert (await app.put_large(B, MB)).code == "storage"
        codes = {(await app.put(f"{B}/{n}", bytes(60_000))).code for n in range(20)}
        assert "storage" in codes
        assert codes <= {"", "storage"}
        assert (await app.match(A)).body == b"body"
        assert (await app.match(B)).code == "miss"
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert (await app.put_large(B, MB)).status == 200
        await stored(app, f"{B}/again")
        assert (await app.match(B)).body == body(MB)
        assert (await app.match(f"{B}/again")).body == b"body"


async def test_nothing_is_stored_where_the_operator_allows_nothing(tmp_path: Path) -> None:
    async with cache(tmp_path, app_bytes=0) as running:
        app = await running.app()
        assert (await app.put(A, b"body")).status == 200
        assert (await app.put_large(B, MB)).status == 200
        assert (await app.match(A)).code == "miss"


def test_the_index_has_what_its_queries_need(tmp_path: Path) -> None:
    """No query of a call walks through all entries of an app or of the node."""
    connection = connect(tmp_path / "index.db")
    for query in (
        "SELECT id FROM entries e WHERE e.cache = 1 AND e.key = 2 AND e.id > 3 ORDER BY e.id",
        "SELECT id FROM entries e WHERE e.cache = 1 AND e.bare = 2 AND e.id > 3 ORDER BY e.id",
        "SELECT id FROM entries e WHERE e.cache = 1 AND e.id > 3 ORDER BY e.id",
        "SELECT id FROM entries WHERE app = 'a' ORDER BY used LIMIT 5",
        "SELECT id FROM entries WHERE expires <= 1 LIMIT 5",
        "SELECT id FROM caches WHERE app = 'a' AND gone = 0 AND name = x'2d'",
    ):
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "SCAN" not in plan, (query, plan)
        assert "TEMP B-TREE" not in plan, (query, plan)
    connection.close()
