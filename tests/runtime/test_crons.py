"""When crons are due: the supervisor's decisions by tables, without a clock."""

from datetime import UTC, datetime

from runtime.supervisor.crons import Cron, Crons


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOON = at("2026-03-01 12:00:30")


def due(crons: Crons, time: str) -> list[tuple[str, str, float]]:
    return [(due.app_id, due.cron.expression, due.scheduled) for due in crons.due(at(time))]


def made(*expressions: str) -> Crons:
    crons = Crons()
    crons.update({"app": expressions}, NOON)
    return crons


def test_a_cron_is_due_once_at_its_minute() -> None:
    crons = made("*/5 * * * *")
    assert crons.next() == at("2026-03-01 12:05:00")
    assert due(crons, "2026-03-01 12:04:59") == []
    assert due(crons, "2026-03-01 12:05:00") == [("app", "*/5 * * * *", at("2026-03-01 12:05:00"))]
    assert due(crons, "2026-03-01 12:05:00") == []
    assert crons.next() == at("2026-03-01 12:10:00")


def test_crons_of_several_apps_are_due_independently() -> None:
    crons = Crons()
    crons.update({"one": ["0 13 * * *", "5 13 * * *"], "two": ["0 13 * * *"], "none": []}, NOON)
    assert [found[:2] for found in due(crons, "2026-03-01 13:00:01")] == [("one", "0 13 * * *"), ("two", "0 13 * * *")]
    assert [found[:2] for found in due(crons, "2026-03-01 13:05:00")] == [("one", "5 13 * * *")]


def test_missed_times_are_not_made_up_for() -> None:
    crons = made("* * * * *")
    assert due(crons, "2026-03-01 12:31:00") == []
    assert crons.next() == at("2026-03-01 12:32:00")
    # A little late is not missed.
    assert due(crons, "2026-03-01 12:32:40") == [("app", "* * * * *", at("2026-03-01 12:32:00"))]


def test_a_clock_that_is_put_back_does_not_stop_crons() -> None:
    crons = made("* * * * *")
    due(crons, "2026-03-01 12:01:00")
    assert due(crons, "2026-03-01 09:00:10") == []
    assert crons.next() == at("2026-03-01 09:01:00")


def test_a_deploy_keeps_what_is_known_of_crons_that_stay() -> None:
    crons = made("*/5 * * * *", "0 0 * * *")
    first = crons.of_app("app")[0]
    run = first.start(NOON)
    crons.update({"app": ["*/5 * * * *", "1 0 * * *"]}, at("2026-03-01 12:07:00"))
    kept, new = crons.of_app("app")
    assert kept is first
    assert kept.running is run
    assert (new.expression, new.next) == ("1 0 * * *", at("2026-03-02 00:01:00"))
    crons.update({}, NOON)
    assert crons.next() is None


def test_a_run_that_goes_on_keeps_the_next_from_starting() -> None:
    cron = Cron("* * * * *", NOON)
    run = cron.start(NOON)
    assert run is not None
    assert cron.start(NOON + 60) is None
    assert cron.last is not None
    assert cron.last.outcome == "skipped"
    cron.end(run, "ok", 1500.0)
    assert cron.last is run
    assert cron.start(NOON + 120) is not None
