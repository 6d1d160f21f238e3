"""Addresses as text."""

import pytest

from runtime.addresses import bracketed, join_address, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("node.example:65535", ("node.example", 65535))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text, "listen") == expected
    assert join_address(*expected) == text


@pytest.mark.parametrize("text", ["", ":80", "127.0.0.1", "127.0.0.1:", "::1:80", "a:b", "127.0.0.1:-1", "a:٣"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="listen"):
        parse_address(text, "listen")


def test_an_address_is_put_into_brackets_once() -> None:
    assert bracketed(bracketed("::1")) == "[::1]"
    assert bracketed("node.example") == "node.example"
