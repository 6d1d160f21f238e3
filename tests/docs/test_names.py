"""Files of the project that its contributors' pages name are there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NAMED = re.compile(r"`([\w./-]+\.(?:py|ts|toml|md|js))`")


@pytest.mark.parametrize("page", ["docs/contributors.md", "isolates/js/README.md"])
def test_every_file_that_is_named_exists(page: str) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [f"/{file}" for file in listed.splitlines()]
    names = set(NAMED.findall((ROOT / page).read_text()))
    assert len(names) > 20
    assert [name for name in sorted(names) if not any(file.endswith(f"/{name}") for file in files)] == []
