"""Every command in the README and in docs/ works, in order, and prints what the document shows."""

import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import blocks, commands
from tests.docs.session import Session

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_COMMANDS = [path for path in DOCUMENTS if "```console" in path.read_text()]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("document", WITH_COMMANDS, ids=lambda path: path.name)
def test_the_commands_of_a_document(document: Path, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the documents use curl, which is not installed")
    with Session(document, tmp_path) as session:
        for block in blocks(document.read_text()):
            if "elsewhere" not in block.attributes:
                session.run(block)


def test_commands_that_run_elsewhere_do_run_there() -> None:
    for document in DOCUMENTS:
        for block in blocks(document.read_text()):
            if place := block.attributes.get("elsewhere"):
                text = (ROOT / place).read_text()
                for command in commands(block):
                    assert command.text in text, f"{document.name}:{command.line}: not in {place}: {command.text}"


def test_no_shell_block_escapes_the_test() -> None:
    for document in DOCUMENTS:
        for block in blocks(document.read_text()):
            assert block.language not in ("sh", "bash", "shell", "zsh", ""), f"{document.name}:{block.line}"


def test_links_between_documents_lead_somewhere() -> None:
    import re

    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
