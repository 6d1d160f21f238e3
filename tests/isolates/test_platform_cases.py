"""The web platform's interfaces, one case per behaviour; the cases are JavaScript and run in an isolate."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.isolates.platform_driver import Platform

FOLDER = Path(__file__).parent / "platform_cases"
FILES = sorted(path for path in FOLDER.glob("*.js") if path.name != "prelude.js")
CASES = [name for path in FILES for name in re.findall(r"^cases\['(.+?)'\]", path.read_text(), re.MULTILINE)]
APP = """
return { async fetch(request) {
  const name = decodeURIComponent(new URL(request.url).pathname.slice(1));
  try {
    await cases[name]();
    return new Response('passed');
  } catch (error) {
    return new Response(`${error?.stack ?? error}`);
  }
} };
"""


@pytest.fixture(scope="module", params=[True, False], ids=["native-text", "plain-text"])
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    sources = [(FOLDER / "prelude.js").read_text(), *(path.read_text() for path in FILES)]
    native = bool(request.param)
    with Platform("\n".join(sources) + APP, environment={"NAME": "value"}, native_text=native) as running:
        yield running


@pytest.mark.parametrize("case", CASES)
def test_case(platform: Platform, case: str) -> None:
    assert platform.fetch(f"http://app.test/{quote(case)}").body.decode() == "passed"
