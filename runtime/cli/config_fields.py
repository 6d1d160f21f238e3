"""The fields of `runtime.config.Config` as their users see them: options of `brrrd serve`, entries of the reference."""

from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec

from runtime.config import SECTIONS, Config
from runtime.config_sources import ENVIRONMENT_PREFIX


class Field(NamedTuple):
    """One configuration key, for the reference in the documentation."""

    name: str
    variable: str
    type: str
    default: str
    """As it would be written in TOML."""
    description: str
    section: str
    """Heading that it is below."""


def reference() -> list[Field]:
    """Every configuration key in order, from which the printed reference is made."""
    hints = get_type_hints(Config, include_extras=True)
    fields = []
    section = ""
    for field in msgspec.structs.fields(Config):
        section = SECTIONS.get(field.name, section)
        kind, meta = get_args(hints[field.name])[:2]
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        fields.append(
            Field(
                field.name,
                ENVIRONMENT_PREFIX + field.name.upper(),
                _type_name(kind),
                msgspec.json.encode(default).decode(),
                str(meta.description),
                section,
            )
        )
    return fields


def _type_name(kind: Any) -> str:
    if kind == list[str]:
        return "list of strings"
    choices = get_args(kind)
    if choices:
        return " | ".join(choices)
    return {"str": "string", "int": "integer"}[kind.__name__]
