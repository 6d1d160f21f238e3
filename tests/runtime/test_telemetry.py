"""Counters over restarts, app logs and their followers."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from isolates.log_budget import SHARE_BYTES_PER_SECOND
from isolates.messages import Log
from runtime.telemetry import app_logs, log_shares
from runtime.telemetry.app_logs import AppLogs
from runtime.telemetry.log_shares import LogShares
from runtime.telemetry.reports import Reports
from runtime.telemetry.totals import Totals


def message(line: bytes) -> str:
    return msgspec.json.decode(line, type=app_logs.Line).message


def log(text: str) -> Log:
    return Log(time=1.0, level="info", request_id="r", message=text)


def test_counters_survive_the_process_that_counted() -> None:
    totals: Totals[int] = Totals()
    totals.report(0, {"app": {"requests": 5}})
    totals.report(1, {"app": {"requests": 2}, "other": {"requests": 1}})
    totals.ended(0)
    totals.report(0, {"app": {"requests": 1}})
    totals.report(0, {"app": {"requests": 3}})
    assert totals.sums() == {"app": {"requests": 10}, "other": {"requests": 1}}
    assert totals.sums(["none"]) == {"none": {}}


async def test_the_newest_lines_are_kept_over_a_restart(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    for number in range(5):
        logs.write("app-1", "bld-1", log(str(number)))
    assert [message(line) for line in logs.tail("app-1", 2)] == ["3", "4"]
    logs.close()
    again = AppLogs(tmp_path)
    assert [message(line) for line in again.tail("app-1", 3)] == ["2", "3", "4"]
    assert again.tail("app-2", 3) == []
    again.close()


async def test_files_rotate_and_are_bounded(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    text = "x" * 60_000
    for _ in range(4 * app_logs.FILE_BYTES // len(text)):
        logs.write("app-1", "bld-1", log(text))
    logs.close()
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["app-1.log", "app-1.log.1", "app-1.log.2"]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= app_logs.FILES * app_logs.FILE_BYTES
    logs.remove("app-1")
    assert list(tmp_path.iterdir()) == []


async def test_a_log_whose_file_was_taken_away_begins_anew(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    logs.write("app", "build", log("x"))
    (tmp_path / "app.log").unlink()
    for number in range(200):
        logs.write("app", "build", log(f"{number} {'y' * 60_000}"))
    assert message(logs.tail("app", 1)[0]).startswith("199 ")
    assert (tmp_path / "app.log").exists()
    logs.close()


async def test_an_over_long_message_is_cut(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    logs.write("app-1", "bld-1", log("x" * 100_000))
    assert "34464 characters cut" in message(logs.tail("app-1", 1)[0])
    logs.close()


async def test_long_lines_do_not_fill_memory(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    for number in range(100):
        logs.write("app-1", "bld-1", log(f"{number}" + "\0" * 5_000))
    kept = logs.tail("app-1", 100)
    assert message(kept[-1]).startswith("99")
    assert app_logs.BYTES_IN_MEMORY - 40_000 < sum(map(len, kept)) <= app_logs.BYTES_IN_MEMORY
    logs.close()


def test_many_floods_cost_no_other_app_its_lines() -> None:
    shares = LogShares(0.0)
    flooding = [f"app-{number}" for number in range(100)]
    kept = 0
    for tick in range(100):
        kept += sum(shares.admits(app_id, 744, tick / 100) for app_id in flooding for _ in range(10))
        assert shares.admits("quiet", 744, tick / 100)
    # What all have together, at once and in a second, and what each has of its own.
    most = 2 * log_shares.COMMON_BYTES_PER_SECOND + 100 * (log_shares.OWN_BYTES + SHARE_BYTES_PER_SECOND)
    assert 0.9 * most < kept * 1000 <= most
    dropped = shares.take_dropped()
    assert (kept + sum(dropped.values()), "quiet" in dropped) == (100_000, False)
    assert shares.take_dropped() == {}


async def test_lines_that_are_too_many_on_the_node_are_counted_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shares, "OWN_BYTES", 10_000)
    monkeypatch.setattr(log_shares, "COMMON_BYTES_PER_SECOND", 1)
    logs = AppLogs(tmp_path)
    reports = Reports(logs)
    kept = [reports.app_log("app-1", "bld-1", str(tmp_path), log("x" * 744)) for _ in range(20)]
    assert kept == [True] * 10 + [False] * 10
    reports.close()
    lines = [message(line) for line in logs.tail("app-1", 100)]
    assert len(lines) == 11
    assert lines[-1] == "10 log lines were dropped: the node's apps log more than it takes (limit log_volume)"
    assert list(reports.limits()) == [("app-1", "log_volume", 10)]
    logs.close()


async def test_a_follower_gets_old_and_new_lines(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    logs.write("app-1", "bld-1", log("old"))
    lines = logs.follow("app-1", 10)
    assert message(await anext(lines)) == "old"
    following = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    logs.write("app-1", "bld-1", log("new"))
    assert message(await following) == "new"
    await lines.aclose()  # type: ignore[attr-defined]
    logs.close()


async def test_a_slow_follower_loses_lines_and_is_told(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    lines = logs.follow("app-1", 0)
    first = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    for number in range(app_logs.FOLLOWER_LINES + 10):
        logs.write("app-1", "bld-1", log(str(number)))
    await first
    rest = [message(await anext(lines)) for _ in range(app_logs.FOLLOWER_LINES)]
    assert rest[-1] == "10 lines were left out: the reader is too slow"
    await lines.aclose()  # type: ignore[attr-defined]
    logs.close()


async def test_a_deleted_app_leaves_no_file_and_no_follower(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    logs.write("app-1", "bld-1", log("before"))
    following = logs.follow("app-1", 10)
    assert message(await anext(following)) == "before"
    logs.remove("app-1")
    logs.write("app-1", "bld-1", log("a request that was in flight"))
    assert [line async for line in following] == []
    assert list(tmp_path.iterdir()) == []
    logs.close()


async def test_followers_end_with_the_lines_they_have_when_the_node_stops(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path)
    logs.write("app-1", "bld-1", log("before"))
    following = logs.follow("app-1", 10)
    read = [await anext(following)]
    logs.write("app-1", "bld-1", log("after"))
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    logs.end_following()
    read.append(await waiting)
    assert [message(line) for line in read] == ["before", "after"]
    assert [line async for line in following] == []
    logs.close()
