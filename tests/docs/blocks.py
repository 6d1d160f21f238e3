"""Fenced code blocks of a Markdown document, as far as the documentation tests need them. Pure.

The words after a block's language say how it is to be taken (a reader of the rendered page does not see them):

    ```console                 commands, each after `$ `; further lines are the output, `…` stands for anything
    ```console background      one command that keeps running until the end of the document
    ```console elsewhere=TEST  run by the named test instead
    ```js file=app/index.js    any language: the content of a file that later commands use
"""

import re
import shlex
from typing import NamedTuple


class Block(NamedTuple):
    """One fenced block."""

    line: int
    """Line number of the opening fence."""
    language: str
    attributes: dict[str, str]
    text: str


class Command(NamedTuple):
    """One command of a console block and the output that the document shows, or None when it shows none."""

    line: int
    text: str
    output: str | None


def blocks(markdown: str) -> list[Block]:
    """Return the fenced blocks in order."""
    found: list[Block] = []
    lines = iter(enumerate(markdown.splitlines(), 1))
    for number, line in lines:
        fence = re.match(r"(```+)([^`\s]*)\s*(.*)$", line)
        if not fence:
            continue
        body = []
        for _, inner in lines:
            if inner.rstrip() == fence[1]:
                break
            body.append(inner)
        words = (word.partition("=") for word in shlex.split(fence[3]))
        found.append(Block(number, fence[2], {key: value for key, _, value in words}, "\n".join(body) + "\n"))
    return found


def commands(block: Block) -> list[Command]:
    """Split a console block. A command goes on over lines that end with a backslash."""
    found: list[Command] = []
    lines = iter(enumerate(block.text.splitlines(), block.line + 1))
    output: list[str] = []

    def close() -> None:
        if found and any(line.strip() for line in output):
            found[-1] = found[-1]._replace(output="\n".join(output).strip("\n"))
        output.clear()

    for number, line in lines:
        if not line.startswith("$ "):
            output.append(line)
            continue
        close()
        text = line[2:]
        while text.endswith("\\"):
            text += "\n" + next(lines)[1]
        found.append(Command(number, text, None))
    close()
    if not found:
        raise ValueError(f"line {block.line}: a console block without a command (`$ …`)")
    return found


def matches(shown: str, printed: str) -> bool:
    """Tell whether the printed output is what the document shows: `…` for anything, runs of blanks for any run."""

    def normal(text: str) -> str:
        return "\n".join(re.sub(r"\s+", " ", line).strip() for line in text.strip().splitlines() if line.strip())

    pattern = ".*".join(re.escape(part) for part in normal(shown).split("…"))
    return re.fullmatch(pattern, normal(printed), re.DOTALL) is not None
