"""Large messages of WebSockets: decoded in slices, in their order, to the end of small ones."""

import json
from typing import Any

import pytest

from dataplane import protobuf as pb
from dataplane import wire
from dataplane.decoding import LARGE_BYTES
from dataplane.incoming import UNDECODABLE
from tests.dataplane.caller import SMALL, Caller
from tests.dataplane.plane import MAIN, OTHER, Plane

PADDING = "x" * LARGE_BYTES
"""In a field that nobody knows, by which a message is large."""
STEPS = 50_000
"""Of a batch that takes many slices."""


def request(number: int, kind: str, **fields: Any) -> bytes:
    large = {"padding": fields.pop("padding")} if "padding" in fields else {}
    return json.dumps({"type": "request", "request_id": number, **large, "request": {"type": kind, **fields}}).encode()


def batch(*sql: str) -> dict[str, Any]:
    return {"steps": [{"stmt": {"sql": one}} for one in sql]}


class Socket:
    """A WebSocket with an open stream, as the edge worker has it."""

    def __init__(self, caller: Caller, number: int) -> None:
        self._caller = caller
        self._frames = caller.frames()
        self.number = number

    @classmethod
    async def open(cls, plane: Plane) -> "Socket":
        caller = await Caller.connect(plane)
        socket = cls(caller, caller.open_socket(MAIN))
        socket.send(request(0, "open_stream", stream_id=1))
        assert await socket.answers(1) == [(0, {"type": "open_stream"})]
        return socket

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self._caller.message(self.number, message)

    async def answers(self, count: int) -> list[tuple[int, Any]]:
        """Return the number and the response, or the error, of the next answers."""
        answers = []
        partial = b""
        async for frame in self._frames:
            partial += frame.data
            assert not frame.flags & wire.END, (frame.code, partial)
            if frame.flags & wire.MESSAGE:
                answer, partial = json.loads(partial), b""
                answers.append((answer["request_id"], answer.get("response", answer.get("error"))))
                if len(answers) == count:
                    break
        return answers

    async def close_code(self) -> tuple[int, str]:
        async for frame in self._frames:
            if frame.flags & wire.END:
                return frame.code, frame.data.decode()
        raise AssertionError("it was not closed")

    def close(self) -> None:
        self._caller.close()


async def test_messages_keep_their_order(plane: Plane) -> None:
    socket = await Socket.open(plane)
    socket.send(
        request(1, "store_sql", sql_id=1, sql="SELECT 'one'", padding=PADDING),
        request(2, "execute", stream_id=1, stmt={"sql_id": 1}),
        request(3, "close_sql", sql_id=1),
        request(4, "store_sql", sql_id=1, sql="SELECT 'two'", padding=PADDING),
        request(5, "open_stream", stream_id=2),
        request(6, "execute", stream_id=2, stmt={"sql_id": 1}, padding=PADDING),
        request(7, "execute", stream_id=2, stmt={"sql": "SELECT 3"}),
        request(8, "close_stream", stream_id=2),
    )
    answers = dict(await socket.answers(8))
    values = [answers[number]["result"]["rows"][0][0]["value"] for number in (2, 6, 7)]
    assert values == ["one", "two", "3"]
    assert [answers[number] for number in (1, 3, 5, 8)] == [
        {"type": kind} for kind in ("store_sql", "close_sql", "open_stream", "close_stream")
    ]
    socket.close()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("execute", {"stream_id": 1, "stmt": {"sql": "SELECT ?, 'x'", "args": [{"type": "float", "value": 1.5}]}}),
        ("execute", {"stream_id": 1, "stmt": {"sql": "SELECT nope"}}),
        ("execute", {"stream_id": 1, "stmt": {"sql_id": 5}}),
        ("execute", {"stream_id": 1, "stmt": {"sql_id": 6}}),
        ("execute", {"stream_id": 9, "stmt": {"sql": "SELECT 1"}}),
        ("batch", {"stream_id": 1, "batch": batch("SELECT 1", "SELECT nope", "SELECT 2")}),
        ("batch", {"stream_id": 1, "batch": {"steps": [{"stmt": {"sql_id": 5}}, {"stmt": {"sql_id": 6}}]}}),
        ("sequence", {"stream_id": 1, "sql_id": 5}),
        ("describe", {"stream_id": 1, "sql": "SELECT :a"}),
        ("get_autocommit", {"stream_id": 1}),
        ("close_cursor", {"cursor_id": 4}),
    ],
)
async def test_a_large_message_has_the_answer_of_a_small_one(plane: Plane, kind: str, fields: dict[str, Any]) -> None:
    socket = await Socket.open(plane)
    socket.send(request(1, "store_sql", sql_id=5, sql="SELECT 'stored'"))
    await socket.answers(1)
    answers = []
    for more in ({}, {"padding": PADDING}):
        socket.send(request(2, kind, **fields, **more))
        ((_, answer),) = await socket.answers(1)
        for done in (answer.get("result") or {}).get("step_results", [answer.get("result")]):
            if done is not None:
                done.pop("query_duration_ms", None)
        answers.append(answer)
    assert answers[0] == answers[1]
    socket.close()


@pytest.mark.parametrize(
    "message", [b'{"type": "request"', b'{"type": "no"}', b'{"type": "request", "request_id": "x"}']
)
async def test_one_that_cannot_be_decoded_closes_the_connection(plane: Plane, message: bytes) -> None:
    codes = []
    for padding in (b"", b" " * LARGE_BYTES):
        socket = await Socket.open(plane)
        socket.send(message + padding, request(1, "execute", stream_id=1, stmt={"sql": "SELECT 1"}))
        codes.append(await socket.close_code())
        socket.close()
    assert codes[0][0] == codes[1][0] == UNDECODABLE
    assert codes[0][1].split(" (byte")[0] == codes[1][1].split(" (byte")[0]


def json_batch() -> bytes:
    """Return a batch with an error at its end."""
    steps = ", ".join(['{"stmt": {"sql": "SELECT 1"}}'] * STEPS)
    return (
        '{"type": "request", "request_id": 1, "request": {"type": "batch", "stream_id": 1, "batch": '
        f'{{"steps": [{steps}, {{"stmt": 1}}]}}}}}}'
    ).encode()


def protobuf_batch() -> bytes:
    one = pb.message(1, pb.message(2, pb.string(1, "SELECT 1")))
    run = pb.uint(1, 1) + pb.message(2, one * STEPS + pb.message(1, b"\xff"))
    return pb.message(2, pb.uint(1, 1) + pb.message(5, run))


@pytest.mark.parametrize(
    ("route", "message"),
    [(wire.Route.SOCKET_JSON, json_batch()), (wire.Route.SOCKET_PROTOBUF, protobuf_batch())],
    ids=["json", "protobuf"],
)
async def test_others_are_served_while_a_large_message_is_decoded(
    plane: Plane, route: wire.Route, message: bytes
) -> None:
    caller = await Caller.connect(plane)
    socket = caller.open_socket(MAIN, route)
    caller.message(socket, message)
    frame, served = await caller.served_beside(socket, OTHER)
    assert (frame.flags & wire.END, frame.code) == (wire.END, UNDECODABLE)
    assert served >= 10
    caller.close()


async def test_a_connection_that_ends_while_its_message_is_decoded_is_forgotten(plane: Plane) -> None:
    caller = await Caller.connect(plane)
    socket = caller.open_socket(MAIN)
    caller.message(socket, request(1, "open_stream", stream_id=1))
    steps = batch(*["CREATE TABLE t (a)"] * STEPS)
    caller.message(socket, request(2, "batch", stream_id=1, batch=steps))
    caller.message(socket, request(3, "execute", stream_id=1, stmt={"sql": "CREATE TABLE t (a)"}))
    caller.cancel(socket)
    number = caller.call(OTHER, SMALL)
    assert (number, 200) in await caller.answers() + await caller.answers()
    await plane.execute("CREATE TABLE t (a)")
    assert await plane.worker.drain() == 0
    caller.close()
