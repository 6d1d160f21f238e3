"""Which crons are due: pure state, `now` is always an argument, in seconds since the epoch.

`cron_runs.py` keeps one `Crons` for the node and runs what is decided here. A cron runs once per node, however many
isolates its app has. Times that passed while the node was down, or held up for longer than `LATE_SECONDS`, are not made
up for; nor are those at which the run before still went on.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from artifacts.cron import next_after

LATE_SECONDS = 60.0

Outcome = Literal["ok", "exception", "timeout", "died", "unavailable", "skipped"]
"""`died`: its isolate ended meanwhile; `unavailable`: none could be started; `skipped`: the run before went on."""


class Run(msgspec.Struct):
    """One run of a cron, or a time at which it was skipped."""

    started: float
    outcome: Outcome | None = None
    """None while it goes on."""
    milliseconds: float = 0.0


class Cron:
    """One cron of an app."""

    def __init__(self, expression: str, now: float) -> None:
        self.expression = expression
        self.next = next_after(expression, now)
        self.running: Run | None = None
        self.last: Run | None = None
        """The last run that ended, or was skipped."""

    def __repr__(self) -> str:
        return f"<Cron {self.expression} next={self.next:.0f}{' running' if self.running else ''}>"

    def start(self, now: float) -> Run | None:
        """Begin a run; None, and a skipped one, if one is going on."""
        if self.running is not None:
            self.last = Run(now, "skipped")
            return None
        self.running = Run(now)
        return self.running

    def end(self, run: Run, outcome: Outcome, milliseconds: float) -> None:
        """A run ended."""
        run.outcome, run.milliseconds = outcome, milliseconds
        if self.running is run:
            self.running = None
        self.last = run


class Due(msgspec.Struct, frozen=True):
    """A cron whose time has come."""

    app_id: str
    cron: Cron
    scheduled: float


class Crons:
    """All crons of the node, by app id."""

    def __init__(self) -> None:
        self._apps: dict[str, dict[str, Cron]] = {}
        self._looked = float("-inf")

    def __repr__(self) -> str:
        return f"<Crons of {len(self._apps)} apps>"

    def of_app(self, app_id: str) -> list[Cron]:
        """An app's crons in the order of its manifest."""
        return list(self._apps.get(app_id, {}).values())

    def update(self, wanted: Mapping[str, Sequence[str]], now: float) -> None:
        """Keep exactly these expressions, by app id; those that were there before keep what they know."""
        self._apps = {
            app_id: {
                expression: self._apps.get(app_id, {}).get(expression) or Cron(expression, now)
                for expression in expressions
            }
            for app_id, expressions in wanted.items()
            if expressions
        }

    def due(self, now: float) -> list[Due]:
        """What has to be run now; each of it once."""
        found = []
        # A clock that was put back would leave everything waiting until it is there again.
        put_back = now < self._looked - LATE_SECONDS
        self._looked = now
        for app_id, crons in self._apps.items():
            for cron in crons.values():
                if put_back:
                    cron.next = next_after(cron.expression, now)
                if cron.next > now:
                    continue
                if now - cron.next <= LATE_SECONDS:
                    found.append(Due(app_id, cron, cron.next))
                cron.next = next_after(cron.expression, now)
        return found

    def next(self) -> float | None:
        """When `due` has something to say next."""
        return min((cron.next for crons in self._apps.values() for cron in crons.values()), default=None)
