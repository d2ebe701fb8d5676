"""Arguments and triggers as JSON: what comes back is the very thing, and everything else is refused by name."""

from __future__ import annotations

import functools
import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import job_functions
import pytest
from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger
from apscheduler.triggers.combining import AndTrigger, OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger
from hypothesis import given
from hypothesis import strategies as st

from dovecote.errors import InvalidJob
from dovecote.integrations.apscheduler.definitions import read_definition, write_definition
from dovecote.integrations.apscheduler.triggers import read_trigger, write_trigger
from dovecote.integrations.apscheduler.values import decoded, encoded

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

BERLIN = ZoneInfo("Europe/Berlin")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
ZONES = st.sampled_from(
    [None, UTC, BERLIN, ZoneInfo("Australia/Lord_Howe"), timezone(timedelta(hours=-3, minutes=-30))]
)
HASHABLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=ZONES, allow_imaginary=False)
    | st.times(timezones=ZONES)
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(HASHABLE, max_size=4)
        | st.frozensets(HASHABLE, max_size=4)
        | st.dictionaries(TEXT, inner, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4)
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """A value with what an equality overlooks: types, zones, folds."""
    if isinstance(value, dict):
        return "dict", sorted((repr(shape(key)), repr(shape(item))) for key, item in value.items())
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(repr(shape(item)) for item in value)
    if isinstance(value, list | tuple):
        return type(value).__name__, [shape(item) for item in value]
    if isinstance(value, datetime | time):
        return type(value).__name__, value.replace(tzinfo=None).isoformat(), str(value.tzinfo), value.fold
    return type(value).__name__, repr(value)


@given(VALUES)
def test_whatever_is_kept_comes_back_as_it_was(value: Any) -> None:
    text = json.dumps(encoded(value, "args[0]"), allow_nan=False)

    assert shape(decoded(json.loads(text))) == shape(value)


def test_examples_by_hand() -> None:
    assert encoded(datetime(2026, 1, 5, 9, tzinfo=BERLIN), "x") == {
        "$datetime": "2026-01-05T09:00:00+01:00",
        "zone": "Europe/Berlin",
    }
    assert encoded(UUID(int=1), "x") == {"$uuid": "00000000-0000-0000-0000-000000000001"}
    assert encoded(Decimal("1.20"), "x") == {"$decimal": "1.20"}
    assert encoded({"a": (1, b"\x00")}, "x") == {"a": {"$tuple": [1, {"$bytes": "AA=="}]}}
    assert encoded({"$date": 1}, "x") == {"$dict": [["$date", 1]]}
    assert encoded({1: {2}}, "x") == {"$dict": [[1, {"$set": [2]}]]}
    assert encoded(timedelta(days=1, microseconds=5), "x") == {"$timedelta": 86_400_000_005}


class Colour(IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


holds_itself: list[Any] = []
holds_itself.append(holds_itself)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (object(), r"args\[0\] is <object object.*\(a builtins.object\), which cannot be kept as JSON: give None"),
        (Colour.RED, r"args\[0\] is <Colour.RED"),
        (Point(1, 2), r"args\[0\] is Point\(x=1, y=2\)"),
        (math.nan, r"args\[0\] is nan, which JSON does not know"),
        ({"a": [1, {"b": print}]}, r"args\[0\]\['a'\]\[1\]\['b'\] is <built-in function print>"),
        ({print: 1}, r"args\[0\]'s key <built-in function print> is"),
        (holds_itself, "nested deeper than 50 levels, or holds itself"),
        ("a\0b", "with a NUL in it"),
        ("\ud800", "which no UTF-8 can hold"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_place(value: Any, complaint: str) -> None:
    with pytest.raises(InvalidJob, match=complaint):
        encoded(value, "args[0]")


@pytest.mark.parametrize(
    "written", [{"$pickle": "gASV"}, {"$date": 1, "$time": 2}, {"$uuid": "x"}, {"$datetime": 5}, {"$dict": [1]}]
)
def test_what_was_never_written_is_not_read(written: Any) -> None:
    with pytest.raises(InvalidJob):
        decoded(written)


START, END = datetime(2026, 3, 1, 7, 30, tzinfo=BERLIN), datetime(2027, 3, 1, tzinfo=BERLIN)
TRIGGERS: list[BaseTrigger] = [
    DateTrigger(datetime(2026, 7, 1, 9, 30, 15, 250, tzinfo=BERLIN)),
    IntervalTrigger(minutes=7, seconds=0.5, start_date=START, end_date=END, timezone=BERLIN),
    CronTrigger(timezone=BERLIN),
    CronTrigger(hour="9-17/2", minute="*/15", day_of_week="mon-fri", timezone=BERLIN, start_date=START, end_date=END),
    CronTrigger(month="jan-mar,dec", day="2nd mon", hour=8, timezone="America/New_York"),
    CronTrigger(day="last", week="1-52", year="2026-2030", timezone=UTC),
    CronTrigger.from_crontab("5/10 4 1,15 * sun", timezone=UTC),
    CalendarIntervalTrigger(months=1, days=3, hour=9, minute=5, start_date=date(2026, 1, 31), timezone="Europe/Berlin"),
    OrTrigger([CronTrigger(hour=2, timezone=BERLIN), CronTrigger(hour=14, timezone=UTC)]),
    AndTrigger([CronTrigger(day_of_week="fri", timezone=BERLIN), CronTrigger(day=13, timezone=BERLIN)]),
]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=str)
def test_a_trigger_fires_as_it_did_before_it_was_written(trigger: BaseTrigger) -> None:
    again = read_trigger(json.loads(json.dumps(write_trigger(trigger))))

    assert str(again) == str(trigger)
    fire_times: list[list[datetime]] = []
    for each in (trigger, again):
        now = at = datetime(2026, 3, 27, 23, 30, tzinfo=UTC)
        found: list[datetime] = []
        previous = None
        for _ in range(12):
            at = each.get_next_fire_time(previous, now)
            if at is None:
                break
            found.append(at)
            previous = at
            now = at
        fire_times.append(found)
    assert fire_times[0] == fire_times[1]
    assert fire_times[0]


def test_jitter_is_kept() -> None:
    for trigger in (
        IntervalTrigger(hours=1, jitter=30),
        CronTrigger(hour=1, jitter=30, timezone=UTC),
        OrTrigger([DateTrigger(START)], jitter=30),
    ):
        assert read_trigger(write_trigger(trigger)).jitter == 30


def job(function: Any, *args: Any, trigger: Any = None, **kwargs: Any) -> Job:
    return Job(
        AsyncIOScheduler(timezone=UTC),
        id="j",
        func=function,
        args=args,
        kwargs=kwargs,
        trigger=trigger or DateTrigger(START),
        executor="default",
        misfire_grace_time=60,
        coalesce=True,
        max_instances=2,
        next_run_time=START,
    )


def test_a_definition_comes_back() -> None:
    text = write_definition(job(job_functions.note, 5, to=date(2026, 1, 1)))

    read = read_definition(text)

    assert json.loads(text)["function"] == "job_functions:note"
    assert (read.function, read.args, read.kwargs) == (job_functions.note, (5,), {"to": date(2026, 1, 1)})
    assert (read.misfire_grace_time, read.coalesce, read.max_instances, read.name) == (60, True, 2, "note")


def test_a_class_method_can_be_named() -> None:
    read = read_definition(write_definition(job(job_functions.Report.weekly)))

    assert read.function == job_functions.Report.weekly


class OwnTrigger(DateTrigger):  # type: ignore[misc]  # APScheduler has no type hints
    pass


def nested() -> Any:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda: None, "Cannot create a reference to a lambda"),
        (nested(), "Cannot create a reference to a nested function"),
        (functools.partial(print, 1), "func: .*cannot be named"),
        (job_functions.Report().daily, "Report.daily is a method of an object, which no other process has"),
        (job_functions.Report(), "names something else than what was given|cannot be named"),
    ],
)
def test_a_function_that_others_could_not_find_is_refused(function: Any, complaint: str) -> None:
    with pytest.raises(InvalidJob, match=f'the job "j" cannot be kept: .*({complaint})'):
        write_definition(job(function))


def test_an_argument_and_a_trigger_that_cannot_be_kept_are_named() -> None:
    with pytest.raises(InvalidJob, match=r"kwargs\['to'\] is <object object"):
        write_definition(job(job_functions.note, to=object()))
    with pytest.raises(InvalidJob, match=r"trigger: a .*OwnTrigger cannot be kept as JSON: use date, interval, cron"):
        write_definition(job(job_functions.note, trigger=OwnTrigger(START)))
    with pytest.raises(InvalidJob, match=r"its arguments take 2000.* characters, 1000000 are allowed"):
        write_definition(job(job_functions.note, "x" * 2_000_000))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gASV", "it is no JSON"),
        ("[]", r"its format is \[\], and this version knows 1: upgrade"),
        ('{"format": 2, "function": "os:system"}', "its format is 2, and this version knows 1: upgrade the program"),
        ('{"format": 1}', "it is not as this version writes definitions"),
        ('{"format": 1, "function": "no_module:f"}', "this process does not have that function"),
        ('{"format": 1, "function": "job_functions:CALLS"}', "job_functions:CALLS is no function"),
    ],
)
def test_a_definition_of_nobodys_is_not_read(text: str, complaint: str) -> None:
    with pytest.raises(InvalidJob, match=complaint):
        read_definition(text)
