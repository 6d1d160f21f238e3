"""Frameworks' pages come alive in a browser: what was rendered on the node is taken over there, without a complaint."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import browser
from tests.node import npm_build
from tests.node_server import Node

APPS = Path(__file__).parent
PATIENCE_MS = 30_000
pytestmark = pytest.mark.timeout(600)
"""The first test installs packages and the browser, and builds."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page that must not have complained by the end of the test."""
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    yield page
    context.close()
    assert [line for line in complaints if "favicon" not in line] == []


def visit(page: Page, node: Node, app: str, built: str) -> None:
    """Deploy the app under a name of its own and open it; what is set on the page is gone after a full load."""
    manifest = APPS / app / "brrrd.json"
    node.cli("deploy", str(npm_build(APPS / app, built)), "--app", f"live-{app}", "--manifest", str(manifest))
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto(f"http://live-{app}.localhost:{node.port}/", wait_until="networkidle")
    page.evaluate("window.kept = true")


def test_react_router(node: Node, page: Page) -> None:
    visit(page, node, "react-router", "build")
    page.locator("input").fill("Written in a browser")
    page.get_by_role("button").click()
    expect(page.locator("h1")).to_have_text("Written in a browser", timeout=PATIENCE_MS)
    page.go_back()
    page.get_by_role("link", name="Buy milk").click()
    expect(page.locator("h1")).to_have_text("Buy milk", timeout=PATIENCE_MS)
    assert page.url.endswith("/notes/1")
    assert page.evaluate("window.kept")


def test_sveltekit(node: Node, page: Page) -> None:
    visit(page, node, "sveltekit", ".svelte-kit/cloudflare")
    page.locator("input").fill("Ada")
    page.locator("input").press("Enter")
    expect(page.locator("header")).to_have_text("Signed in as Ada", timeout=PATIENCE_MS)
    page.get_by_role("link", name="Kettle").click()
    expect(page.locator("h1")).to_have_text("Kettle", timeout=PATIENCE_MS)
    assert page.url.endswith("/product/kettle")
    assert page.evaluate("window.kept")
