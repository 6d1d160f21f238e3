"""Large bodies: decoded in slices, to the same end as small ones."""

import gc
import json
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import pytest

from dataplane import hrana, leftovers, paced, protobuf_requests, wire
from dataplane import protobuf as pb
from dataplane.decoding import LARGE_BYTES, Decoding
from dataplane.protobuf import ProtobufError
from dataplane.values import from_wire
from tests.dataplane.caller import SMALL, Caller
from tests.dataplane.plane import MAIN, OTHER, Plane, execute

CLOSE = {"type": "close"}
PADDING = {"padding": "x" * LARGE_BYTES}
"""A field that nobody knows, by which a body is large."""
STEPS = 100_000
"""Of a batch that takes many slices."""


def batch(*steps: Any) -> dict[str, Any]:
    return {"type": "batch", "batch": {"steps": list(steps)}}


def step(sql: str, **more: Any) -> dict[str, Any]:
    return {"stmt": {"sql": sql}, **more}


def pipeline(steps: int) -> bytes:
    one = step("INSERT INTO t VALUES (?)", condition={"type": "not", "cond": {"type": "error", "step": 0}})
    one["stmt"]["args"] = [{"type": "integer", "value": "1"}]
    return json.dumps({"requests": [batch(step("SELECT 1"), *[one] * steps), CLOSE]}).encode()


def to_the_end(decoding: Decoding, seconds: float = 0.0) -> int:
    """Return how many slices it took."""
    slices = 1
    while not decoding.go_on(seconds):
        slices += 1
    return slices


def test_several_are_decoded_in_turns() -> None:
    bodies = [pipeline(1), pipeline(20), pipeline(3)]
    decodings = [Decoding(paced.decode_pipeline, body) for body in bodies]
    waiting = list(decodings)
    while waiting:
        waiting = [decoding for decoding in waiting if not decoding.go_on(0.0)]
    for body, decoding in zip(bodies, decodings, strict=True):
        assert msgspec.to_builtins(decoding.result()) == msgspec.to_builtins(hrana.decode_pipeline(body))


def test_it_can_rest_at_every_object() -> None:
    few, many = (to_the_end(Decoding(paced.decode_pipeline, pipeline(steps))) for steps in (10, 110))
    assert many - few == 100 * len(("step", "statement", "argument"))


def protobuf_pipeline(steps: int, last: bytes = b"") -> bytes:
    argument = pb.message(3, pb.sint(2, 1))
    one = pb.message(1, pb.message(2, pb.string(1, "INSERT INTO t VALUES (?)") + argument))
    return pb.message(2, pb.message(3, pb.message(1, one * steps + last)))


def test_protobuf_can_rest_at_every_message() -> None:
    few, many = (
        to_the_end(Decoding(protobuf_requests.decode_pipeline, protobuf_pipeline(steps))) for steps in (10, 110)
    )
    assert many - few >= 100 * len(("step", "statement", "argument"))
    with pytest.raises(ProtobufError, match="ends within"):
        broken = Decoding(protobuf_requests.decode_pipeline, protobuf_pipeline(10)[:-1])
        to_the_end(broken)
        broken.result()


def test_protobuf_can_rest_among_fields_that_nobody_knows() -> None:
    assert to_the_end(Decoding(protobuf_requests.decode_pipeline, pb.uint(15, 1) * 10_000)) > 100


def test_what_is_large_in_protobuf_is_copied_once() -> None:
    size = 8 << 20
    text, blob = pb.string(4, "t" * size), pb.message(5, b"b" * size)
    stmt = pb.string(1, "SELECT ?, ?") + pb.message(3, text) + pb.message(3, blob)
    body = pb.message(2, pb.message(3, pb.message(1, pb.message(1, pb.message(2, stmt)))))
    tracemalloc.start()
    pipeline = protobuf_requests.decode_pipeline(body)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2.5 * size
    args = pipeline.requests[0].batch.steps[0].stmt.args  # type: ignore[union-attr]
    assert [from_wire(value) for value in args or ()] == ["t" * size, b"b" * size]
    assert type(from_wire(args[1])) is bytes  # type: ignore[index]


def free_in_slices() -> int:
    """Free what is left; return how many slices it took. None of them frees much."""
    slices = 0
    while leftovers.left:
        before = sys.getallocatedblocks()
        leftovers.free(0.0)
        assert before - sys.getallocatedblocks() < 5_000
        slices += 1
    return slices


LET_GO = 20_000
"""Statements of a body that comes to nothing: four blocks of memory each, or more."""
DECODERS = [(paced.decode_pipeline, pipeline), (protobuf_requests.decode_pipeline, protobuf_pipeline)]
BROKEN = [lambda steps: pipeline(steps)[:-1], lambda steps: protobuf_pipeline(steps, pb.message(1, b"\xff"))]
FORMATS = ["json", "protobuf"]
Body: TypeAlias = Callable[[int], bytes]


@pytest.mark.parametrize(
    ("end", "decode", "body"),
    [
        *(("is not wanted", *decoder) for decoder in DECODERS),
        *(("is abandoned", *decoder) for decoder in DECODERS),
        *(("fails", decode, broken) for (decode, _), broken in zip(DECODERS, BROKEN, strict=True)),
    ],
    ids=[f"{end} {form}" for end in ("is not wanted", "is abandoned", "fails") for form in FORMATS],
)
def test_what_a_body_was_made_into_is_freed_in_slices(end: str, decode: Callable[[bytes], Any], body: Body) -> None:
    free_in_slices()
    before = sys.getallocatedblocks()
    decoding = Decoding(decode, body(LET_GO))
    if end == "is abandoned":
        threads = set(threading.enumerate())
        while sys.getallocatedblocks() < before + 3 * LET_GO:
            assert not decoding.go_on(0.001)
        decoding.abandon()
        for thread in set(threading.enumerate()) - threads:
            thread.join(10)
    else:
        to_the_end(decoding, 1.0)
        if end == "fails":
            with pytest.raises((msgspec.MsgspecError, ProtobufError)):
                decoding.result()
        else:
            del decoding  # and with it what came of it
    assert sys.getallocatedblocks() > before + 2 * LET_GO
    assert free_in_slices() >= 20
    assert sys.getallocatedblocks() < before + LET_GO


@pytest.mark.parametrize(("decode", "body"), DECODERS, ids=FORMATS)
def test_the_collector_does_not_walk_many_statements(decode: Callable[[bytes], Any], body: Body) -> None:
    gc.collect()
    before = len(gc.get_objects())
    decoded = decode(body(1000))
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert len(decoded.requests[0].batch.steps) >= 1000


@pytest.mark.parametrize("slices", [0, 5])
def test_one_that_nobody_waits_for_ends(slices: int) -> None:
    before = set(threading.enumerate())
    decoding = Decoding(paced.decode_pipeline, pipeline(100))
    for _ in range(slices):
        assert not decoding.go_on(0.0)
    decoding.abandon()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "body",
    [
        b'{"requests": [{"type": "batch", "batch": {"steps": [{"stmt": {"sql": 1}}]}}]}',
        b'{"requests": [{"type": "execute", "stmt": {"args": [{"type": "integer", "value": 1}]}}]}',
        b'{"requests": [{"type": "execute"}]}',
        b'{"requests": [{"type": "no"}]}',
        b'{"requests": [{"stmt": {}}]}',
        b'{"requests": [{"type": "close"}',
        b'{"requests": [{"type": "close"}}',
        b'{"requests": []} []',
        b'{"baton": 1, "requests": []}',
        b'{"requests": [{"type": "batch", "batch": {"steps": [{"stmt": {}, "condition": %b1%b}]}}]}'
        % (b'{"type": "not", "cond":' * 2000, b"}" * 2000),
    ],
)
def test_errors_are_those_of_small_bodies(body: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError)) as small:
        hrana.decode_pipeline(body)
    decoding = Decoding(paced.decode_pipeline, body)
    to_the_end(decoding)
    with pytest.raises(type(small.value)) as large:
        decoding.result()
    assert str(large.value) == str(small.value)


BATCH = [
    step("SELECT 1, 'x', NULL, x'01'"),
    step("SELECT nope"),
    step("SELECT 'skipped'", condition={"type": "ok", "step": 1}),
    {"stmt": {"sql": "SELECT ?, :a", "named_args": [{"name": "a", "value": {"type": "float", "value": 1.5}}]}},
    step("SELECT 'run'", condition={"type": "or", "conds": [{"type": "error", "step": 1}, {"type": "ok", "step": 2}]}),
]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("v2/pipeline", {"requests": [batch(*BATCH), {"type": "describe", "sql": "SELECT 1"}, CLOSE]}),
        ("v3/pipeline", {"requests": [execute("SELECT ?", 1), batch(*BATCH), {"type": "get_autocommit"}, CLOSE]}),
        ("v3/pipeline", {"requests": [CLOSE, CLOSE]}),
        ("v2/pipeline", {"requests": [{"type": "get_autocommit"}]}),
        ("v3/pipeline", {"requests": [batch(step("SELECT 1", condition={"type": "ok", "step": 0}))]}),
        ("v3/pipeline", {"baton": "none", "requests": []}),
        ("v3/cursor", {"batch": {"steps": BATCH}}),
        ("v3/cursor", {"batch": {"steps": [step("SELECT 1", condition={"type": "ok", "step": 1})]}}),
        ("v1/execute", {"stmt": {"sql": "SELECT 1"}}),
        ("v1/execute", {"stmt": {"sql": "SELECT nope"}}),
        ("v1/batch", {"batch": {"steps": BATCH}}),
        ("", {"statements": ["SELECT 1", {"q": "SELECT ?", "params": ["x"]}, {"q": "SELECT 2"}]}),
        ("", {"statements": 1}),
    ],
)
async def test_a_large_request_has_the_answer_of_a_small_one(plane: Plane, path: str, document: dict[str, Any]) -> None:
    def told(text: str) -> Any:
        """What is the same each time."""
        ignored = ("query_duration_ms", "baton")
        lines = [json.loads(line, object_pairs_hook=dict) for line in text.splitlines()]

        def without(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: without(kept) for name, kept in value.items() if name not in ignored}
            return [without(kept) for kept in value] if isinstance(value, list) else value

        return without(lines)

    small = await plane.post(path, document)
    large = await plane.post(path, document | PADDING)
    assert large.status_code == small.status_code
    assert told(large.text) == told(small.text)


async def test_of_a_request_with_an_error_at_its_end_nothing_runs_and_its_stream_stays(plane: Plane) -> None:
    baton = (await plane.requests(execute("CREATE TABLE t (a)")))["baton"]
    steps = [step("INSERT INTO t VALUES (1)")] * STEPS
    requests = [execute("INSERT INTO t VALUES (1)"), batch(*steps, {"stmt": 1})]
    response = await plane.post("v3/pipeline", {"baton": baton, "requests": requests})
    assert response.status_code == 400
    assert response.json()["code"] == "PROTOCOL_ERROR"
    assert response.json()["message"] == (
        f"Cannot decode the request: Expected `object`, got `int` - at `$.requests[1].batch.steps[{STEPS}].stmt`"
    )
    answer = await plane.requests(execute("SELECT count(*) FROM t"), CLOSE, baton=baton)
    assert answer["results"][0]["response"]["result"]["rows"] == [[{"type": "integer", "value": "0"}]]


async def test_a_condition_at_the_end_of_a_large_batch_is_checked_before_it_runs(plane: Plane) -> None:
    await plane.execute("CREATE TABLE t (a)")
    steps = [step("INSERT INTO t VALUES (1)")] * STEPS
    late = step("SELECT 1", condition={"type": "ok", "step": STEPS})
    response = await plane.post("v3/pipeline", {"requests": [batch(*steps, late)]})
    assert response.status_code == 400
    assert f"The condition of step {STEPS} refers to step {STEPS}, not an earlier one" in response.text
    assert await plane.values("SELECT count(*) FROM t") == [[0]]


async def test_the_results_of_very_many_statements_come_in_their_order(plane: Plane) -> None:
    def query(number: int) -> dict[str, Any]:
        return execute("SELECT ?" if number % 7 else "SELECT nope", *([number] if number % 7 else []))

    def row(number: int) -> Any:
        return [[{"type": "integer", "value": str(number)}]] if number % 7 else None

    for count in (99, 100, 101, 200, 2345):
        requests = [query(number) for number in range(count)]
        results = (await plane.requests(*requests, CLOSE))["results"][:-1]
        assert [result["response"]["result"]["rows"] if "response" in result else None for result in results] == [
            row(number) for number in range(count)
        ]
        steps = [{"stmt": request["stmt"]} for request in requests]
        done = (await plane.requests(batch(*steps), CLOSE))["results"][0]["response"]["result"]
        assert [result and result["rows"] for result in done["step_results"]] == [row(n) for n in range(count)]
        assert [error is None for error in done["step_errors"]] == [bool(number % 7) for number in range(count)]


async def test_others_are_served_while_a_large_body_is_decoded(plane: Plane) -> None:
    caller = await Caller.connect(plane)
    steps = [step("SELECT 1")] * STEPS
    large = caller.call(MAIN, json.dumps({"requests": [batch(*steps, {"stmt": 1})]}).encode())
    frame, served = await caller.served_beside(large, OTHER)
    assert (frame.type, frame.code) == (wire.Type.ANSWER, 400)
    assert served >= 10
    caller.close()


async def test_a_call_that_is_cancelled_while_it_is_decoded_is_forgotten(plane: Plane) -> None:
    caller = await Caller.connect(plane)
    large = caller.call(MAIN, json.dumps({"requests": [batch(*[step("CREATE TABLE t (a)")] * STEPS)]}).encode())
    first = caller.call(OTHER, SMALL)
    assert await caller.answers() == [(first, 200)]
    caller.cancel(large)
    following = caller.call(MAIN, json.dumps({"requests": [execute("CREATE TABLE t (a)"), CLOSE]}).encode())
    assert await caller.answers() == [(following, 200)]
    caller.close()
    assert await plane.values("SELECT count(*) FROM t") == [[0]]
    assert await plane.worker.drain() == 0


@pytest.mark.parametrize("spread", ["in batches", "alone"])
async def test_of_too_many_statements_none_runs(plane: Plane, spread: str) -> None:
    await plane.execute("CREATE TABLE t (a)")
    insert = "INSERT INTO t VALUES (1)"
    half = 250_001
    requests = (
        [batch(*[step(insert)] * half)] * 2 if spread == "in batches" else [{"type": "get_autocommit"}] * 2 * half
    )
    answer = await plane.post("v3/pipeline", {"requests": [*requests, execute(insert), CLOSE]})
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_MANY_STATEMENTS")
    assert "the limit is 500,000" in answer.json()["message"]
    assert await plane.values("SELECT count(*) FROM t") == [[0]]
