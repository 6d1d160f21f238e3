"""What is done to the text of scripts that rely on sloppy mode."""

from tests.conformance import strict_mode


def test_names_that_are_assigned_and_not_declared_are_found() -> None:
    text = "a = 1;\nvar b = 2; let c, d;\nb = 3; d = 4;\nfor (e of list) use(e);\nfunction f(g) { g = 1; }\nself = 1;"
    assert strict_mode.undeclared("any.js", text) == ["a", "e"]


def test_the_first_assignment_to_a_read_only_attribute_does_not_throw() -> None:
    text = "  memory.buffer = other;\n  memory.buffer = other;"
    assert strict_mode.rewrite("wasm/jsapi/memory/buffer.any.js", text) == (
        "  Reflect.set(memory, 'buffer', other);\n  memory.buffer = other;"
    )
    assert strict_mode.rewrite("wasm/other.any.js", text) == text
