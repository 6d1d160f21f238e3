"""A TypeScript application with itty-router and zod, bundled by esbuild; also minified and as several chunks."""

from collections.abc import Callable

import httpx
import pytest

from tests.node_server import Node, eventually

ORDER = {"customer": "ada@example.com", "lines": [{"sku": "TE-1", "quantity": 2}, {"sku": "TE-3", "quantity": 1}]}


@pytest.fixture(scope="module", params=["plain", "minified"])
def shop(node: Node, build: Callable[..., dict[str, str | bytes]], request: pytest.FixtureRequest) -> httpx.Client:
    options = ("--minify", "--sourcemap=inline") if request.param == "minified" else ()
    node.deploy(build("shop/src/index.ts", *options), f"shop-{request.param}")
    return node.client(f"shop-{request.param}.localhost")


def test_routes_answer_json(shop: httpx.Client) -> None:
    assert [product["sku"] for product in shop.get("/products").json()] == ["TE-1", "TE-2", "TE-3"]
    assert shop.get("/products/TE-2").json() == {"sku": "TE-2", "name": "Kettle", "cents": 900}
    assert shop.get("/products/XX-9").json() == {"status": 404, "error": "no such product"}
    assert shop.get("/elsewhere").status_code == 404


def test_an_order_is_validated_and_work_goes_on_after_the_answer(shop: httpx.Client) -> None:
    before = shop.get("/stock/TE-1").json()["left"]
    answer = shop.post("/orders", json=ORDER)
    assert (answer.status_code, answer.json()) == (
        201,
        {"customer": "ada@example.com", "total": 2250, "currency": "EUR"},
    )
    eventually(10, lambda: shop.get("/stock/TE-1").json()["left"] == before - 2)


def test_a_wrong_order_is_told_what_is_wrong(shop: httpx.Client) -> None:
    answer = shop.post("/orders", json={"customer": "ada", "lines": [{"sku": "tea", "quantity": 0}]})
    assert answer.status_code == 422
    assert [issue["path"] for issue in answer.json()["issues"]] == ["customer", "lines.0.sku", "lines.0.quantity"]
    assert "a SKU looks like AB-12" in answer.text


def test_cors_headers_are_added_to_every_answer(shop: httpx.Client) -> None:
    assert shop.get("/products", headers={"Origin": "https://x.example"}).headers["access-control-allow-origin"] == "*"


def test_a_pipeline_of_streams(shop: httpx.Client) -> None:
    assert shop.get("/receipt/1000").text == "".join(f"ROW {row}\n" for row in range(1, 1001))
