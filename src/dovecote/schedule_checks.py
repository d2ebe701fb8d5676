"""What a schedule may be: every field checked when it is added, with an error that names the value. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final, TypeVar
from zoneinfo import available_timezones

from dovecote.content import plain_params, shown
from dovecote.cron import check_steps
from dovecote.errors import InvalidSchedule
from dovecote.model import (
    CatchUp,
    Cron,
    Dates,
    Every,
    Notification,
    Once,
    Overlap,
    Policies,
    RepeatedHour,
    Schedule,
    SkippedHour,
    Timing,
)
from dovecote.recurrence import fire_times
from dovecote.references import restored
from dovecote.validation import prepared
from dovecote.zones import is_zone

if TYPE_CHECKING:
    from dovecote.model import Recurrence

Choice = TypeVar("Choice", bound=StrEnum)

INTERVALS: Final = (timedelta(seconds=1), timedelta(days=36_500))
YEARS: Final = range(1970, 9000)
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOST_DATES: Final = 10_000
MOST_RECIPIENTS: Final = 10_000
SHORTEST_WINDOW: Final = timedelta(seconds=1)
MOST_CAUGHT_UP: Final = 1000
LONGEST_GRACE: Final = timedelta(minutes=10)
# Every fire time is found some milliseconds late. What neither has so much grace nor is caught up would never fire.
SHORTEST_LATENESS: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(days=366)
# Two fire times must be further apart than the jitter; so many are looked at.
GAPS: Final = 50
# So many of a list of dates are named in an error.
NAMED_DATES: Final = 3
_NAME = re.compile(r"[\w.:/-]{1,100}")


def checked_schedule(schedule: Schedule, now: datetime, *, may_be_over: bool = False) -> Schedule:
    """The schedule with its recipients in `to`, if it can be, and can fire after `now`.

    With `may_be_over` it is enough that it could ever fire: a file keeps what has been.

    Raises InvalidSchedule, and InvalidNotification for what it would send.
    """
    _check_type(schedule, Schedule, "schedule")
    _check_type(schedule.timing, Timing, "timing")
    _check_type(schedule.notification, Notification, "notification")
    _check_type(schedule.policies, Policies, "policies")
    if not _is_name(schedule.name):
        raise InvalidSchedule(
            "name", f"{shown(schedule.name)} cannot be one: use 1 to 100 letters, digits and any of . : / - _"
        )
    timing = _checked_timing(schedule.timing)
    policies = _checked_policies(schedule.policies, timing.jitter)
    schedule = _with_recipients(replace(schedule, timing=timing, policies=policies))
    _check_fires(schedule, EARLIEST if may_be_over else now)
    if schedule.local_time and schedule.policies.overlap is Overlap.SKIP:
        raise InvalidSchedule(
            "overlap", "skip goes with one zone: zones follow each other by design. Allow it, or leave local_time."
        )
    return schedule


def checked_zone(name: object, field: str = "zone") -> str:
    """The name, if it is a zone's. Raises InvalidSchedule."""
    known = _known_zones()
    # Some systems find a zone in whatever case; two spellings would be two homes.
    if isinstance(name, str) and name in known and is_zone(name):
        return name
    same = {zone.lower(): zone for zone in known}.get(str(name).lower())
    near = [same] if same else difflib.get_close_matches(str(name), known, n=1)
    meant = f'did you mean "{near[0]}"?' if near else "give a name of the IANA database, as Europe/Berlin."
    raise InvalidSchedule(field, f"{shown(name)} is no zone: {meant}")


@cache
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _check_type(value: object, wanted: type, field: str) -> None:
    if not isinstance(value, wanted):
        raise InvalidSchedule(field, f"{shown(value)} is none: give {wanted.__name__}(...).")


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _check_recurrence(recurrence: object) -> None:
    match recurrence:
        case Cron(expression):
            check_steps(expression)
        case Every(interval, anchor):
            _check_duration(interval, "every", *INTERVALS)
            if anchor is not None:
                _check_wall(anchor, "anchor")
        case Once(at):
            _check_wall(at, "at")
        case Dates(at):
            if not 0 < len(at) <= MOST_DATES:
                raise InvalidSchedule("dates", f"{len(at)} are given: give 1 to {MOST_DATES} local times.")
            for wall in at:
                _check_wall(wall, "dates")
        case _:
            known = "Cron(...), Every(...), Once(...) or Dates(...)"
            raise InvalidSchedule("recurrence", f"{shown(recurrence)} is none: give {known}.")


def _checked_timing(timing: Timing) -> Timing:
    checked_zone(timing.zone)
    _check_recurrence(timing.recurrence)
    for bound, field in ((timing.start, "start"), (timing.end, "end")):
        if bound is not None:
            _check_wall(bound, field)
    if timing.start is not None and timing.end is not None and timing.end < timing.start:
        raise InvalidSchedule("end", f"{timing.end} is before start {timing.start}: it could never fire.")
    _check_duration(timing.jitter, "jitter", timedelta(0), LONGEST)
    repeated = timing.repeated_hour
    return replace(
        timing,
        skipped_hour=checked_choice(timing.skipped_hour, SkippedHour, "skipped_hour"),
        repeated_hour=None if repeated is None else checked_choice(repeated, RepeatedHour, "repeated_hour"),
    )


def _checked_policies(policies: Policies, jitter: timedelta) -> Policies:
    policies = replace(
        policies,
        catch_up=checked_choice(policies.catch_up, CatchUp, "catch_up"),
        overlap=checked_choice(policies.overlap, Overlap, "overlap"),
    )
    _check_duration(policies.catch_up_window, "catch_up_window", timedelta(0), LONGEST)
    _check_duration(policies.grace, "grace", timedelta(0), LONGEST_GRACE)
    if type(policies.catch_up_cap) is not int or not 1 <= policies.catch_up_cap <= MOST_CAUGHT_UP:
        raise InvalidSchedule("catch_up_cap", f"{shown(policies.catch_up_cap)}: give a number from 1 to 1000.")
    caught_up = timedelta(0) if policies.catch_up is CatchUp.NONE else policies.catch_up_window
    if max(policies.grace, caught_up) < SHORTEST_LATENESS:
        raise InvalidSchedule(
            "grace",
            f"{policies.grace}, and nothing is caught up: fire times are found some milliseconds late, so none would"
            f" fire. Give {SHORTEST_LATENESS} or more, or let them be caught up.",
        )
    if policies.window is None:
        return policies
    _check_duration(policies.window, "window", SHORTEST_WINDOW, LONGEST)
    if policies.window <= jitter:
        raise InvalidSchedule(
            "window",
            f"{policies.window} is not longer than the jitter, {jitter}: what is delayed by it would have expired. Give"
            " a longer window or a shorter jitter.",
        )
    return policies


def _with_recipients(schedule: Schedule) -> Schedule:
    template, to = schedule.notification, schedule.to
    for field in ("key", "due_at", "expires_at"):
        if getattr(template, field) is not None:
            remedy = "policies say when it expires" if field == "expires_at" else "the schedule gives it"
            raise InvalidSchedule("notification", f"{field} is {shown(getattr(template, field))}: leave it, {remedy}.")
    if template.chat_id is not None or "chat_id" in template.params:
        if to is None or len(to):
            also = "everybody" if to is None else ", ".join(str(chat) for chat in islice(to, 3))
            raise InvalidSchedule("to", f"{also}: the notification names a chat itself: give only one of them.")
        to = (template.chat_id if template.chat_id is not None else template.params["chat_id"],)
        params = {name: value for name, value in template.params.items() if name != "chat_id"}
        template = replace(template, chat_id=None, params=params)
    if to is None:
        prepared(replace(template, chat_id=1))
        return replace(schedule, notification=_plain(template), to=None)
    if isinstance(to, str) or not 0 < len(to) <= MOST_RECIPIENTS:
        given = shown(to) if isinstance(to, str) else f"{len(to)} recipients"
        raise InvalidSchedule(
            "to", f"{given}: give 1 to {MOST_RECIPIENTS} chats, or None for every recipient whose zone has been told."
        )
    chats = dict.fromkeys(str(prepared(replace(template, chat_id=chat)).chat) for chat in to)
    return replace(schedule, notification=_plain(template), to=tuple(chats))


def _plain(template: Notification) -> Notification:
    """With parameters that JSON can hold, whatever mappings they were, and Attachments; it is `prepared` already."""
    return replace(template, params=restored(plain_params(template.params)))


def _check_fires(schedule: Schedule, now: datetime) -> None:
    """See that it fires at all, and that its jitter does not let fire times change places."""
    timing = schedule.timing
    fires = list(islice(fire_times(timing, now - timedelta(days=2) if schedule.local_time else now), GAPS))
    if not fires:
        raise InvalidSchedule(
            "recurrence",
            f"{_in_words(timing.recurrence)} can never fire after {now:%Y-%m-%d %H:%M:%S} UTC"
            f"{_bounds_in_words(timing)} in {timing.zone}: give one that does.",
        )
    shortest = min((later.at - earlier.at for earlier, later in pairwise(fires)), default=None)
    if shortest is not None and timing.jitter >= shortest:
        raise InvalidSchedule(
            "jitter", f"{timing.jitter} is not shorter than the time between two fire times, {shortest}: shorten it."
        )


def _in_words(recurrence: Recurrence) -> str:
    match recurrence:
        case Cron(expression):
            return shown(expression)
        case Every(interval, anchor):
            return f"every {interval}" + ("" if anchor is None else f" from {anchor}")
        case Once(at):
            return str(at)
        case Dates(at):
            more = f" and {len(at) - NAMED_DATES} more" if len(at) > NAMED_DATES else ""
            return ", ".join(str(wall) for wall in at[:NAMED_DATES]) + more


def _bounds_in_words(timing: Timing) -> str:
    bounds = (("start", timing.start), ("end", timing.end))
    given = " and ".join(f"{field} {bound}" for field, bound in bounds if bound is not None)
    return f", with {given}" if given else ""


def _check_wall(wall: object, field: str) -> None:
    if not isinstance(wall, datetime):
        raise InvalidSchedule(field, f"{shown(wall)} is no local time: write it as datetime(2026, 1, 31, 9).")
    if wall.year not in YEARS:
        raise InvalidSchedule(field, f"{wall}: give a year from {YEARS.start} to {YEARS.stop - 1}.")
    if wall.tzinfo is not None:
        raise InvalidSchedule(field, f"{wall} has a zone: give the local time alone, it is in the schedule's zone.")


def _check_duration(value: object, field: str, least: timedelta, most: timedelta) -> None:
    if not isinstance(value, timedelta) or not least <= value <= most:
        given = value if isinstance(value, timedelta) else shown(value)
        raise InvalidSchedule(field, f"{given} is none that can be: give a duration from {least} to {most}.")


def checked_choice(value: object, choices: type[Choice], field: str) -> Choice:
    """The member of an enumeration, or the one of that value. Raises InvalidSchedule."""
    try:
        return choices(str(value))
    except ValueError:
        raise InvalidSchedule(field, f"{shown(value)} is none of {', '.join(choices)}.") from None
