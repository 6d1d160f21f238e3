"""What a call asks for, by its route: the body decoded, its stream found, the generator that will do it.

Used by `dataplane.service`. A large body is decoded in slices first (`decoding_of`), and its stream found after that.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from dataplane import answers, cursors, hrana, paced, protobuf_requests, wire
from dataplane.admission import Admission
from dataplane.calls import Call
from dataplane.decoding import Decoding
from dataplane.dump import dump
from dataplane.errors import HttpError
from dataplane.execution import Work
from dataplane.formats import JSON, LEGACY, PROTOBUF, Format

Plan: TypeAlias = Callable[[Call, Any, Admission], Work]
"""Makes the work of a call from its body, or from what was decoded already."""
Decode: TypeAlias = Callable[[Any], Any]
MOST_STATEMENTS = 500_000
"""Of one request. 64 MiB can hold millions, whose results would take several times as much."""


class LargePlan(NamedTuple):
    """The same in two steps."""

    decode: Decode
    plan: Plan


def work_of(call: Call, body: bytes, admission: Admission) -> Work:
    """Return what answers `call`. Raises `HttpError` or `DECODE_ERRORS`."""
    plan = _PLANS.get(call.route)
    if plan is None:
        raise HttpError(404, "NOT_FOUND", "There is no such endpoint")
    return plan(call, body, admission)


def decoding_of(call: Call, body: bytes) -> Decoding | None:
    """Return what decodes the large body of `call` in slices, if it is one that takes long."""
    large = _LARGE.get(call.route)
    return Decoding(large.decode, body) if large is not None else None


def work_of_decoded(call: Call, decoded: Any, admission: Admission) -> Work:
    """Return what answers `call`, whose body is decoded already. Raises `HttpError`."""
    return _LARGE[call.route].plan(call, decoded, admission)


def _pipeline(form: Format, version: int, decode: Decode) -> Plan:
    def plan(call: Call, body: Any, admission: Admission) -> Work:
        pipeline = decode(body)
        stream = admission.attach(call, pipeline.baton, form)
        return answers.pipeline(stream, pipeline, version, admission.next_baton, call.head.blocked)

    return plan


def _cursor(form: Format, decode: Decode) -> Plan:
    def plan(call: Call, body: Any, admission: Admission) -> Work:
        cursor = decode(body)
        stream = admission.attach(call, cursor.baton, form)
        return cursors.cursor(stream, cursor, admission.next_baton, call.head.blocked)

    return plan


def _one_shot(decode: Decode) -> Plan:
    def plan(call: Call, body: Any, admission: Admission) -> Work:
        request = decode(body)
        return answers.one_shot(admission.attach(call, None), request, call.head.blocked)

    return plan


def _legacy(decode: Decode) -> Plan:
    def plan(call: Call, body: Any, admission: Admission) -> Work:
        statements = decode(body)
        return answers.legacy(admission.attach(call, None, LEGACY), statements, call.head.blocked)

    return plan


def _dump(call: Call, body: Any, admission: Admission) -> Work:
    return dump(admission.attach(call, None), rowids=body == wire.PRESERVE_ROWIDS, blocked=call.head.blocked)


def _bounded(decode: Decode) -> Decode:
    """Have `decode` refuse more statements than a request may have, before any of them runs."""

    def bounded(body: Any) -> Any:
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
    requests = decoded.requests
    if len(requests) > MOST_STATEMENTS:
        return len(requests)
    return sum(len(request.batch.steps) if isinstance(request, hrana.RunBatch) else 1 for request in requests)


def _as_it_is(decoded: Any) -> Any:
    return decoded


_PLANS: dict[int, Plan] = {
    wire.Route.PIPELINE_V2: _pipeline(JSON, 2, hrana.decode_pipeline),
    wire.Route.PIPELINE_V3: _pipeline(JSON, 3, hrana.decode_pipeline),
    wire.Route.PIPELINE_PROTOBUF: _pipeline(PROTOBUF, 3, protobuf_requests.decode_pipeline),
    wire.Route.CURSOR_V3: _cursor(JSON, hrana.decode_cursor),
    wire.Route.CURSOR_PROTOBUF: _cursor(PROTOBUF, protobuf_requests.decode_cursor),
    wire.Route.EXECUTE_V1: _one_shot(hrana.decode_execute_v1),
    wire.Route.BATCH_V1: _one_shot(hrana.decode_batch_v1),
    wire.Route.LEGACY: _legacy(hrana.decode_legacy),
    wire.Route.DUMP: _dump,
}
_LARGE: dict[int, LargePlan] = {
    wire.Route.PIPELINE_V2: LargePlan(_bounded(paced.decode_pipeline), _pipeline(JSON, 2, _as_it_is)),
    wire.Route.PIPELINE_V3: LargePlan(_bounded(paced.decode_pipeline), _pipeline(JSON, 3, _as_it_is)),
    wire.Route.PIPELINE_PROTOBUF: LargePlan(
        _bounded(protobuf_requests.decode_pipeline), _pipeline(PROTOBUF, 3, _as_it_is)
    ),
    wire.Route.CURSOR_V3: LargePlan(paced.decode_cursor, _cursor(JSON, _as_it_is)),
    wire.Route.CURSOR_PROTOBUF: LargePlan(protobuf_requests.decode_cursor, _cursor(PROTOBUF, _as_it_is)),
    wire.Route.EXECUTE_V1: LargePlan(paced.decode_execute_v1, _one_shot(_as_it_is)),
    wire.Route.BATCH_V1: LargePlan(_bounded(paced.decode_batch_v1), _one_shot(_as_it_is)),
    wire.Route.LEGACY: LargePlan(_bounded(paced.decode_legacy), _legacy(_as_it_is)),
}
