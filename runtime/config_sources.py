"""Where the values of a node's configuration come from.

In this order: the command line, an environment variable (`BRRRD_` and the field's name in capitals; lists are
comma-separated), the file given with `--config`, the default. An unknown key or a bad value is refused by name, never
ignored. Called by the command line.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from runtime.config import Config, ConfigError

ENVIRONMENT_PREFIX = "BRRRD_"


def load(
    file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Read the configuration; `overrides` come from the command line, where None means not given.

    Raises `ConfigError`.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values |= _from_file(Path(file))
    values |= _from_environment(os.environ if environ is None else environ)
    values |= {key: value for key, value in (overrides or {}).items() if value is not None}
    return _convert(values, "the configuration")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    _convert(values, str(path))
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Values of `BRRRD_*` variables. Others with the prefix belong to the client commands and are left alone."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Config):
        variable = ENVIRONMENT_PREFIX + field.name.upper()
        text = environ.get(variable)
        if text is None:
            continue
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        value: Any = text
        if isinstance(default, list):
            value = [item.strip() for item in text.split(",") if item.strip()]
        elif isinstance(default, int):
            try:
                value = int(text)
            except ValueError:
                raise ConfigError(f"{variable}: expected an integer, not {text!r}") from None
        _convert({field.name: value}, variable)
        values[field.name] = value
    return values


def _convert(values: Mapping[str, Any], source: str) -> Config:
    unknown = sorted(set(values) - {field.name for field in msgspec.structs.fields(Config)})
    if unknown:
        raise ConfigError(f"{source}: unknown key {unknown[0]!r}; `brrrd serve --help` lists what there is")
    for key, value in values.items():
        try:
            msgspec.convert({key: value}, Config)
        except (msgspec.ValidationError, ValueError) as error:
            sentence = str(error).split(" - at `$")[0]
            if sentence.startswith("Invalid enum value"):
                sentence = f"expected {_choices(key)}, not {value!r}"
            # The reader has the name of the key already.
            raise ConfigError(f"{source}: {key}: {sentence.removeprefix(key).removeprefix(':').strip()}") from None
    return msgspec.convert(dict(values), Config)


def _choices(key: str) -> str:
    """The values of a key that has few, in words."""
    *most, last = get_args(get_args(get_type_hints(Config, include_extras=True)[key])[0])
    return f"{', '.join(most)} or {last}"
