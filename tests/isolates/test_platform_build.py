"""The committed bundle is what its source gives, and the source is typed and formatted."""

from pathlib import Path

import pytest

from tests.node import NPM, run_command

FOLDER = Path(__file__).parents[2] / "isolates" / "js"


@pytest.mark.timeout(400)
def test_the_bundle_matches_its_source() -> None:
    if not (FOLDER / "node_modules").is_dir():
        run_command((*NPM, "ci", "--no-audit", "--no-fund", "--loglevel=error"), cwd=FOLDER, timeout=300)
    run_command((*NPM, "run", "check"), cwd=FOLDER, timeout=120)


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (FOLDER / "package-lock.json").read_text()
