"""Decoding of source maps: places found, places unknown, maps that are refused."""

import base64
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import source_maps
from runtime.source_map_reader import read_elsewhere
from runtime.source_maps import (
    Position,
    SourceMap,
    SourceMapError,
    inline_map,
    map_path,
    map_reference,
    shown_source,
)
from tests.runtime import mapped_app


def parse(document: object, path: str = "worker.js.map") -> SourceMap:
    content = document if isinstance(document, str) else json.dumps(document)
    return SourceMap.parse(content.encode(), path, time.monotonic() + 10)


def test_a_place_in_a_real_bundle_is_found() -> None:
    found = parse(mapped_app.MAP).find(*mapped_app.THROWS)
    assert found == Position("src/price.ts", 6, 15)


def test_a_place_before_and_after_every_segment_of_its_line_is_unknown_or_the_last_one() -> None:
    # One segment at column 5 of the second line, from line 1, column 1 of the source.
    made = parse({"version": 3, "sources": ["a.ts"], "mappings": ";KAAA"})
    assert made.find(2, 5) is None
    assert made.find(2, 6) == made.find(2, 600) == Position("a.ts", 1, 1)
    assert made.find(1, 6) is made.find(3, 1) is made.find(0, 0) is None


def test_a_segment_without_a_source_ends_the_one_before() -> None:
    made = parse({"version": 3, "sources": ["a.ts"], "mappings": "AAAA,K"})
    assert made.find(1, 5) == Position("a.ts", 1, 1)
    assert made.find(1, 6) is None


def test_segments_of_a_line_may_come_in_any_order() -> None:
    made = parse({"version": 3, "sources": ["a.ts"], "mappings": "UAAA,LAEA"})
    assert made.find(1, 6) == Position("a.ts", 3, 1)
    assert made.find(1, 11) == Position("a.ts", 1, 1)


def test_sections_begin_at_their_offsets_and_have_sources_of_their_own() -> None:
    first = {"version": 3, "sources": ["a.ts"], "mappings": "AAAA"}
    second = {"version": 3, "sources": ["b.ts"], "mappings": "CAAA;AACA"}
    sections = [
        {"offset": {"line": 0, "column": 0}, "map": first},
        {"offset": {"line": 2, "column": 10}, "map": second},
    ]
    made = parse({"version": 3, "sections": sections})
    assert made.find(1, 1) == Position("a.ts", 1, 1)
    assert made.find(3, 11) is None
    assert made.find(3, 12) == Position("b.ts", 1, 1)
    assert made.find(4, 1) == Position("b.ts", 2, 1)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("not json", "no source map"),
        ({"version": 2}, "version 2"),
        ({"version": 3, "mappings": 7}, "no source map"),
        ({"version": 3, "mappings": "A*AA"}, "segment 'A*AA'"),
        ({"version": 3, "mappings": "AA"}, "segment 'AA'"),
        ({"version": 3, "mappings": "AAAg"}, "segment 'AAAg'"),
        ({"version": 3, "mappings": "gggggggggA"}, "segment"),
        ({"version": 3, "mappings": "D"}, "negative"),
        ({"version": 3, "sources": ["a"], "mappings": ",".join(["AA+/////DA"] * 3)}, "out of range"),
        ({"version": 3, "mappings": ";" * (source_maps.MAX_SEGMENTS + 1)}, "segments"),
        ({"version": 3, "sources": ["a"] * (source_maps.MAX_SOURCES + 1)}, "sources"),
        ("[" * 100_000, "no source map"),
        ({"version": 3, "sections": [{"offset": {"line": 2**62, "column": 0}, "map": {"version": 3, "mappings": "A"}}]},
         "out of range"),
    ],
)  # fmt: skip
def test_a_map_that_cannot_be_used_says_why(document: object, said: str) -> None:
    with pytest.raises(SourceMapError, match=said.replace("*", r"\*")):
        parse(document)


def test_reading_ends_at_the_deadline() -> None:
    with pytest.raises(SourceMapError, match="too long"):
        SourceMap.parse(mapped_app.MAP.encode(), "a.map", time.monotonic() - 1)


@given(st.text("ABCDgh+/,;", max_size=60), st.integers(0, 4), st.integers(0, 100))
def test_any_mappings_are_decoded_or_refused(mappings: str, line: int, column: int) -> None:
    try:
        found = parse({"version": 3, "sources": ["a.ts"], "mappings": mappings}).find(line, column)
    except SourceMapError:
        return
    assert found is None or found.file == "a.ts"


@pytest.mark.parametrize(
    ("source", "root", "path", "shown"),
    [
        ("../src/a.ts", "", "worker.js.map", "src/a.ts"),
        ("../../../src/a.ts", "", "server/chunks/b.js.map", "src/a.ts"),
        ("a.ts", "lib/", "server/b.js.map", "server/lib/a.ts"),
        ("./a.ts", "webpack://shop/", "b.js.map", "webpack://shop/./a.ts"),
        ("/home/me/a.ts", "", "b.js.map", "/home/me/a.ts"),
        ("a\n\x1b[31m.ts", "", "b.js.map", "a??[31m.ts"),
        (None, "", "b.js.map", "(unknown source)"),
    ],
)
def test_sources_are_shown_as_people_know_them(source: str | None, root: str, path: str, shown: str) -> None:
    assert shown_source(source, root, path) == shown


@pytest.mark.parametrize(
    ("built", "url"),
    [
        (b"x;\n//# sourceMappingURL=a.js.map", "a.js.map"),
        (b"x; //# sourceMappingURL=a.js.map\r\n\r\n", "a.js.map"),
        (b"//@ sourceMappingURL=a.js.map\n// end\n", "a.js.map"),
        (b"//# sourceMappingURL=old.map\n//# sourceMappingURL=new.map\n", "new.map"),
        (b"x = '//# sourceMappingURL=';\n", None),
        (b"//# sourceMappingURL=a.js.map\nx;\n", None),
        (b"sourceMappingURL=a", None),
        (b"/" * 100_000, None),
    ],
)
def test_the_comment_that_names_the_map(built: bytes, url: str | None) -> None:
    assert map_reference(built) == url


def test_an_inline_map_is_read_from_its_data_url() -> None:
    encoded = base64.b64encode(mapped_app.MAP.encode()).decode()
    built = f"x;\n//# sourceMappingURL=data:application/json;charset=utf-8;base64,{encoded}\n"
    url = map_reference(built.encode())
    assert url is not None
    assert inline_map(url) == mapped_app.MAP.encode()
    assert inline_map("data:application/json,%7B%7D") == b"{}"
    assert inline_map("a.js.map") is None
    with pytest.raises(SourceMapError):
        inline_map("data:application/json;base64,\xff")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (None, "server/a.js.map"),
        ("b.map?v=1", "server/b.map"),
        ("../maps/a%20b.map", "maps/a b.map"),
        ("https://example.com/a.map", "server/a.js.map"),
        ("/a.map", "server/a.js.map"),
        ("../../../etc/passwd", "../../etc/passwd"),  # no path in a package, as the caller finds
    ],
)
def test_where_a_map_is_looked_for(url: str | None, path: str) -> None:
    assert map_path("server/a.js", url) == path


async def test_a_process_of_its_own_reads_the_same() -> None:
    made = await read_elsewhere(mapped_app.MAP.encode(), "worker.js.map", 8)
    assert made.find(*mapped_app.THROWS) == Position("src/price.ts", 6, 15)
    assert repr(made) == repr(parse(mapped_app.MAP))
    with pytest.raises(SourceMapError, match="version 2"):
        await read_elsewhere(b'{"version": 2}', "worker.js.map", 8)
    with pytest.raises(SourceMapError, match="too long"):
        await read_elsewhere(mapped_app.MAP.encode(), "worker.js.map", -1)


def test_the_fixture_is_what_it_says(tmp_path: Path) -> None:
    assert json.loads(mapped_app.MAP)["version"] == 3
    assert mapped_app.BUNDLE.splitlines()[0][mapped_app.THROWS[1] - 1 :].startswith("cost")
