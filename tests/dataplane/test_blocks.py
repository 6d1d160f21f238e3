"""Long answers: made of blocks that are not copied until they leave, and the same bytes as if they were one."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from dataplane import json_answers, protobuf_answers, wire
from dataplane import protobuf as pb
from dataplane.blocks import Blocks, Body, joined
from dataplane.formats import JSON, PROTOBUF, Format
from dataplane.statement import Column
from tests.dataplane.plane import Plane, execute

ROWS = 20_000
"""Of a long result, some megabytes."""
AT_ONCE = 170
COUNTS = {"affected_row_count": 0, "last_insert_rowid": "7", "rows_read": 1, "rows_written": 0}
FORMATS = pytest.mark.parametrize("form", [JSON, PROTOBUF], ids=["json", "protobuf"])


def whole(body: Body) -> bytes:
    """Return what leaves of an answer, without the frames."""
    frames = wire.Decoder().feed(b"".join(wire.encode_answer(1, body, 200)))
    assert wire.answer_bytes(frames[0]) == len(body) == sum(len(frame.data) for frame in frames)
    return b"".join(frame.data for frame in frames)


def read_rows(form: Format, rows: int) -> list[tuple[Any, ...]]:
    """Return rows as they are read from the engine."""
    return [tuple(form.form.of(value) for value in (row, "some \0 text", b"\0\xff")) for row in range(rows)]


def result(form: Format, rows: int) -> dict[str, Any]:
    """Return a StmtResult as `dataplane.execution` makes it."""
    read = read_rows(form, rows)
    blocks = [form.block(read[start : start + AT_ONCE]) for start in range(0, rows, AT_ONCE)]
    columns = [Column(name, None) for name in "abc"]
    return {"cols": columns, "rows": form.result_rows(blocks), **COUNTS, "query_duration_ms": 1.5}


def response(kind: str, value: Any) -> dict[str, Any]:
    return {"type": "ok", "response": {"type": kind, "result": value}}


def batch(form: Format, steps: int, packed: int, rows: int) -> dict[str, Any]:
    """Return a BatchResult whose first steps are packed."""
    results = [None if step % 3 == 1 else result(form, rows if step % 3 else 1) for step in range(steps)]
    errors = [None if done else {"message": "no", "code": "NO"} for done in results]
    first, its_errors = form.pack_steps(0, results[:packed], errors[:packed]) if packed else (None, None)
    return {
        "step_results": [*([first] if packed else []), *results[packed:]],
        "step_errors": [*([its_errors] if packed else []), *errors[packed:]],
        "replication_index": None,
    }


@contextmanager
def most_memory() -> Iterator[Callable[[], int]]:
    """Return how many bytes were taken at most, beyond those that were."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@FORMATS
def test_a_long_answer_is_not_copied_as_a_whole(form: Format) -> None:
    long = result(form, ROWS)
    results = [response("execute", long), response("batch", batch(form, 6, 0, ROWS))]
    with most_memory() as most:
        packed = form.pack(results)
        frames = wire.encode_answer(1, form.pipeline("baton", [packed, *results]), 200)
        message = form.server_message({"type": "response_ok", "request_id": 1, "response": results[0]["response"]})
        next(iter(frames))
        taken = most()
    assert len(message) > len(long["rows"]) > 500_000
    assert taken < len(long["rows"]) / 2


@FORMATS
@pytest.mark.parametrize("rows", [0, 1, AT_ONCE, AT_ONCE + 1, 1000, ROWS])
def test_rows_are_the_same_in_blocks(form: Format, rows: int) -> None:
    made = result(form, rows)["rows"]
    at_once = form.block(read_rows(form, rows))
    if isinstance(made, msgspec.Raw):
        assert bytes(made) == at_once
    else:
        assert whole(made) == at_once


@FORMATS
@pytest.mark.parametrize("packed", [1, 3, 7])
@pytest.mark.parametrize("rows", [1, 1000])
def test_packed_results_are_the_same_as_others(form: Format, packed: int, rows: int) -> None:
    def answer(packed: int) -> bytes:
        results = [response("execute", result(form, rows)), response("batch", batch(form, 7, packed, rows))]
        results += [
            {"type": "error", "error": {"message": "no", "code": "NO"}},
            {"type": "ok", "response": {"type": "close"}},
        ]
        return whole(form.pipeline("b", [form.pack(results), *results] if packed else results * 2))

    assert answer(packed) == answer(0)


def test_json_in_blocks_is_that_of_the_document() -> None:
    long = result(JSON, ROWS)
    document = [{"a": long, "b": [long, "\0"]}, long]
    plain = [{"a": long | {"rows": [1]}, "b": [long | {"rows": [1]}, "\0"]}, long | {"rows": [1]}]
    expected = whole(json_answers.encode(plain)).replace(b'"rows":[1]', b'"rows":' + whole(long["rows"]))
    assert whole(json_answers.encode(document)) == expected


def test_protobuf_in_blocks_has_its_lengths() -> None:
    long = result(PROTOBUF, ROWS)
    body = whole(protobuf_answers.encode_pipeline(None, [response("execute", long)]))
    for field in (3, 1, 2, 1):  # result, ok, execute, result
        ((number, value),) = pb.fields(body)
        assert number == field
        body = pb.to_bytes(value)
    assert [number for number, _ in pb.fields(body)].count(2) == ROWS


def test_a_body_in_pieces_has_a_frame_even_if_it_is_empty() -> None:
    for pieces in ([], [b"", b""], [b"a", b"b"]):
        (frame,) = wire.encode_body(1, wire.Type.CALL, Blocks(pieces), flags=wire.END)
        assert frame == wire.encode(1, wire.Type.CALL, flags=wire.END, data=b"".join(pieces))


def test_frames_are_the_same_for_bytes_and_for_blocks_of_any_size() -> None:
    body = bytes(range(256)) * 1000
    expected = list(wire.encode_body(1, wire.Type.ANSWER, body, flags=wire.END, code=200, head=b"head"))
    assert [len(frame) for frame in expected[:-1]] == [wire.HEADER_BYTES + wire.MAX_DATA_BYTES + n for n in (4, 0, 0)]
    for size in (1000, wire.MAX_DATA_BYTES, 200_000, len(body)):
        blocks = Blocks([body[start : start + size] for start in range(0, len(body), size)])
        frames = wire.encode_body(1, wire.Type.ANSWER, joined([b"", blocks]), flags=wire.END, code=200, head=b"head")
        assert list(frames) == expected


async def test_a_long_answer_of_many_results_is_whole(plane: Plane) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"
    requests = [execute(numbers.format(count)) for count in (3000, 1, 700, 512, 513)] * 30
    answer = await plane.requests(*requests, {"type": "close"})
    rows = [result["response"]["result"]["rows"] for result in answer["results"][:-1]]
    assert [len(of_one) for of_one in rows] == [3000, 1, 700, 512, 513] * 30
    assert all(row == [{"type": "integer", "value": str(n)}] for of_one in rows for n, row in enumerate(of_one, 1))
