"""The configuration reference is what the code says."""

from pathlib import Path

from runtime.cli.reference import page

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "configuration.md"


def test_the_reference_matches_the_code() -> None:
    assert DOCUMENT.read_text() == page(), "run: python -m runtime.cli.reference > docs/configuration.md"
