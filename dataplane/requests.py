"""What a call asks for, by its route: the body decoded, its stream found, the generator that will do it.

Used by `dataplane.service`. A large body is decoded in slices first (`decoding_of`), and its stream found after that.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from dataplane import answers, cursors, hrana, paced, protobuf_requests, wire
from dataplane.admission import Admission
from dataplane.calls import Call
from dataplane.decoding import LARGE_BYTES, LARGE_PROTOBUF_BYTES, Decoding, point
from dataplane.dump import dump
from dataplane.errors import HttpError
from dataplane.execution import Work
from dataplane.formats import JSON, LEGACY, PROTOBUF, Format

Decode: TypeAlias = Callable[[bytes], Any]
Begin: TypeAlias = Callable[[Call, Any, Admission], Work]
MOST_STATEMENTS = 500_000
"""Of one request. 64 MiB can hold millions, whose results would take several times as much."""


class Plan(NamedTuple):
    """How calls of a route are answered."""

    decode: Decode
    decode_large: Decode | None
    """The same for a large body, which `dataplane.decoding` can stop; None: that does not take long."""
    begin: Begin
    """Makes the work of a call from its body, decoded. Raises `HttpError`."""
    large_bytes: int = LARGE_BYTES
    """A longer body is a large one."""


def work_of(call: Call, body: bytes, admission: Admission) -> Work:
    """Return what answers `call`. Raises `HttpError` or `DECODE_ERRORS`."""
    plan = _PLANS.get(call.route)
    if plan is None:
        raise HttpError(404, "NOT_FOUND", "There is no such endpoint")
    return plan.begin(call, plan.decode(body), admission)


def decoding_of(call: Call, body: bytes) -> Decoding | None:
    """Return what decodes the body of `call` in slices, if it is large and takes long."""
    plan = _PLANS.get(call.route)
    if plan is None or plan.decode_large is None or len(body) <= plan.large_bytes:
        return None
    return Decoding(plan.decode_large, body)


def work_of_decoded(call: Call, decoded: Any, admission: Admission) -> Work:
    """Return what answers `call`, whose body is decoded already. Raises `HttpError`."""
    return _PLANS[call.route].begin(call, decoded, admission)


def _pipeline(form: Format, version: int) -> Begin:
    def begin(call: Call, pipeline: hrana.Pipeline, admission: Admission) -> Work:
        stream = admission.attach(call, pipeline.baton, form)
        return answers.pipeline(stream, pipeline, version, admission.next_baton, call.head.blocked)

    return begin


def _cursor(form: Format) -> Begin:
    def begin(call: Call, cursor: hrana.Cursor, admission: Admission) -> Work:
        stream = admission.attach(call, cursor.baton, form)
        return cursors.cursor(stream, cursor, admission.next_baton, call.head.blocked)

    return begin


def _one_shot(call: Call, request: hrana.ExecuteV1 | hrana.BatchV1, admission: Admission) -> Work:
    return answers.one_shot(admission.attach(call, None), request, call.head.blocked)


def _legacy(call: Call, statements: hrana.Legacy, admission: Admission) -> Work:
    return answers.legacy(admission.attach(call, None, LEGACY), statements, call.head.blocked)


def _with_rowids(body: bytes) -> bool:
    return body == wire.PRESERVE_ROWIDS


def _dump(call: Call, rowids: bool, admission: Admission) -> Work:
    return dump(admission.attach(call, None), rowids=rowids, blocked=call.head.blocked)


def _bounded(decode: Decode) -> Decode:
    """Have `decode` refuse more statements than a request may have, before any of them runs."""

    def bounded(body: bytes) -> Any:
        decoded = decode(body)
        count = _statements(decoded)
        if count > MOST_STATEMENTS:
            limit = f"The request has {count:,} statements or more, the limit is {MOST_STATEMENTS:,}"
            raise HttpError(413, "TOO_MANY_STATEMENTS", f"{limit}: split it, or send them as one text (`sequence`)")
        return decoded

    return bounded


def _statements(decoded: hrana.Pipeline | hrana.BatchV1 | hrana.Legacy) -> int:
    """Return how many results a request has, or enough of them to refuse it."""
    if isinstance(decoded, hrana.BatchV1):
        return len(decoded.batch.steps)
    if isinstance(decoded, hrana.Legacy):
        return len(decoded.statements)
    count = len(decoded.requests)
    if count <= MOST_STATEMENTS:
        for request in decoded.requests:
            point()
            if isinstance(request, hrana.RunBatch):
                count += len(request.batch.steps) - 1
    return count


_decode_large_pipeline = _bounded(paced.decode_pipeline)
_PLANS: dict[int, Plan] = {
    wire.Route.PIPELINE_V2: Plan(hrana.decode_pipeline, _decode_large_pipeline, _pipeline(JSON, 2)),
    wire.Route.PIPELINE_V3: Plan(hrana.decode_pipeline, _decode_large_pipeline, _pipeline(JSON, 3)),
    wire.Route.PIPELINE_PROTOBUF: Plan(
        protobuf_requests.decode_pipeline,
        _bounded(protobuf_requests.decode_pipeline),
        _pipeline(PROTOBUF, 3),
        LARGE_PROTOBUF_BYTES,
    ),
    wire.Route.CURSOR_V3: Plan(hrana.decode_cursor, paced.decode_cursor, _cursor(JSON)),
    wire.Route.CURSOR_PROTOBUF: Plan(
        protobuf_requests.decode_cursor,
        protobuf_requests.decode_cursor,
        _cursor(PROTOBUF),
        LARGE_PROTOBUF_BYTES,
    ),
    wire.Route.EXECUTE_V1: Plan(hrana.decode_execute_v1, paced.decode_execute_v1, _one_shot),
    wire.Route.BATCH_V1: Plan(hrana.decode_batch_v1, _bounded(paced.decode_batch_v1), _one_shot),
    wire.Route.LEGACY: Plan(hrana.decode_legacy, _bounded(paced.decode_legacy), _legacy),
    wire.Route.DUMP: Plan(_with_rowids, None, _dump),
}
