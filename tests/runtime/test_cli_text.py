"""What commands print for people: tables, log lines, refusals."""

import time
from typing import Any

import pytest
from rich.console import Console

from runtime.cli.environment import parse_assignment
from runtime.cli.errors import Refused
from runtime.cli.logs import readable
from runtime.cli.serve import next_steps
from runtime.cli.tables import moment, plain, size, table, text
from runtime.serve import Addresses


def rendered(renderable: Any) -> list[str]:
    console = Console(width=200, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(renderable)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_table_keeps_long_ids_whole() -> None:
    lines = rendered(table(["ID", "HOSTS"], [["a" * 80, ["one.localhost", "two.localhost"]]], "none"))
    assert lines == ["ID" + " " * 80 + "HOSTS", "a" * 80 + "  one.localhost, two.localhost"]


def test_an_empty_table_is_a_sentence() -> None:
    assert table(["ID"], [], "No apps.") == "No apps."


def test_what_an_app_says_does_not_steer_the_terminal() -> None:
    line = readable({"time": 0, "level": "info", "message": "a\x1b]0;title\x07\u009b31m\u202e\n\tb"})
    assert line.partition("info  ")[2] == "a]0;title31m\n    \tb"
    assert str(Refused(422, {"detail": "worker.js:1: \x1b[2J"})) == "worker.js:1: [2J"


def test_square_brackets_in_values_are_not_markup() -> None:
    assert rendered(table(["VALUE"], [["[bold]x[/bold]"]], "none"))[1] == "[bold]x[/bold]"


def test_an_object_is_shown_field_by_field() -> None:
    assert rendered(plain({"build_id": "b1", "active": True, "gone": None})) == ["build id  b1", "active    yes"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        ([], "-"),
        (True, "yes"),
        (0, "0"),
        (["a", 1], "a, 1"),
        ({"a": 1, "b": None}, "a 1, b -"),
        ("\x1b[2J\u202e", r"\x1b[2J\u202e"),
    ],
)
def test_cells(value: Any, expected: str) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (256_000_000, "256.0 MB"), (10**13, "10.0 TB"), (None, "-")],
)
def test_sizes(count: int | None, expected: str) -> None:
    assert size(count) == expected


def test_moments_are_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert moment("2023-11-14T22:13:20.500Z") == "2023-11-14 22:13:20"
        assert moment(None) == "-"
        assert readable({"time": 1_700_000_000.25, "level": "error", "request_id": "r1", "message": "a\nb"}) == (
            "22:13:20.250 error [r1] a\n    b"
        )
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("assignment", "pair"), [("A=1", ("A", "1")), ("A=", ("A", "")), ("URL=x?a=b", ("URL", "x?a=b"))]
)
def test_assignments(assignment: str, pair: tuple[str, str]) -> None:
    assert parse_assignment(assignment) == pair


def test_a_refusal_names_the_place_in_the_package() -> None:
    problem = {"detail": "Unexpected token '}'", "file": "worker.js", "line": 3, "column": 7}
    assert str(Refused(422, problem)) == "worker.js:3:7: Unexpected token '}'"


def test_a_place_that_the_detail_already_names_is_not_repeated() -> None:
    problem = {"detail": "worker.js:3:7: Unexpected token '}'", "file": "worker.js", "line": 3, "column": 7}
    assert str(Refused(422, problem)) == "worker.js:3:7: Unexpected token '}'"


def test_a_refusal_without_a_problem_names_the_status() -> None:
    assert str(Refused(502, {})) == "the node answered with status 502"


@pytest.mark.parametrize(("control", "option"), [("127.0.0.1:8081", ""), ("[::1]:9", " --api http://[::1]:9")])
def test_next_steps_are_commands_that_reach_the_node(control: str, option: str) -> None:
    shown = next_steps(Addresses("127.0.0.1:8080", control, "http://127.0.0.1:8080", None))
    assert f"brrrd deploy FOLDER --app NAME{option}\n" in shown
    assert f"http://{control}/ui/\n" in shown
