"""Names of apps, projects, databases, hosts and variables."""

import pytest

from runtime.control.names import host_name, name_or_id, new_name, variable
from runtime.control.problems import Problem


@pytest.mark.parametrize("name", ["a", "0", "my-app", "a" * 63])
def test_good_names(name: str) -> None:
    assert new_name(name, "app") == name


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a.b", "a" * 64, "ä", "a/b", "a\n", "app-abcdefghijkl"])
def test_bad_names_are_400(name: str) -> None:
    with pytest.raises(Problem) as error:
        new_name(name, "app")
    assert error.value.status == 400


def test_an_impossible_name_in_a_url_is_404() -> None:
    with pytest.raises(Problem) as error:
        name_or_id("../etc", "app")
    assert error.value.status == 404


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Shop.Example.COM.", "shop.example.com"),
        ("*.example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        (" a.localhost ", "a.localhost"),
        ("*.localhost", "*.localhost"),
        ("under_score.example", "under_score.example"),
    ],
)
def test_host_names(text: str, expected: str) -> None:
    assert host_name(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.com", "a..b", "a.example:80", "http://a.example", "-a.example", "1.2.3.4", "a b", "a.*.b", "x" * 300],
)
def test_bad_host_names_are_400(text: str) -> None:
    with pytest.raises(Problem) as error:
        host_name(text)
    assert error.value.status == 400


@pytest.mark.parametrize(("key", "value"), [("1A", "x"), ("A B", "x"), ("", "x"), ("A", "\0"), ("A", "x" * 70_000)])
def test_bad_variables_are_400(key: str, value: str) -> None:
    with pytest.raises(Problem) as error:
        variable(key, value)
    assert error.value.status == 400
