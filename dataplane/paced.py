"""Decoders of large JSON bodies, which `dataplane.decoding` can stop between any two objects.

They make what those of `dataplane.hrana` make, with the same errors: each struct is a subclass of the one there, and
passes a point when it is made; its long lists are such that are freed gradually (`dataplane.leftovers`). That costs as
much as making it, so small bodies are spared it. Used by `dataplane.requests` and `dataplane.formats`.
"""

from collections.abc import Callable
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from dataplane import hrana
from dataplane.decoding import keep, point
from dataplane.leftovers import FEW, Gradual

T = TypeVar("T")
_CONDITIONS = get_args(hrana.Condition)
"""They are within steps, which have points, and refer to each other."""


def _paced(kind: Any) -> Any:
    """Return the type `kind` with points in its structs."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in _CONDITIONS:
        return _paced_struct(kind)
    arguments = tuple(_paced(argument) for argument in get_args(kind))
    if not arguments:
        return kind
    origin = get_origin(kind)
    return Union[arguments] if origin in (Union, UnionType) else origin[arguments]  # noqa: UP007 - made here


def _made_gradual(made: Any) -> None:
    for name in made.__struct_fields__:
        items = getattr(made, name)
        if isinstance(items, (list, tuple)) and len(items) > FEW:
            msgspec.structs.force_setattr(made, name, Gradual(items))
    point()


def _statement(made: hrana.Stmt) -> None:
    # Looked at here, since there are as many as anything.
    if (made.args and len(made.args) > FEW) or (made.named_args and len(made.named_args) > FEW):
        _made_gradual(made)
    point()


_ONCE_MADE: dict[Any, Callable[[Any], None]] = {
    **dict.fromkeys((*get_args(hrana.Request), hrana.Step, hrana.LegacyStmt), keep),
    **dict.fromkeys((hrana.Pipeline, hrana.Batch, hrana.Legacy), _made_gradual),
    hrana.Stmt: _statement,
}
"""What structs of which there may be many, or that hold many, do beside passing a point."""


def _paced_struct(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    config, hints = kind.__struct_config__, get_type_hints(kind)
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        default: tuple[Any, ...] = () if field.required else (field.default,)
        if field.default_factory is not msgspec.NODEFAULT:
            default = (msgspec.field(default_factory=field.default_factory),)
        fields.append((field.name, _paced(hints[field.name]), *default))
    return msgspec.defstruct(
        kind.__name__,
        fields,
        bases=(kind,),
        namespace={"__post_init__": _ONCE_MADE.get(kind, point)},
        frozen=True,
        gc=config.gc,
        tag_field=config.tag_field,
        tag=config.tag,
    )


def _decoder(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(_paced(kind)).decode


decode_pipeline = _decoder(hrana.Pipeline)
decode_cursor = _decoder(hrana.Cursor)
decode_execute_v1 = _decoder(hrana.ExecuteV1)
decode_batch_v1 = _decoder(hrana.BatchV1)
decode_legacy = _decoder(hrana.Legacy)
decode_client_message = _decoder(hrana.ClientMessage)
