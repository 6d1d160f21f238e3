"""What a call asks for, by its route: the body decoded, its stream found, the generator that will do it.

Used by `dataplane.service`.
"""

from dataplane import cursors, execution, hrana, wire
from dataplane.admission import Admission
from dataplane.calls import Call
from dataplane.dump import dump
from dataplane.errors import HttpError
from dataplane.formats import LEGACY, PROTOBUF


def work_of(call: Call, body: bytes, admission: Admission) -> execution.Work:
    """Return what answers `call`. Raises `HttpError`, `msgspec.MsgspecError` or `ProtobufError`."""
    blocked = call.head.blocked
    match call.route:
        case wire.Route.PIPELINE_V2 | wire.Route.PIPELINE_V3:
            pipeline = hrana.decode_pipeline(body)
            stream = admission.attach(call, pipeline.baton)
            version = 2 if call.route == wire.Route.PIPELINE_V2 else 3
            return execution.pipeline(stream, pipeline, version, admission.next_baton, blocked)
        case wire.Route.CURSOR_V3:
            cursor = hrana.decode_cursor(body)
            stream = admission.attach(call, cursor.baton)
            return cursors.cursor(stream, cursor, admission.next_baton, blocked)
        case wire.Route.PIPELINE_PROTOBUF:
            pipeline = PROTOBUF.decode_pipeline(body)
            stream = admission.attach(call, pipeline.baton, PROTOBUF)
            return execution.pipeline(stream, pipeline, 3, admission.next_baton, blocked)
        case wire.Route.CURSOR_PROTOBUF:
            cursor = PROTOBUF.decode_cursor(body)
            stream = admission.attach(call, cursor.baton, PROTOBUF)
            return cursors.cursor(stream, cursor, admission.next_baton, blocked)
        case wire.Route.LEGACY:
            statements = hrana.decode_legacy(body)
            return execution.legacy(admission.attach(call, None, LEGACY), statements, blocked)
        case wire.Route.EXECUTE_V1:
            execute = hrana.decode_execute_v1(body)
            return execution.one_shot(admission.attach(call, None), execute, blocked)
        case wire.Route.BATCH_V1:
            batch = hrana.decode_batch_v1(body)
            return execution.one_shot(admission.attach(call, None), batch, blocked)
        case wire.Route.DUMP:
            return dump(admission.attach(call, None), rowids=body == wire.PRESERVE_ROWIDS, blocked=blocked)
        case _:
            raise HttpError(404, "NOT_FOUND", "There is no such endpoint")
