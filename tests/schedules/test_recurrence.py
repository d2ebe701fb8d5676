"""Fire times: written by hand for the hours that clocks skip and repeat, and held against a slow truth at random."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovecote.cron import cron_fields
from dovecote.errors import InvalidSchedule
from dovecote.model import (
    Cron,
    Dates,
    Every,
    FireTime,
    Once,
    Recurrence,
    RepeatedHour,
    SkippedHour,
    Timing,
)
from dovecote.recurrence import FireTimes, fire_times, jitter_of

NEW_YORK, LORD_HOWE, APIA = "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"
CASABLANCA, BERLIN = "Africa/Casablanca", "Europe/Berlin"
FIRST, SECOND, BOTH = RepeatedHour.FIRST, RepeatedHour.SECOND, RepeatedHour.BOTH
SKIP = {"skipped_hour": SkippedHour.SKIP}

# Recurrence, zone, rules, from when on (UTC), and the fire times (UTC) that follow.
TABLE = [
    # 8 March 2026 has no 02:00 to 03:00 in New York.
    ("30 2 * * *", NEW_YORK, {}, "2026-03-07T12:00", "2026-03-08T07:30 2026-03-09T06:30"),
    ("30 2 * * *", NEW_YORK, SKIP, "2026-03-07T12:00", "2026-03-09T06:30 2026-03-10T06:30"),
    ("0,30 2,3 * * *", NEW_YORK, {}, "2026-03-08T00:00", "2026-03-08T07:00 2026-03-08T07:30 2026-03-09T06:00"),
    ("*/30 * * * *", NEW_YORK, {}, "2026-03-08T06:00", "2026-03-08T06:30 2026-03-08T07:00 2026-03-08T07:30"),
    ("*/30 * * * *", NEW_YORK, SKIP, "2026-03-08T06:00", "2026-03-08T06:30 2026-03-08T07:00 2026-03-08T07:30"),
    # 1 November 2026 has 01:00 to 02:00 twice.
    ("30 1 * * *", NEW_YORK, {}, "2026-11-01T00:00", "2026-11-01T05:30 2026-11-02T06:30"),
    ("30 1 * * *", NEW_YORK, {"repeated_hour": FIRST}, "2026-11-01T05:30", "2026-11-02T06:30 2026-11-03T06:30"),
    ("30 1 * * *", NEW_YORK, {"repeated_hour": SECOND}, "2026-11-01T00:00", "2026-11-01T06:30 2026-11-02T06:30"),
    (
        "30 1 * * *",
        NEW_YORK,
        {"repeated_hour": BOTH},
        "2026-11-01T00:00",
        "2026-11-01T05:30 2026-11-01T06:30 2026-11-02T06:30",
    ),
    # With any hour, nothing pauses, unless it was asked for.
    (
        "*/30 * * * *",
        NEW_YORK,
        {},
        "2026-11-01T04:45",
        "2026-11-01T05:00 2026-11-01T05:30 2026-11-01T06:00 2026-11-01T06:30 2026-11-01T07:00",
    ),
    ("*/30 * * * *", NEW_YORK, {"repeated_hour": FIRST}, "2026-11-01T05:15", "2026-11-01T05:30 2026-11-01T07:00"),
    ("0 30 1 * * *", NEW_YORK, {"repeated_hour": SECOND}, "2026-11-01T00:00", "2026-11-01T06:30 2026-11-02T06:30"),
    # Lord Howe moves by half an hour: forward at 02:00 on 4 October 2026, back at 02:00 on 5 April.
    ("15 2 * * *", LORD_HOWE, {}, "2026-10-03T00:00", "2026-10-03T15:45 2026-10-04T15:15"),
    ("15 2 * * *", LORD_HOWE, SKIP, "2026-10-03T00:00", "2026-10-04T15:15 2026-10-05T15:15"),
    ("45 1 * * *", LORD_HOWE, {}, "2026-04-04T00:00", "2026-04-04T14:45 2026-04-05T15:15"),
    ("45 1 * * *", LORD_HOWE, {"repeated_hour": BOTH}, "2026-04-04T14:00", "2026-04-04T14:45 2026-04-04T15:15"),
    # Apia had no 30 December 2011. Shifted by the whole day it meets the next day's, with which it is one.
    ("0 9 * * *", APIA, {}, "2011-12-29T00:00", "2011-12-29T19:00 2011-12-30T19:00 2011-12-31T19:00"),
    ("0 9 * * *", APIA, SKIP, "2011-12-29T00:00", "2011-12-29T19:00 2011-12-30T19:00 2011-12-31T19:00"),
    ("0 9 30 12 *", APIA, {}, "2011-12-01T00:00", "2011-12-30T19:00 2012-12-29T19:00"),
    ("0 9 30 12 *", APIA, SKIP, "2011-12-01T00:00", "2012-12-29T19:00 2013-12-29T19:00"),
    # Casablanca is at UTC+1 but in Ramadan: in 2026 from 15 February to 22 March.
    ("0 9 * * *", CASABLANCA, {}, "2026-02-14T00:00", "2026-02-14T08:00 2026-02-15T09:00 2026-02-16T09:00"),
    ("0 9 * * *", CASABLANCA, {}, "2026-03-21T00:00", "2026-03-21T09:00 2026-03-22T08:00 2026-03-23T08:00"),
    ("30 2 22 3 *", CASABLANCA, {}, "2026-01-01T00:00", "2026-03-22T02:30 2027-03-22T01:30"),
    # Fields, names and nicknames.
    ("0 9 * * MON-FRI", "UTC", {}, "2026-01-30T10:00", "2026-02-02T09:00 2026-02-03T09:00"),
    ("0 0 L FEB *", "UTC", {}, "2026-01-01T00:00", "2026-02-28T00:00 2027-02-28T00:00 2028-02-29T00:00"),
    ("0 0 * * FRI#1", "UTC", {}, "2026-01-01T00:00", "2026-01-02T00:00 2026-02-06T00:00"),
    ("0 0 29 2 *", "UTC", {}, "2026-01-01T00:00", "2028-02-29T00:00 2032-02-29T00:00"),
    ("@daily", BERLIN, {}, "2026-06-01T00:00", "2026-06-01T22:00 2026-06-02T22:00"),
    ("@hourly", "UTC", {}, "2026-06-01T00:00", "2026-06-01T01:00 2026-06-01T02:00"),
    ("@WEEKLY", "UTC", {}, "2026-06-01T00:00", "2026-06-07T00:00 2026-06-14T00:00"),
    # An interval is elapsed time.
    (
        Every(timedelta(hours=12), datetime(2026, 3, 7, 20)),
        NEW_YORK,
        {},
        "2026-03-08T00:00",
        "2026-03-08T01:00 2026-03-08T13:00 2026-03-09T01:00",
    ),
    (Every(timedelta(minutes=90)), "UTC", {}, "2026-01-01T00:00", "2026-01-01T01:30 2026-01-01T03:00"),
    (Every(timedelta(days=7), datetime(2030, 1, 1, 9)), "UTC", {}, "2026-01-01T00:00", "2026-01-06T09:00"),
    # Once, and a list, in whatever order.
    (Once(datetime(2026, 3, 8, 2, 30)), NEW_YORK, {}, "2026-01-01T00:00", "2026-03-08T07:30"),
    (Once(datetime(2026, 3, 8, 2, 30)), NEW_YORK, SKIP, "2026-01-01T00:00", ""),
    (Once(datetime(2026, 3, 8, 4)), NEW_YORK, {}, "2026-03-08T08:00", ""),
    (
        Dates((datetime(2026, 5, 2, 9), datetime(2026, 5, 1, 9), datetime(2026, 5, 2, 9))),
        BERLIN,
        {},
        "2026-01-01T00:00",
        "2026-05-01T07:00 2026-05-02T07:00",
    ),
    # Both bounds are fire times if they are any.
    (
        "0 9 * * *",
        BERLIN,
        {"start": datetime(2026, 5, 1, 9), "end": datetime(2026, 5, 2, 9)},
        "2026-01-01T00:00",
        "2026-05-01T07:00 2026-05-02T07:00",
    ),
]


def recurrence_of(given: str | Recurrence) -> Recurrence:
    return Cron(given) if isinstance(given, str) else given


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("recurrence", "zone", "rules", "after", "expected"), TABLE)
def test_fire_times(
    recurrence: Recurrence | str, zone: str, rules: dict[str, object], after: str, expected: str
) -> None:
    timing = Timing(recurrence=recurrence_of(recurrence), zone=zone, **rules)  # type: ignore[arg-type]
    wanted = [at(text) for text in expected.split()]

    found = [fire.at for fire in itertools.islice(fire_times(timing, at(after)), len(wanted) or 1)]

    assert found == wanted


@pytest.mark.parametrize("zone", ["Asia/Tokyo", APIA, "Pacific/Kiritimati", BERLIN, "UTC", "America/Phoenix"])
def test_what_has_a_last_fire_time_has_none_after_it_east_and_west_of_greenwich(zone: str) -> None:
    walls = (datetime(2026, 5, 1, 9), datetime(2026, 5, 2, 9))

    for recurrence, expected in ((Once(walls[0]), walls[:1]), (Dates(walls), walls)):
        fires = fire_times(Timing(recurrence=recurrence, zone=zone), at("2026-01-01T00:00"))

        assert [fire.wall for fire in itertools.islice(fires, len(expected) + 1)] == list(expected)


@pytest.mark.parametrize(("recurrence", "zone", "rules", "after", "expected"), TABLE)
def test_they_are_the_same_backwards(
    recurrence: Recurrence | str, zone: str, rules: dict[str, object], after: str, expected: str
) -> None:
    timing = Timing(recurrence=recurrence_of(recurrence), zone=zone, **rules)  # type: ignore[arg-type]
    times, wanted, found = FireTimes(timing), [at(text) for text in expected.split()], []

    fire = times.previous(wanted[-1], later_than=at(after)) if wanted else None
    while fire is not None:
        found.append(fire.at)
        fire = times.previous(fire.at - timedelta(microseconds=1), later_than=at(after))

    assert found[::-1] == wanted


# A slow truth: each second of a span is asked what time clocks show, and whether that was the first time.

ZONES = st.sampled_from([NEW_YORK, LORD_HOWE, BERLIN, CASABLANCA, "America/Sao_Paulo", "Asia/Kathmandu", "UTC"])
RULES = st.tuples(st.sampled_from(SkippedHour), st.sampled_from(RepeatedHour))
MINUTES = st.sets(st.integers(0, 59), min_size=1, max_size=3)
HOURS = st.sets(st.integers(0, 23), min_size=1, max_size=4)
# Transitions of these zones lie in these days; 2018 was Brazil's last with one, at midnight.
DAYS = st.sampled_from(
    [
        *("2026-02-14", "2026-03-07", "2026-03-21", "2026-03-28", "2026-04-04", "2026-06-01", "2026-10-03"),
        *("2026-10-24", "2026-11-01", "2018-02-17", "2018-11-03"),
    ]
)


def slow_fire_times(
    minutes: set[int],
    hours: set[int],
    zone: str,
    rules: tuple[SkippedHour, RepeatedHour],
    begin: datetime,
    hours_on: int,
) -> list[datetime]:
    """By zoneinfo, asking about every local minute of the days around."""
    skipped, repeated = rules
    there = ZoneInfo(zone)
    found = set()
    wall = begin.replace(tzinfo=None) - timedelta(days=2)
    while wall < begin.replace(tzinfo=None) + timedelta(hours=hours_on) + timedelta(days=2):
        if wall.minute in minutes and wall.hour in hours:
            folds = [wall.replace(tzinfo=there, fold=fold).astimezone(UTC) for fold in (0, 1)]
            real = [each for each in folds if each.astimezone(there).replace(tzinfo=None) == wall]
            if not real:
                # With fold 0 the offset is the one before the gap.
                found |= {folds[0]} if skipped is SkippedHour.SHIFT else set()
            else:
                found |= {min(real)} if repeated is FIRST else {max(real)} if repeated is SECOND else set(real)
        wall += timedelta(minutes=1)
    return sorted(each for each in found if begin < each <= begin + timedelta(hours=hours_on))


@given(MINUTES, HOURS, ZONES, RULES, DAYS, st.integers(0, 23))
def test_any_cron_fires_when_a_slow_truth_says(
    minutes: set[int], hours: set[int], zone: str, rules: tuple[SkippedHour, RepeatedHour], day: str, hour: int
) -> None:
    expression = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    skipped, repeated = rules
    timing = Timing(recurrence=Cron(expression), zone=zone, skipped_hour=skipped, repeated_hour=repeated)
    begin = at(day) + timedelta(hours=hour)
    wanted = slow_fire_times(minutes, hours, zone, rules, begin, 40)

    times = FireTimes(timing)
    forward, backward = [], []
    fire = times.next(begin)
    while fire is not None and fire.at <= begin + timedelta(hours=40):
        forward.append(fire.at)
        fire = times.next(fire.at)
    behind = times.previous(begin + timedelta(hours=40), later_than=begin)
    while behind is not None:
        backward.append(behind.at)
        behind = times.previous(behind.at - timedelta(microseconds=1), later_than=begin)

    assert forward == wanted
    assert backward[::-1] == wanted


@given(
    st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)),
    st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)),
)
def test_an_interval_is_even_whatever_its_anchor(interval: timedelta, anchor: datetime, after: datetime) -> None:
    times = FireTimes(Timing(recurrence=Every(interval, anchor), zone=BERLIN))
    since = after.replace(tzinfo=UTC)

    first = times.next(since)
    assert first is not None
    second = times.next(first)
    assert second is not None

    assert since < first.at <= since + interval
    assert second.at - first.at == interval
    assert times.previous(second.at, later_than=since) == second
    assert times.previous(second.at - timedelta(microseconds=1), later_than=since) == first
    started = anchor.replace(tzinfo=ZoneInfo(BERLIN)).astimezone(UTC)
    if ZoneInfo(BERLIN).utcoffset(anchor) == ZoneInfo(BERLIN).utcoffset(anchor.replace(fold=1)):
        assert (first.at - started) % interval == timedelta(0)


def test_a_local_time_that_was_decided_does_not_come_again_when_it_moves() -> None:
    times = FireTimes(Timing(recurrence=Cron("0 9 * * *"), zone=BERLIN))
    # As it was by the rules of that day: an hour earlier.
    decided = FireTime(at("2026-06-01T06:00"), datetime(2026, 6, 1, 9))

    following = times.next(decided)
    newest = times.previous(at("2026-06-01T12:00"), later_than=decided)

    assert following == FireTime(at("2026-06-02T07:00"), datetime(2026, 6, 2, 9))
    assert newest is None


def test_the_second_pass_of_a_repeated_hour_follows_the_first() -> None:
    times = FireTimes(Timing(recurrence=Cron("30 1 * * *"), zone=NEW_YORK, repeated_hour=BOTH))
    first = FireTime(at("2026-11-01T05:30"), datetime(2026, 11, 1, 1, 30))

    assert times.next(first) == FireTime(at("2026-11-01T06:30"), datetime(2026, 11, 1, 1, 30))


def test_a_jitter_is_the_same_everywhere_and_less_than_its_bound() -> None:
    fires = list(itertools.islice(fire_times(Timing(recurrence=Cron("@hourly")), at("2026-01-01T00:00")), 200))
    bound = timedelta(minutes=10)

    drawn = [jitter_of("digest", fire, bound) for fire in fires]

    # Whatever version computes it: instances of two versions may run side by side.
    assert drawn[0] == timedelta(seconds=55, microseconds=906271)
    assert all(timedelta(0) <= each < bound for each in drawn)
    assert len(set(drawn)) == 200
    # Spread over the whole of it.
    assert min(drawn) < timedelta(minutes=1)
    assert max(drawn) > timedelta(minutes=9)
    assert jitter_of("digest", fires[0], timedelta(0)) == timedelta(0)
    assert jitter_of("another", fires[0], bound) != drawn[0]


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("0 25 * * *", r"cron: '0 25 \* \* \*': '25' is no hour: it takes 0-23"),
        ("0 9 * * FRIDAY", "'FRIDAY' is no day of the week: it takes 0-7 or SUN-SAT"),
        ("*/0 * * * *", r"'\*/0' is no minute"),
        ("60 * * * * *", "'60' is no second"),
        ("0 0 30 2 *", "it can never fire: none of its months has such a day"),
        ("0 0 31 4,6 *", "it can never fire"),
        ("* * *", "it has 3 fields: write five"),
        ("@dayly", "there is no such name: there are @yearly"),
        ("", "it is no cron expression"),
    ],
)
def test_what_is_no_cron_is_told_by_its_field(expression: str, complaint: str) -> None:
    with pytest.raises(InvalidSchedule, match=complaint):
        cron_fields(expression)


@given(st.text("0123456789*/,-#LW@ ADFIJMNORSTU", max_size=30))
def test_whatever_is_written_is_a_cron_or_refused(expression: str) -> None:
    try:
        fields = cron_fields(expression)
    except InvalidSchedule:
        return
    times = FireTimes(Timing(recurrence=Cron(fields)))
    fire = times.next(at("2026-01-01T00:00"))
    if fire is not None:
        assert times.previous(fire.at, later_than=at("2026-01-01T00:00")) == fire
