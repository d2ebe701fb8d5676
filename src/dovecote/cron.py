"""Cron expressions: checked with an answer for people, and their local times by cronsim. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cronsim import CronSim, CronSimError

from dovecote.content import shown
from dovecote.errors import InvalidSchedule

SECOND = timedelta(seconds=1)
LONGEST: Final = 200
FIVE, SIX = 5, 6

NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# What each field is called, what it takes, and the longest step that meets two of its values.
FIELDS: Final = (
    ("second", "0-59", 59),
    ("minute", "0-59", 59),
    ("hour", "0-23", 23),
    ("day of the month", "1-31, L for the last or LW for the last weekday", 30),
    ("month", "1-12 or JAN-DEC", 11),
    ("day of the week", "0-7 or SUN-SAT (0 and 7 are Sunday), MON#2 for the second, 1L for the last", 6),
)
_STEP = re.compile(r"/([0-9]+)")


@lru_cache(maxsize=4096)
def cron_fields(expression: object) -> str:
    """The expression as five or six fields. Raises InvalidSchedule, which names the field that cannot be."""
    if not isinstance(expression, str) or not expression.strip() or len(expression) > LONGEST:
        raise _invalid(expression, "it is no cron expression: write five fields, as 0 9 * * MON-FRI, or @daily.")
    if expression.strip().startswith("@"):
        try:
            return NICKNAMES[expression.strip().lower()]
        except KeyError:
            raise _invalid(expression, f"there is no such name: there are {', '.join(NICKNAMES)}.") from None
    fields = expression.split()
    if len(fields) not in {FIVE, SIX}:
        raise _invalid(
            expression,
            f"it has {len(fields)} fields: write five (minute, hour, day, month, day of the week), or six with seconds"
            " first.",
        )
    for place, (name, takes, _) in enumerate(FIELDS[-len(fields) :], start=SIX - len(fields)):
        if not _is_field(fields[place - SIX + len(fields)], place):
            given = fields[place - SIX + len(fields)]
            raise _invalid(expression, f"{given!r} is no {name}: it takes {takes}; also *, lists, ranges and steps.")
    if not _parses(" ".join(fields)):
        raise _invalid(expression, "it can never fire: none of its months has such a day. Mend the day or the month.")
    return " ".join(fields)


def check_steps(expression: str) -> None:
    """See that no step leads past its whole field: `*/90` minutes would be every hour, and is not meant so.

    Raises InvalidSchedule. Asked when a schedule is made, and not when it fires.
    """
    fields = cron_fields(expression).split()
    for given, (name, _, longest) in zip(fields, FIELDS[-len(fields) :], strict=True):
        if any(int(step) > longest for step in _STEP.findall(given)):
            raise _invalid(
                expression,
                f"{given!r} meets one {name} alone: a step is 1 to {longest} there. Cron begins to count anew with each"
                " of the next larger unit; for an interval of any length give `every`, as 90m.",
            )


def _is_field(given: str, place: int) -> bool:
    alone = ["*"] * SIX
    alone[place] = given
    # An impossible day is one only together with its month.
    return _parses(" ".join(alone))


def _parses(fields: str) -> bool:
    try:
        CronSim(fields, datetime(2026, 1, 1))  # noqa: DTZ001 (a local time)
    except (CronSimError, AssertionError, ValueError):
        return False
    return True


def _invalid(expression: object, problem: str) -> InvalidSchedule:
    return InvalidSchedule("cron", f"{shown(expression)}: {problem}")


class CronWalls:
    """The local times of `cron_fields`."""

    def __init__(self, fields: str) -> None:
        somewhen = datetime(2026, 1, 1)  # noqa: DTZ001 (a local time)
        # Parsed once; where they stand is set before each step.
        self._forward = CronSim(fields, somewhen)
        self._backward = CronSim(fields, somewhen, reverse=True)

    def first(self, wall: datetime) -> datetime | None:
        """The first at or after `wall`, within 50 years."""
        # A step begins with a second.
        self._forward.dt = wall.replace(microsecond=0) if wall.microsecond else wall - SECOND
        return next(self._forward, None)

    def last(self, wall: datetime) -> datetime | None:
        """The last at or before `wall`, within 50 years."""
        self._backward.dt = wall.replace(microsecond=0) + SECOND
        return next(self._backward, None)
