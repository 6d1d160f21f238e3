"""The database page of the control listener, in headless Chromium."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.browser import browser
from tests.node_server import Node

SERIES = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {}) "
pytestmark = pytest.mark.timeout(300)
"""The first test of a machine installs the browser."""
PATIENCE_MS = 30_000
"""For what the page waits for: far more than it takes, on a machine that does other things too."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    # The page works although nobody can reach the databases' public address.
    options = ("--workers", "1", "--database-workers", "1", "--public-db-url", "https://db.invalid")
    with Node(tmp_path_factory.mktemp("page") / "data", *options) as running:
        yield running


@pytest.fixture(scope="module")
def shop(node: Node) -> dict[str, Any]:
    """A database with a table of each kind of value, and more rows than fit on a page."""
    created = node.create_database("shop", project="acme")
    created["database_url"] = f"{node.url}/v1/{created['database_id']}"
    node.sql(
        created,
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, data BLOB, big INTEGER)",
        "CREATE TABLE link (item INTEGER REFERENCES item (id) ON DELETE CASCADE, tag TEXT, PRIMARY KEY (item, tag)) "
        "WITHOUT ROWID",
        "CREATE INDEX item_name ON item (name)",
        "CREATE VIEW cheap AS SELECT * FROM item WHERE price < 3",
        'CREATE TABLE "odd ""name" ("a b" TEXT)',
        SERIES.format(250) + "INSERT INTO item SELECT i, 'item ' || i, i * 0.5, NULL, i FROM c",
        "UPDATE item SET data = x'00ff10', big = 9223372036854775807, price = 2.0 WHERE id = 1",
        "UPDATE item SET name = '<img src=x onerror=alert(1)>', big = -9007199254740993, data = x'' WHERE id = 2",
        "UPDATE item SET name = printf('%.*c', 5000, 'x'), data = zeroblob(4000) WHERE id = 3",
    )
    return created


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


class Visit:
    """One tab, and everything it asked for and complained about."""

    def __init__(self, page: Page, node: Node) -> None:
        self.page = page
        self.node = node
        self.complaints: list[str] = []
        self.requests: list[tuple[str, str]] = []
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("request", lambda request: self.requests.append((request.method, request.url)))

    def sign_in(self) -> None:
        self.page.goto(self.node.control_url)
        self.page.get_by_label("Operator token").fill(self.node.token)
        self.page.keyboard.press("Enter")

    def open(self, database: str) -> None:
        self.page.get_by_role("navigation").get_by_role("button", name=database, exact=True).first.click()

    def choose(self, table: str) -> None:
        """A table of the database `shop`, which is open."""
        self.page.get_by_label("Tables of shop").get_by_role("button", name=table, exact=True).click()

    def run(self, sql: str) -> None:
        """Type into the editor and run it by keyboard; returns when there is a result."""
        self.page.get_by_role("tab", name="SQL").click()
        self.page.locator("#results").evaluate("(results) => results.replaceChildren()")
        self.page.get_by_role("textbox", name="SQL").fill(sql)
        self.page.keyboard.press("Control+Enter")
        self.page.locator("#results > *").first.wait_for()

    def row(self, number: int) -> list[str]:
        """The texts of a row of the first table that is shown, from 0."""
        table = self.page.locator("table:visible").first
        return table.locator("tbody tr").nth(number).locator("td").all_inner_texts()


@pytest.fixture
def visit(chromium: Browser, node: Node, shop: dict[str, Any]) -> Iterator[Visit]:
    """A new tab; a script error, a refusal by the page's own policy, or a request elsewhere fails the test."""
    context = chromium.new_context()
    one = Visit(context.new_page(), node)
    yield one
    origin = urlsplit(node.control_url).netloc
    assert {urlsplit(url).netloc for _, url in one.requests} <= {origin}
    assert not [url for _, url in one.requests if node.token in url or "q." in url]
    context.close()
    assert one.complaints == []


def test_signing_in_and_out(visit: Visit) -> None:
    page = visit.page
    page.goto(visit.node.control_url)
    assert page.url == visit.node.control_url + "/ui/"
    page.get_by_label("Operator token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("This is not the node's operator token.")
    visit.complaints.clear()  # Chromium notes the 401
    visit.sign_in()
    visit.open("shop")
    expect(page.get_by_role("heading", name="acme / shop")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="acme / shop")).to_be_visible()
    assert page.context.cookies() == []
    assert visit.node.token not in page.url
    assert page.title() == "shop · brrrd"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Operator token")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Operator token")).to_be_visible()
    assert visit.node.token not in visit.node.log()


def test_rows_are_shown_exactly_and_page_by_page(visit: Visit) -> None:
    page = visit.page
    visit.sign_in()
    visit.open("shop")
    visit.choose("item")
    place = page.locator(".place")
    expect(place).to_have_text("Rows 1 to 100")
    assert visit.row(0) == ["1", "item 1", "2.0", "x'00ff10' · 3 bytes", "9223372036854775807"]
    assert visit.row(1) == ["2", "<img src=x onerror=alert(1)>", "1.0", "x'' · 0 bytes", "-9007199254740993"]
    assert visit.row(3)[3] == "NULL"
    page.get_by_role("button", name="Count").click()
    expect(place).to_have_text("Rows 1 to 100 of 250")
    page.get_by_role("button", name="Next").click()
    expect(place).to_have_text("Rows 101 to 200 of 250")
    expect(page.get_by_role("button", name="Next")).to_be_focused()
    page.get_by_role("button", name="Next").click()
    expect(place).to_have_text("Rows 201 to 250 of 250")
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("button", name="big", exact=True).click()
    expect(place).to_have_text("Rows 1 to 100 of 250")
    assert visit.row(0)[0] == "2"
    page.get_by_role("button", name="big", exact=True).click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text("biginteger")
    assert visit.row(0)[0] == "1"


def test_a_long_value_and_a_blob_can_be_seen_whole(visit: Visit) -> None:
    page = visit.page
    visit.sign_in()
    visit.open("shop")
    visit.choose("item")
    page.get_by_role("button", name="xxxxxxxx").click()
    dialog = page.get_by_role("dialog", name="name")
    assert dialog.locator("pre").inner_text() == "x" * 5000
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="x'00ff10'").click()
    assert page.locator("#value-text").inner_text().split() == ["00000000", "00", "ff", "10", "..."]


def test_large_rows_are_shown_as_far_as_a_browser_bears_them(visit: Visit) -> None:
    page = visit.page
    created = visit.node.create_database("large")
    created["database_url"] = f"{visit.node.url}/v1/{created['database_id']}"
    fill = SERIES.format(30) + "INSERT INTO t SELECT i, zeroblob(1000000) FROM c"
    visit.node.sql(created, "CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)", fill)
    visit.sign_in()
    visit.open("large")
    page.get_by_label("Tables of large").get_by_role("button", name="t", exact=True).click()
    expect(page.locator(".place")).to_have_text("Rows 1 to 12")
    assert visit.row(11)[1].endswith("…' · 1,000,000 bytes")
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".place")).to_have_text("Rows 13 to 24")
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".place")).to_have_text("Rows 25 to 30 of 30")
    visit.run("SELECT data FROM t; SELECT 1 AS one")
    expect(page.locator("#results")).to_contain_text("The first 12 rows; there are more.")
    visit.node.control("DELETE", f"/v1/databases/{created['database_id']}")


def test_schema_views_and_odd_names(visit: Visit) -> None:
    page = visit.page
    visit.sign_in()
    visit.open("shop")
    visit.choose("link")
    # Until the table is open its tab is disabled, cannot have the focus, and would not get the key.
    expect(page.get_by_role("tab", name="Rows", selected=True)).to_be_enabled()
    page.get_by_role("tab", name="Rows").press("ArrowRight")
    expect(page.get_by_role("tab", name="Schema")).to_be_focused()
    keys = page.get_by_role("region", name="Foreign keys").locator("tbody td")
    expect(keys).to_have_text(["item", "item(id)", "NO ACTION", "CASCADE"])
    visit.choose("item")
    expect(page.get_by_text("CREATE INDEX item_name ON item (name);")).to_be_visible()
    page.get_by_role("tab", name="Rows").click()
    visit.choose("cheap view")
    expect(page.locator(".place")).to_have_text("Rows 1 to 5 of 5")
    visit.choose('odd "name')
    expect(page.locator(".place")).to_have_text("No rows")
    page.go_back()
    expect(page.locator(".place")).to_have_text("Rows 1 to 5 of 5")


def test_sql_reads_by_default_and_writes_when_allowed(visit: Visit, shop: dict[str, Any]) -> None:
    page = visit.page
    visit.sign_in()
    visit.open("shop")
    visit.run("SELECT 1 AS one, ';' AS text; -- a comment;\nSELECT count(*) FROM item;")
    expect(page.locator("#took")).to_contain_text("2 statements in ")
    assert visit.row(0) == ["1", ";"]
    visit.run("SELECT nope; SELECT 1")
    expect(page.locator("#results").get_by_role("alert")).to_contain_text("no such column: nope")
    expect(page.locator("#took")).to_contain_text("0 statements of 2")
    visit.run("CREATE TABLE made (id)")
    expect(page.locator("#results").get_by_role("alert")).to_contain_text("Allow writes")
    page.get_by_label("Allow writes").check()
    visit.run("BEGIN; CREATE TABLE lost (id)")
    expect(page.locator("#results")).to_contain_text("left open and has been rolled back")
    visit.run("CREATE TABLE made (id); INSERT INTO made VALUES (1), (2) RETURNING id")
    expect(page.get_by_label("Tables of shop").get_by_role("button", name="made", exact=True)).to_be_visible()
    assert visit.row(1) == ["2"]
    names = visit.node.sql(shop, "SELECT group_concat(name) FROM sqlite_schema WHERE name IN ('made', 'lost')")
    assert names[0]["rows"][0][0]["value"] == "made"
    visit.node.sql(shop, "DROP TABLE made")


def test_a_large_result_is_cut_and_a_long_statement_can_be_cancelled(visit: Visit) -> None:
    page = visit.page
    visit.sign_in()
    visit.open("shop")
    visit.run(SERIES.format(100_000_000) + "SELECT i FROM c")
    expect(page.locator("#results")).to_contain_text("The first 1,000 rows; there are more.")
    page.locator("#results").evaluate("(results) => results.replaceChildren()")
    page.get_by_role("textbox", name="SQL").fill(SERIES.format(100_000_000_000) + "SELECT count(*) FROM c")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator("#results")).to_contain_text("Cancelled.")
    # The database worker is free again: nobody waits for what was cancelled.
    visit.run("SELECT 42 AS answer")
    assert visit.row(0) == ["42"]
    page.keyboard.press("Alt+ArrowUp")
    page.keyboard.press("Alt+ArrowUp")
    assert page.get_by_role("textbox", name="SQL").input_value().endswith("SELECT count(*) FROM c")


def test_the_query_token_is_renewed_before_it_ends_and_after_a_rotation(visit: Visit, shop: dict[str, Any]) -> None:
    page = visit.page
    issued: list[Response] = []
    # What it says is asked for later: another result may be shown until that is here.
    page.on("response", lambda answer: issued.append(answer) if "query-token" in answer.url else None)
    page.clock.install()
    visit.sign_in()
    visit.open("shop")
    visit.run("SELECT 1 AS a")
    assert [answer.json()["access"] for answer in issued] == ["ro"]
    page.clock.fast_forward(230_000)
    visit.run("SELECT 2 AS a")
    assert len(issued) == 1
    page.clock.fast_forward(20_000)
    visit.run("SELECT 3 AS a")
    assert len(issued) == 2
    shop["database_token"] = visit.node.control("POST", f"/v1/databases/{shop['database_id']}/token/rotate").json()[
        "database_token"
    ]
    visit.run("SELECT 4 AS a")
    assert visit.row(0) == ["4"]
    assert len(issued) == 3
    visit.complaints.clear()  # Chromium notes the 401


def test_a_suspended_database_says_so(visit: Visit) -> None:
    created = visit.node.create_database("paused")
    visit.node.control("POST", f"/v1/databases/{created['database_id']}/suspend", json={"reason": "unpaid"})
    visit.sign_in()
    visit.open("paused suspended")
    expect(visit.page.locator("#facts")).to_contain_text("The database is suspended: unpaid")
    visit.node.control("DELETE", f"/v1/databases/{created['database_id']}")


def test_counting_may_fail(visit: Visit, shop: dict[str, Any]) -> None:
    page = visit.page
    visit.sign_in()
    visit.open("shop")
    visit.choose("item")
    count = page.get_by_role("button", name="Count")
    expect(count).to_be_visible()
    visit.node.control("POST", f"/v1/databases/{shop['database_id']}/suspend", json={"reason": "unpaid"})
    count.click()
    expect(page.get_by_role("alert")).to_contain_text("The database is suspended: unpaid")
    visit.node.control("POST", f"/v1/databases/{shop['database_id']}/resume")


def test_an_address_that_names_nothing_shows_the_databases(visit: Visit) -> None:
    visit.sign_in()
    expect(visit.page.get_by_label("Filter databases and tables")).to_be_focused()  # the tab keeps the token by then
    for wrong in ("%zz", "nothing/at/all", "/"):
        visit.page.goto(f"{visit.node.control_url}/ui/#{wrong}")
        visit.page.reload()
        expect(visit.page.get_by_text("Choose a database.")).to_be_visible()
        expect(visit.page.get_by_label("Operator token")).to_be_hidden()


SPLIT = [
    ("SELECT 1;SELECT 2", ["SELECT 1", "SELECT 2"]),
    (" ; -- nothing\n;/* nor; here */", []),
    ("SELECT ';', \"a;b\", `c;d`, [e;f] -- x;\n, 2; SELECT 'it''s; fine'", 2),
    ("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; DELETE FROM b; END; SELECT 1", 2),
    ("create temp trigger t after insert on a begin select 1; end", 1),
    ("EXPLAIN SELECT 1; CREATE TABLE trigger_like (id); SELECT 'unfinished; ", 3),
    ("SELECT 1 - 1 / 2; SELECT 2 -- the end", ["SELECT 1 - 1 / 2", "SELECT 2"]),
]


def test_statements_are_told_apart(visit: Visit) -> None:
    visit.page.goto(visit.node.control_url + "/ui/")
    texts = [text for text, _ in SPLIT]
    split = "async (texts) => { const { split } = await import('./statements.js'); return texts.map(split); }"
    for (text, expected), found in zip(SPLIT, visit.page.evaluate(split, texts), strict=True):
        assert (found if isinstance(expected, list) else len(found)) == expected, text


def test_no_other_site_can_use_the_page_or_what_it_talks_to(
    chromium: Browser, node: Node, shop: dict[str, Any]
) -> None:
    wanted = {"ttl_seconds": 60, "access": "ro"}
    token = node.control("POST", f"/v1/databases/{shop['database_id']}/query-token", json=wanted).json()["query_token"]
    context = chromium.new_context()
    page = context.new_page()
    page.goto(node.control_url.replace("127.0.0.1", "localhost") + "/ui/")
    attempt = """async ([url, token, method]) => {
        try { return (await fetch(url, { method, headers: { authorization: `Bearer ${token}` } })).status; }
        catch (error) { return error.name; }
    }"""
    sql = f"{node.control_url}/ui/sql/{shop['database_id']}/cursor"
    # Not by its own policy but by the browser's rules for other origins.
    elsewhere = context.new_page()
    elsewhere.goto(f"{node.url}/v1/v2")
    for one in (page, elsewhere):
        assert one.evaluate(attempt, [sql, token, "POST"]) == "TypeError"
        assert one.evaluate(attempt, [node.control_url + "/v1/projects", node.token, "GET"]) == "TypeError"
    frame = f"<iframe src='{node.control_url}/ui/'></iframe>"
    elsewhere.set_content(frame)
    assert "brrrd" not in (elsewhere.frames[-1].title() or "")
    context.close()


@pytest.mark.parametrize("path", ["/ui/", "/ui/main.js", "/ui/style.css", "/ui/icon.svg"])
def test_the_files_come_with_a_strict_policy(node: Node, path: str) -> None:
    answer = httpx.get(node.control_url + path, trust_env=False)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "access-control-allow-origin" not in answer.headers
    unchanged = {"if-none-match": answer.headers["etag"]}
    assert httpx.get(node.control_url + path, headers=unchanged, trust_env=False).status_code == 304


def test_a_browser_that_leaves_in_the_middle_of_a_request_harms_nothing(node: Node, shop: dict[str, Any]) -> None:
    head = (
        f"POST /ui/sql/{shop['database_id']}/cursor HTTP/1.1\r\nHost: {node.control_url[7:]}\r\n"
        f"Authorization: Bearer {shop['database_token']}\r\nContent-Length: 1000\r\n\r\n{{"
    )
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", node.control_port)) as connection:
            connection.sendall(head.encode())
    body = {"batch": {"steps": [{"stmt": {"sql": "SELECT 1"}}]}}
    headers = {"authorization": f"Bearer {shop['database_token']}"}
    path = f"{node.control_url}/ui/sql/{shop['database_id']}/cursor"
    assert httpx.post(path, headers=headers, json=body, trust_env=False).status_code == 200
    assert "Traceback" not in node.log()


def test_sql_needs_a_token_of_the_database(node: Node, shop: dict[str, Any]) -> None:
    body = {"batch": {"steps": [{"stmt": {"sql": "SELECT 1"}}]}}

    def ask(path: str, token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", "origin": "https://elsewhere.example"}
        return httpx.post(node.control_url + path, headers=headers, json=body, trust_env=False)

    path = f"/ui/sql/{shop['database_id']}/cursor"
    good = ask(path, shop["database_token"])
    assert good.status_code == 200
    assert json.loads(good.text.splitlines()[2])["row"] == [{"type": "integer", "value": "1"}]
    assert not [name for name in good.headers if name.startswith("access-control")]
    # The operator token is none of a database's, and nothing but SQL goes this way.
    assert ask(path, node.token).status_code == 401
    assert ask(path, "none").status_code == 401
    for other in ("/ui/sql/db-aaaaaaaaaaaa/cursor", f"/ui/sql/{shop['database_id']}/dump", "/ui/sql/../cursor"):
        assert ask(other, shop["database_token"]).status_code in (404, 405)
