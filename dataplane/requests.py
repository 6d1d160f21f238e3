"""What a call asks for, by its route: the body decoded, its stream found, the generator that will do it.

Used by `dataplane.service`.
"""

from collections.abc import Callable
from typing import TypeAlias

from dataplane import answers, cursors, hrana, wire
from dataplane.admission import Admission
from dataplane.calls import Call
from dataplane.dump import dump
from dataplane.errors import HttpError
from dataplane.execution import Work
from dataplane.formats import JSON, LEGACY, PROTOBUF, Format

Plan: TypeAlias = Callable[[Call, bytes, Admission], Work]
"""Makes the work of a call from its body."""


def work_of(call: Call, body: bytes, admission: Admission) -> Work:
    """Return what answers `call`. Raises `HttpError` or `DECODE_ERRORS`."""
    plan = _PLANS.get(call.route)
    if plan is None:
        raise HttpError(404, "NOT_FOUND", "There is no such endpoint")
    return plan(call, body, admission)


def _pipeline(form: Format, version: int) -> Plan:
    decode = form.decode_pipeline

    def plan(call: Call, body: bytes, admission: Admission) -> Work:
        pipeline = decode(body)
        stream = admission.attach(call, pipeline.baton, form)
        return answers.pipeline(stream, pipeline, version, admission.next_baton, call.head.blocked)

    return plan


def _cursor(form: Format) -> Plan:
    def plan(call: Call, body: bytes, admission: Admission) -> Work:
        cursor = form.decode_cursor(body)
        stream = admission.attach(call, cursor.baton, form)
        return cursors.cursor(stream, cursor, admission.next_baton, call.head.blocked)

    return plan


def _one_shot(decode: Callable[[bytes], hrana.ExecuteV1 | hrana.BatchV1]) -> Plan:
    def plan(call: Call, body: bytes, admission: Admission) -> Work:
        request = decode(body)
        return answers.one_shot(admission.attach(call, None), request, call.head.blocked)

    return plan


def _legacy(call: Call, body: bytes, admission: Admission) -> Work:
    statements = hrana.decode_legacy(body)
    return answers.legacy(admission.attach(call, None, LEGACY), statements, call.head.blocked)


def _dump(call: Call, body: bytes, admission: Admission) -> Work:
    return dump(admission.attach(call, None), rowids=body == wire.PRESERVE_ROWIDS, blocked=call.head.blocked)


_PLANS: dict[int, Plan] = {
    wire.Route.PIPELINE_V2: _pipeline(JSON, 2),
    wire.Route.PIPELINE_V3: _pipeline(JSON, 3),
    wire.Route.PIPELINE_PROTOBUF: _pipeline(PROTOBUF, 3),
    wire.Route.CURSOR_V3: _cursor(JSON),
    wire.Route.CURSOR_PROTOBUF: _cursor(PROTOBUF),
    wire.Route.EXECUTE_V1: _one_shot(hrana.decode_execute_v1),
    wire.Route.BATCH_V1: _one_shot(hrana.decode_batch_v1),
    wire.Route.LEGACY: _legacy,
    wire.Route.DUMP: _dump,
}
