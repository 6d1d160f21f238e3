"""Prints `docs/configuration.md`: `python -m runtime.cli.reference > docs/configuration.md`.

The text comes from `runtime.config`; a test compares the committed file with what this prints.
"""

import sys
from itertools import groupby

from runtime.cli.config_fields import Field, reference

HEAD = """\
# Configuration

<!-- Made by `python -m runtime.cli.reference > docs/configuration.md`; edit runtime/config.py instead. -->

`brrrd serve` takes each value from the first of these that has it: an option on the command line, an environment
variable, the TOML file given with `--config`, the default. An unknown key or a bad value is refused by name.

The option is the key with dashes (`data_dir` is `--data-dir`). An option for a list may be repeated; a variable for a
list is comma-separated. A configuration file looks like this:

```toml file=brrrd.toml
listen = "127.0.0.1:8080"
workers = 2
db_hosts = ["db.localhost", "localhost", "127.0.0.1"]
```
"""


def page() -> str:
    """Return the whole document."""
    parts = [HEAD]
    for section, fields in groupby(reference(), key=lambda field: field.section):
        parts += [f"\n## {section}\n", *map(_entry, fields)]
    return "".join(parts)


def _entry(field: Field) -> str:
    facts = f"{field.type} · default `{field.default}` · `{field.variable}`"
    return f"\n### `{field.name}`\n\n{facts}\n\n{field.description}\n"


if __name__ == "__main__":
    sys.stdout.write(page())
