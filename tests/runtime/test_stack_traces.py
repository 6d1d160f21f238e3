"""Lines of apps on their way to the logs: mapped, in order, bounded, whatever the text names."""

import asyncio
from pathlib import Path

import pytest

from isolates.messages import Log
from runtime.source_maps import SourceMap
from runtime.telemetry import stack_traces
from runtime.telemetry.stack_traces import Maps, StackTraces
from tests.runtime import mapped_app

LINE, COLUMN = mapped_app.THROWS
TRACE = f"TypeError: no\n    at r (file:///worker.js:{LINE}:{COLUMN})\n    at async i (node:internal)"


class Written:
    """What came out, and a way to wait for it."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._grew = asyncio.Event()

    def __call__(self, app_id: str, build_id: str, line: Log) -> None:
        self.messages.append(line.message)
        self._grew.set()

    async def until(self, count: int) -> list[str]:
        while len(self.messages) < count:
            self._grew.clear()
            await asyncio.wait_for(self._grew.wait(), 20)
        return self.messages


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "worker.js").write_text(mapped_app.BUNDLE)
    (folder / "worker.js.map").write_text(mapped_app.MAP)
    return folder


def log(text: str) -> Log:
    return Log(time=1.0, level="error", request_id="r", message=text)


async def test_a_trace_is_told_in_its_sources(build: Path) -> None:
    written = Written()
    traces = StackTraces(written)
    traces.line("app", "bld", str(build), log(TRACE))
    assert await written.until(1) == [TRACE.replace(f"file:///worker.js:{LINE}:{COLUMN}", mapped_app.SOURCE)]
    traces.line("app", "bld", str(build), log(TRACE))
    assert len(written.messages) == 2, "a map that is known needs no waiting"


async def test_a_large_map_is_read_in_a_process_of_its_own(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = mapped_app.MAP.replace("null, null", f'"{"x" * stack_traces.SMALL_BYTES}", null')
    (build / "worker.js.map").write_text(large)
    monkeypatch.setattr(SourceMap, "parse", None)
    written = Written()
    StackTraces(written).line("app", "bld", str(build), log(TRACE))
    assert mapped_app.SOURCE in (await written.until(1))[0]


async def test_lines_keep_their_order_while_a_map_is_read(build: Path) -> None:
    written = Written()
    traces = StackTraces(written)
    for text in ("first", TRACE, "second", TRACE, "third"):
        traces.line("app", "bld", str(build), log(text))
    traces.line("other", "bld", str(build), log("of another app"))
    assert written.messages == ["first", "of another app"]
    messages = [text.partition("\n")[0] for text in await written.until(6)]
    assert messages == ["first", "of another app", "TypeError: no", "second", "TypeError: no", "third"]


async def test_what_waits_at_the_end_is_written_as_it_is(build: Path) -> None:
    written = Written()
    traces = StackTraces(written)
    traces.line("app", "bld", str(build), log(TRACE))
    traces.line("app", "bld", str(build), log("after"))
    traces.close()
    assert written.messages == [TRACE, "after"]
    await asyncio.sleep(0)


async def test_too_many_waiting_lines_are_written_as_they_are(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_traces, "LINES_WAITING", 3)
    written = Written()
    traces = StackTraces(written)
    for number in range(5):
        traces.line("app", "bld", str(build), log(f"{number} {TRACE}"))
    assert [text[0] for text in await written.until(5)] == list("01234")


async def test_a_map_that_cannot_be_used_is_said_once(build: Path) -> None:
    (build / "worker.js.map").write_text("{}")
    written = Written()
    traces = StackTraces(written)
    for _ in range(2):
        traces.line("app", "bld", str(build), log(TRACE))
    warning, *lines = await written.until(3)
    assert warning.startswith("The source map of worker.js cannot be used:")
    assert lines == [TRACE, TRACE]


@pytest.mark.parametrize(
    "name",
    ["../secret.js", "%2e%2e/secret.js", "..%2fsecret.js", "/etc/passwd", "missing.js", "x" * 5000, "a\x00b", "%ff"],
)
async def test_nothing_outside_the_package_is_read(build: Path, name: str) -> None:
    (build.parent / "secret.js").write_text(mapped_app.BUNDLE)
    (build.parent / "secret.js.map").write_text(mapped_app.MAP)
    (build.parent / "worker.js.map").write_text(mapped_app.MAP)
    written = Written()
    traces = StackTraces(written)
    text = f"at r (file:///{name}:{LINE}:{COLUMN})"
    traces.line("app", "bld", str(build), log(text))
    assert await written.until(1) == [text]


async def test_a_comment_that_leads_out_of_the_package_is_not_followed(build: Path) -> None:
    (build.parent / "secret.map").write_text(mapped_app.MAP)
    (build / "worker.js").write_text(mapped_app.BUNDLE.replace("worker.js.map", "../secret.map"))
    traces = StackTraces(Written())
    assert await traces.place("app", str(build), "worker.js", LINE, COLUMN) is None


async def test_the_place_of_a_refused_build(build: Path) -> None:
    traces = StackTraces(Written())
    found = await traces.place("app", str(build), "worker.js", LINE, COLUMN)
    assert found is not None
    assert ":".join(map(str, found)) == mapped_app.SOURCE
    assert await traces.place("app", str(build), "", 0, 0) is None
    assert await traces.place("app", str(build), "other.js", 1, 1) is None


async def test_the_least_recently_used_maps_go_first(build: Path) -> None:
    for name in ("a.js", "b.js", "c.js"):
        (build / name).write_text("x")
        (build / f"{name}.map").write_text(mapped_app.MAP)
    maps = Maps(cache_bytes=3500)
    for name in ("a.js", "b.js"):
        await maps.read(str(build), name)
    assert maps.find(str(build), "a.js", LINE, COLUMN) is not None
    await maps.read(str(build), "c.js")
    assert [maps.knows(str(build), name) for name in ("a.js", "b.js", "c.js")] == [True, False, True]


async def test_an_app_that_read_for_long_rests(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_traces, "REST_FREE_SECONDS", 0.0)
    monkeypatch.setattr(stack_traces, "REST_FACTOR", 1e6)
    (build / "other.js").write_text(mapped_app.BUNDLE)
    written = Written()
    traces = StackTraces(written)
    traces.line("app", "bld", str(build), log(TRACE))
    await written.until(1)
    another = TRACE.replace("worker.js", "other.js")
    traces.line("app", "bld", str(build), log(another))
    assert written.messages[1:] == [another]
