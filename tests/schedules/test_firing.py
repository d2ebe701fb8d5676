"""What a firing decides: on time, caught up, missed, and when next. Pure, by hand and by property."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timetables import MINUTE, SECOND, every, schedule

from dovecote.firing import AT_ONCE, cursor_at, delay, following, plan
from dovecote.model import CatchUp, FireTime, Happened, Origin, Schedule, ScheduleRecord

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def record(made: Schedule, cursor: FireTime | None = None, **zones: Any) -> ScheduleRecord:
    """A schedule that was added at the beginning, or stands at `cursor`."""
    then = following(made, cursor or cursor_at(made, START), **zones)
    return ScheduleRecord(
        id=1,
        version=1,
        schedule=made,
        origin=Origin.API,
        cursor=then.cursor,
        next_fire_at=then.fire_at,
        due_at=then.due_at,
        paused_at=None,
        created_at=START,
        changed_at=START,
    )


def decided(made: Schedule, now: float) -> tuple[list[float], list[tuple[float, float]], float | None]:
    """Which seconds fire, which spans are missed, and the next second."""
    firing = plan(record(made), at(now))
    assert firing.then is not None
    seconds = [(each, (each.fire.at - START).total_seconds()) for each in firing.occurrences]
    missed = [
        (begun, ((each.until or each.fire.at) - START).total_seconds())
        for each, begun in seconds
        if each.happened is Happened.MISSED
    ]
    fired = [begun for each, begun in seconds if each.happened is Happened.FIRED]
    following_at = firing.then.fire_at
    return fired, missed, None if following_at is None else (following_at - START).total_seconds()


@pytest.mark.parametrize(
    ("policies", "now", "fired", "missed", "then"),
    [
        # On time, whatever the policy.
        ({"catch_up": CatchUp.NONE}, 60, [60], [], 120),
        ({"catch_up": CatchUp.NONE}, 130, [120], [(60, 60)], 180),
        ({"catch_up": CatchUp.NONE}, 119.9, [60], [], 120),
        # Each within the grace of a minute fires.
        ({"catch_up": CatchUp.NONE}, 120, [60, 120], [], 180),
        ({"catch_up": CatchUp.LATEST}, 3600 + 50, [3600], [(60, 3540)], 3660),
        ({"catch_up": CatchUp.LATEST, "grace": timedelta(seconds=10)}, 3600 + 50, [3600], [(60, 3540)], 3660),
        ({"catch_up": CatchUp.NONE, "grace": timedelta(seconds=10)}, 3600 + 50, [], [(60, 3600)], 3660),
        (
            {"catch_up": CatchUp.LATEST, "grace": timedelta(seconds=10), "catch_up_window": 40 * SECOND},
            170,
            [],
            [(60, 120)],
            180,
        ),
        ({"catch_up": CatchUp.ALL}, 350, [60, 120, 180, 240, 300], [], 360),
        ({"catch_up": CatchUp.ALL, "catch_up_window": 200 * SECOND}, 350, [180, 240, 300], [(60, 120)], 360),
        ({"catch_up": CatchUp.ALL, "catch_up_cap": 2}, 350, [180, 240, 300], [(60, 120)], 360),
        ({"catch_up": CatchUp.ALL, "catch_up_cap": 1, "grace": timedelta(0)}, 350, [300], [(60, 240)], 360),
        # What would have expired does not fire.
        ({"catch_up": CatchUp.ALL, "window": 100 * SECOND}, 350, [300], [(60, 240)], 360),
        ({"catch_up": CatchUp.LATEST, "window": 30 * SECOND, "grace": timedelta(0)}, 350, [], [(60, 300)], 360),
    ],
)
def test_late_fire_times(
    policies: dict[str, Any], now: float, fired: list[float], missed: list[tuple[float, float]], then: float
) -> None:
    made = schedule(recurrence=every(60), policies=policies)

    assert decided(made, now) == (fired, missed, then)


def test_every_second_after_a_month_is_bounded_in_what_it_makes_and_what_it_costs() -> None:
    made = schedule(recurrence="* * * * * *", policies={"catch_up": CatchUp.ALL, "catch_up_cap": 1000})
    month = 30 * 86_400

    began = time.process_time()
    fired, missed, then = decided(made, month)
    took = time.process_time() - began

    # A transaction's worth now, the others of the cap and the grace at once after it.
    assert fired == [float(month - 1060 + number) for number in range(AT_ONCE)]
    assert missed == [(1.0, float(month - 1061))]
    assert then == month - 1060 + AT_ONCE
    # Backwards over 1,061 fire times, not forward over 2,592,000, which would take half a minute.
    assert took < 3


def test_the_next_transactions_do_the_rest() -> None:
    made = schedule(recurrence=every(1), policies={"catch_up": CatchUp.ALL, "catch_up_cap": 300, "grace": timedelta(0)})
    standing = record(made)
    fired: list[float] = []
    rounds = 0

    while (firing := plan(standing, at(1000))).occurrences:
        assert firing.then is not None
        fired += [
            (each.fire.at - START).total_seconds() for each in firing.occurrences if each.happened is Happened.FIRED
        ]
        standing = replace(standing, cursor=firing.then.cursor)
        rounds += 1

    # The one of this very second is on time.
    assert fired == [float(second) for second in range(700, 1001)]
    assert rounds == 4


def test_a_jitter_delays_and_is_no_lateness() -> None:
    made = schedule(
        recurrence=every(3600), jitter=30 * MINUTE, policies={"catch_up": CatchUp.NONE, "grace": timedelta(0)}
    )
    standing = record(made)
    assert standing.due_at is not None
    assert standing.next_fire_at is not None
    assert timedelta(0) < standing.due_at - standing.next_fire_at < 30 * MINUTE

    early = plan(standing, standing.due_at - timedelta(microseconds=1))
    in_time = plan(standing, standing.due_at)
    late = plan(standing, standing.due_at + timedelta(microseconds=1))

    assert early.occurrences == []
    assert [(each.fire.at, each.happened) for each in in_time.occurrences] == [(at(3600), Happened.FIRED)]
    assert [each.happened for each in late.occurrences] == [Happened.MISSED]


def test_by_local_time_each_zone_has_its_own() -> None:
    made = schedule(recurrence="0 9 * * *", local_time=True, to=None)
    zones = ["Asia/Tokyo", "Europe/Berlin", "America/New_York", ""]
    standing = record(made, zones=zones, bot_zone="Europe/Madrid")
    fired = []

    for hour in range(1, 49):
        firing = plan(standing, at(hour * 3600), zones, "Europe/Madrid")
        assert firing.then is not None
        fired += [(f"{each.fire.at:%d %H:%M}", each.part, f"{each.fire.wall:%d %H:%M}") for each in firing.occurrences]
        standing = replace(standing, cursor=firing.then.cursor)

    assert fired == [
        ("05 14:00", "America/New_York", "05 09:00"),
        ("06 00:00", "Asia/Tokyo", "06 09:00"),
        ("06 08:00", "", "06 09:00"),
        ("06 08:00", "Europe/Berlin", "06 09:00"),
        ("06 14:00", "America/New_York", "06 09:00"),
        ("07 00:00", "Asia/Tokyo", "07 09:00"),
        ("07 08:00", "", "07 09:00"),
        ("07 08:00", "Europe/Berlin", "07 09:00"),
    ]


def test_a_zone_that_this_machine_does_not_know_is_the_bots_or_the_schedules() -> None:
    made = schedule(recurrence="0 9 * * *", local_time=True, to=None, zone="Asia/Tokyo")

    by_bot = following(made, cursor_at(made, START), ["Mars/Olympus"], "Europe/Berlin")
    by_schedule = following(made, cursor_at(made, START), ["Mars/Olympus"], None)

    assert by_bot.fire_at == datetime(2026, 1, 6, 8, tzinfo=UTC)
    assert by_schedule.fire_at == datetime(2026, 1, 6, 0, tzinfo=UTC)


@given(
    st.sampled_from(CatchUp),
    st.integers(0, 300),
    st.integers(1, 400),
    st.integers(1, 20),
    st.integers(0, 120),
    st.lists(st.floats(0.1, 900), min_size=1, max_size=12),
)
def test_however_looks_are_spread_each_fire_time_is_decided_once_and_in_order(
    catch_up: CatchUp, grace: int, window: int, cap: int, jitter: int, pauses: list[float]
) -> None:
    policies = {
        "catch_up": catch_up,
        "grace": grace * SECOND,
        "catch_up_window": window * SECOND,
        "catch_up_cap": cap,
    }
    made = schedule(recurrence=every(150), jitter=jitter * SECOND, policies=policies)
    standing = record(made)
    now = 0.0
    spans: list[tuple[datetime, datetime]] = []

    for pause in pauses:
        now += pause
        while True:
            firing = plan(standing, at(now))
            assert firing.then is not None
            spans += [(each.fire.at, each.until or each.fire.at) for each in firing.occurrences]
            standing = replace(standing, cursor=firing.then.cursor)
            if not firing.occurrences:
                break
        assert firing.then.due_at is not None
        assert firing.then.due_at > at(now)

    covered = [
        begun + offset * 150 * SECOND for begun, end in spans for offset in range((end - begun) // (150 * SECOND) + 1)
    ]
    due = [each for each in (at(150 * n) for n in range(1, 80)) if each + delay_of(made, each) <= at(now)]
    assert covered == due


def delay_of(made: Schedule, instant: datetime) -> timedelta:
    return delay(made, FireTime(instant, instant.replace(tzinfo=None)))
