"""No room imports what the page for contributors says that it must not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LEAVES = set(re.findall(r"`(runtime\.\w+)`", (ROOT / "docs" / "contributors.md").read_text()))
"""The modules of `runtime` that others may import."""
V8 = ("isolates.v8", "py_mini_racer")
LIBSQL = ("libsql_experimental", "dataplane.engine")
FORBIDDEN = {
    "artifacts": ("router", "isolates", "dataplane", *V8, *LIBSQL),
    "dataplane": V8,
    "isolates": ("router", "dataplane", *LIBSQL),
    "router": (*V8, *LIBSQL),
}


def imported(file: Path) -> Iterator[str]:
    """Modules that a file imports; of `from a import b` both `a` and `a.b`, which may be a module or a name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_nothing_that_it_must_not(room: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}: {module}"
        for file in sorted((ROOT / room).rglob("*.py"))
        if "node_modules" not in file.parts
        for module in imported(file)
        if is_within(module, FORBIDDEN[room])
        or (is_within(module, ("runtime",)) and module != "runtime" and not is_within(module, tuple(LEAVES)))
    ]
    assert found == []


def test_a_leaf_module_imports_no_other_modules_of_the_project() -> None:
    assert len(LEAVES) > 5
    rooms = ("runtime", *FORBIDDEN)
    found = [
        f"{leaf}: {module}"
        for leaf in sorted(LEAVES)
        for module in imported(ROOT / f"{leaf.replace('.', '/')}.py")
        if is_within(module, rooms) and module != "runtime" and not is_within(module, tuple(LEAVES))
    ]
    assert found == []
