"""The reader of documents itself."""

import pytest

from tests.docs.blocks import Block, Command, blocks, commands, matches


def test_blocks_have_language_attributes_and_line() -> None:
    text = "# x\n\n```js file=a/b.js\none\n\ntwo\n```\n\n````md\n```js\n````\n"
    assert blocks(text) == [Block(3, "js", {"file": "a/b.js"}, "one\n\ntwo\n"), Block(9, "md", {}, "```js\n")]


def test_commands_have_their_output() -> None:
    block = Block(1, "console", {}, "$ one \\\n    more\n$ two\nout\n\n  put\n")
    assert commands(block) == [Command(2, "one \\\n    more", None), Command(4, "two", "out\n\n  put")]


def test_a_console_block_without_a_command_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="line 7"):
        commands(Block(7, "console", {}, "ls\n"))


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a b", "a   b\n", True),
        ("id …", "id db-1", True),
        ("a\n…\nz", "a\nb\nc\nz", True),
        ("a.c", "abc", False),
        ("a", "a\nb", False),
    ],
)
def test_matching(shown: str, printed: str, same: bool) -> None:
    assert matches(shown, printed) is same
