"""How figures are taken and combined; the runs themselves are not tests."""

import pytest

from benchmarks.comparison import Report, Row, chosen, compare, interleave, markdown_table, median, milliseconds
from benchmarks.load import Measurement, parse
from benchmarks.peers import PeerError
from benchmarks.workloads import Workload


def a_run(rate: float, p50: float = 100, p99: float = 900, failed: int = 0) -> Measurement:
    return Measurement(rate=rate, p50=p50, p99=p99, failed=failed, refused=0)


def test_every_round_turns_the_order() -> None:
    assert interleave(["a", "b"], 3) == ["a", "b", "b", "a", "a", "b"]


def test_a_median_does_not_hide_broken_requests() -> None:
    assert median([a_run(10), a_run(30, failed=2), a_run(20)]) == a_run(20, failed=2)


def test_ratios_are_ours_by_theirs() -> None:
    row = Row("hello", 32, {"workerd 1": a_run(100, p50=400), "brrrd": a_run(150, p50=300)})
    assert row.ratio("brrrd", "workerd 1") == 1.5
    assert row.latency_ratio("brrrd", "workerd 1") == 0.75


def test_compare_measures_each_peer_in_each_round() -> None:
    order: list[str] = []

    def measure(name: str) -> Measurement:
        order.append(name)
        return a_run(float(len(order)))

    row = compare(["a", "b"], 3, measure, workload="hello", connections=1)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert row.peers["a"].rate == 4


def test_workloads_are_chosen_by_name_and_an_unknown_one_is_told_which_there_are() -> None:
    known = [Workload(name, name) for name in ("hello", "json")]
    assert chosen(known, [], "workload") == known
    assert chosen(known, ["json"], "workload") == known[1:]
    with pytest.raises(PeerError, match=r"No such workload\. There are: hello, json\."):
        chosen(known, ["jsn"], "workload")


def test_the_figures_of_wrk_are_read_from_the_script() -> None:
    figures = '{"requests":500,"microseconds":2000000,"p50":80.0,"p99":700.0,"bytes":9,"failed":1,"refused":2}'
    assert parse(f"Running 1s test\n\nRESULT {figures}\n") == Measurement(
        rate=250.0, p50=80.0, p99=700.0, failed=1, refused=2
    )


def test_the_markdown_table_has_ratios_only() -> None:
    row = Row("hello", 32, {"workerd 1": a_run(100, p50=400), "brrrd": a_run(150, p50=300)})
    text = markdown_table(Report("a machine", 5, 3, [row]), ["workerd 1", "brrrd"])
    assert "| hello | 32 | 1.50 | 0.75 | 1.00 |" in text
    assert "a machine" in text


def test_durations_are_short() -> None:
    assert [milliseconds(80), milliseconds(12_345), milliseconds(250_000)] == ["0.08", "12.35", "250"]
