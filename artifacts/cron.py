"""Cron expressions: whether one is right, and when it is due next. Pure; all times are UTC.

Called by `artifacts.manifest` for the key `crons`, and by the supervisor, which fires them. Five fields (minute, hour,
day of the month, month, day of the week), with lists, ranges, steps, names, `L` and `LW` for the last (working) day of
the month, `5L` for its last Friday and `MON#2` for its second Monday. Days of the week are 0 to 7, 0 and 7 are Sunday.
"""

import re
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

MAX_LENGTH = 100
_FIELDS = 5
_CHARACTERS = re.compile(r"[0-9A-Za-z*,/#-]+")


class CronError(Exception):
    """The expression is wrong; the sentence says how."""


def check(expression: str, now: float) -> None:
    """Raise `CronError` unless the expression is right and is due at some time after `now`."""
    if len(expression) > MAX_LENGTH:
        raise CronError(f"a cron expression has at most {MAX_LENGTH} characters")
    fields = expression.split()
    if len(fields) != _FIELDS:
        raise CronError(f"expected five fields (minute, hour, day, month, weekday), got {len(fields)}")
    for field in fields:
        if _CHARACTERS.fullmatch(field) is None:
            raise CronError(f"{field!r} is not a field of a cron expression")
    try:
        next_after(expression, now)
    except CronSimError as error:
        raise CronError(str(error)[:1].lower() + str(error)[1:]) from None
    except (AssertionError, ValueError, TypeError):
        # What the library does not expect, such as a step after `5L`.
        raise CronError("this combination has no meaning") from None
    except StopIteration:
        raise CronError("it is never due") from None


def next_after(expression: str, now: float) -> float:
    """When a checked expression is due next, strictly after `now`; both in seconds since the epoch."""
    return next(CronSim(expression, datetime.fromtimestamp(now, UTC))).timestamp()
