"""Recurrence: from a `Timing` to its fire times, in both directions. Pure, and without a clock.

- A cron runs over local times, which know no zone; each becomes one instant, two or none by the rules for the hour that
  a clock change skips or repeats. What is shifted onto another fire time of the same schedule is one with it.
- Fire times are found stretch by stretch: inside a stretch of one offset local time and instants run in parallel, so a
  local time that occurs twice is met once in each of its stretches.
- An interval is elapsed time, and no clock change moves it.
- Whatever the question, the work is bounded: nothing enumerates from where it stands to where it is asked about.

Instants are naive datetimes in UTC here (see `zones`), and aware ones in what is answered.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dovecote.cron import CronWalls, cron_fields
from dovecote.model import Cron, Dates, Every, FireTime, Once, RepeatedHour, SkippedHour
from dovecote.zones import AFTER_ALL, BEGINNING, Stretch, zone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dovecote.model import Timing

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (naive UTC)
TICK = timedelta(microseconds=1)


class Walls(Protocol):
    """The local times of a recurrence."""

    def first(self, wall: datetime) -> datetime | None:
        """The first at or after `wall`."""

    def last(self, wall: datetime) -> datetime | None:
        """The last at or before `wall`."""


class _ListedWalls:
    def __init__(self, at: Sequence[datetime]) -> None:
        self._at = sorted(set(at))

    def first(self, wall: datetime) -> datetime | None:
        place = bisect_left(self._at, wall)
        return self._at[place] if place < len(self._at) else None

    def last(self, wall: datetime) -> datetime | None:
        place = bisect_right(self._at, wall)
        return self._at[place - 1] if place else None


class _Ahead:
    """The local times ahead, each searched for once however many stretches lie before it."""

    def __init__(self, walls: Walls) -> None:
        self._walls = walls
        self._from, self._found = AFTER_ALL, AFTER_ALL

    def first(self, wall: datetime) -> datetime:
        """The first at or after `wall`; the end of time where there is none."""
        if not self._from <= wall <= self._found:
            self._from, self._found = wall, self._walls.first(wall) or AFTER_ALL
        return self._found


class _Found(NamedTuple):
    at: datetime
    wall: datetime


class FireTimes:
    """The fire times of a `Timing`, in its own zone or, for a schedule by local time, in another.

    Raises InvalidSchedule for a cron that is none, LookupError for a zone that is none.
    """

    def __init__(self, timing: Timing, zone_name: str | None = None) -> None:
        self.zone = zone(zone_name or timing.zone)
        self._start = BEGINNING if timing.start is None else self.zone.instant(timing.start)
        self._end = AFTER_ALL if timing.end is None else self.zone.instant(timing.end)
        self._skipped = timing.skipped_hour
        self._repeated = timing.repeated_hour or RepeatedHour.FIRST
        self._walls: Walls | None = None
        self._interval, self._anchor = timedelta(days=1), EPOCH
        match timing.recurrence:
            case Cron(expression):
                fields = cron_fields(expression)
                if timing.repeated_hour is None and fields.split()[-4].startswith("*"):
                    self._repeated = RepeatedHour.BOTH
                self._walls = CronWalls(fields)
            case Every(interval, anchor):
                self._interval, self._anchor = interval, self.zone.instant(anchor or EPOCH)
            case Once(at):
                self._walls = _ListedWalls([at])
            case Dates(at):
                self._walls = _ListedWalls(at)

    def next(self, after: FireTime | datetime) -> FireTime | None:
        """The first fire time after an instant, or after another fire time.

        After a fire time none is answered whose local time has been: rules for zones change, and a local time that
        was moved to a later instant meanwhile would fire once more.
        """
        low = _naive(_instant(after)) + TICK
        while (found := self._at_or_after(max(low, self._start))) is not None and found.at <= self._end:
            if not self._has_been(found.wall, after):
                return FireTime(found.at.replace(tzinfo=UTC), found.wall)
            low = found.at + TICK
        return None

    def previous(self, at_or_before: datetime, *, later_than: FireTime | datetime) -> FireTime | None:
        """The last fire time at or before an instant, if it is later than that other one."""
        low = max(_naive(_instant(later_than)) + TICK, self._start)
        found = self._at_or_before(min(_naive(at_or_before), self._end), low)
        if found is None or self._has_been(found.wall, later_than):
            return None
        return FireTime(found.at.replace(tzinfo=UTC), found.wall)

    def _has_been(self, wall: datetime, after: FireTime | datetime) -> bool:
        """Whether a local time that occurs once was decided with, or before, `after`."""
        if self._walls is None or not isinstance(after, FireTime) or wall > after.wall:
            return False
        return len(self.zone.hits(wall)) == 1

    def _at_or_after(self, low: datetime) -> _Found | None:
        if self._walls is None:
            at = low + (self._anchor - low) % self._interval
            return _Found(at, self.zone.wall(at)) if at < AFTER_ALL else None
        ahead = _Ahead(self._walls)
        stretch: Stretch | None = self.zone.at(low)
        ended = False
        while stretch is not None:
            found = _earlier(self._own_ahead(ahead, stretch, low), self._shifted_ahead(ahead, stretch, low))
            if found is not None:
                return found
            # Where a clock is put back, local times come again: so one more stretch.
            if ended:
                return None
            ended = ahead.first(low + stretch.offset) == AFTER_ALL
            stretch = self.zone.after(stretch)
            low = low if stretch is None else stretch.begins
        return None

    def _own_ahead(self, ahead: _Ahead, stretch: Stretch, low: datetime) -> _Found | None:
        """The first in this stretch whose local time is shown in it."""
        shown_before, shown_again = self._shown_elsewhere(stretch)
        wall = ahead.first(low + stretch.offset)
        if wall < shown_before and self._repeated is RepeatedHour.FIRST:
            wall = ahead.first(shown_before)
        ends = shown_again if self._repeated is RepeatedHour.SECOND else stretch.ends + stretch.offset
        # East of Greenwich the last stretch ends, by local time, after the value that means that there is none.
        return _Found(wall - stretch.offset, wall) if wall < min(ends, AFTER_ALL) else None

    def _shifted_ahead(self, ahead: _Ahead, stretch: Stretch, low: datetime) -> _Found | None:
        """The first in this stretch whose local time was left out when it began."""
        before = self.zone.before(stretch)
        if before is None or self._skipped is SkippedHour.SKIP or before.offset >= stretch.offset:
            return None
        left_out_until = stretch.begins + stretch.offset
        if low + before.offset >= left_out_until:
            return None
        wall = ahead.first(low + before.offset)
        return _Found(wall - before.offset, wall) if wall < left_out_until else None

    def _at_or_before(self, high: datetime, low: datetime) -> _Found | None:
        if self._walls is None:
            at = high - (high - self._anchor) % self._interval
            return _Found(at, self.zone.wall(at)) if at >= low else None
        stretch: Stretch | None = self.zone.at(high)
        while stretch is not None and high >= low:
            found = _later(self._own_behind(self._walls, stretch, high), self._shifted_behind(stretch, high))
            if found is not None:
                return found if found.at >= low else None
            high = stretch.begins - TICK
            stretch = self.zone.before(stretch)
        return None

    def _own_behind(self, walls: Walls, stretch: Stretch, high: datetime) -> _Found | None:
        shown_before, shown_again = self._shown_elsewhere(stretch)
        latest, earliest = high + stretch.offset, stretch.begins + stretch.offset
        if self._repeated is RepeatedHour.SECOND:
            latest = min(latest, shown_again - TICK)
        if self._repeated is RepeatedHour.FIRST:
            earliest = max(earliest, shown_before)
        wall = walls.last(latest)
        return None if wall is None or wall < earliest else _Found(wall - stretch.offset, wall)

    def _shifted_behind(self, stretch: Stretch, high: datetime) -> _Found | None:
        before = self.zone.before(stretch)
        if before is None or self._skipped is SkippedHour.SKIP or before.offset >= stretch.offset:
            return None
        assert self._walls is not None  # noqa: S101 (an interval has nothing to shift)
        wall = self._walls.last(min(high + before.offset, stretch.begins + stretch.offset - TICK))
        left_out_from = stretch.begins + before.offset
        return None if wall is None or wall < left_out_from else _Found(wall - before.offset, wall)

    def _shown_elsewhere(self, stretch: Stretch) -> tuple[datetime, datetime]:
        """Until which local time the stretch before has shown them, and from which on the next one shows them again."""
        before, after = self.zone.before(stretch), self.zone.after(stretch)
        return (
            BEGINNING if before is None else before.ends + before.offset,
            AFTER_ALL if after is None else min(after.begins + after.offset, stretch.ends + stretch.offset),
        )


def fire_times(timing: Timing, after: datetime) -> Iterator[FireTime]:
    """The fire times after an instant, one after the other."""
    times = FireTimes(timing)
    found = times.next(after)
    while found is not None:
        yield found
        found = times.next(found)


def jitter_of(name: str, fire: FireTime | None, longest: timedelta) -> timedelta:
    """By how much a fire time is delayed, or, without one, all of a name: the same wherever it is computed."""
    if not longest:
        return longest
    of = "" if fire is None else fire.wall.isoformat()
    digest = hashlib.blake2b(f"{name}\n{of}".encode(), digest_size=8).digest()
    return longest * (int.from_bytes(digest) / 2**64)


def _earlier(one: _Found | None, other: _Found | None) -> _Found | None:
    """The earlier one; of two at one instant, that whose local time is shown then."""
    if one is None or other is None:
        return one or other
    return other if other.at < one.at else one


def _later(one: _Found | None, other: _Found | None) -> _Found | None:
    if one is None or other is None:
        return one or other
    return other if other.at > one.at else one


def _instant(point: FireTime | datetime) -> datetime:
    return point.at if isinstance(point, FireTime) else point


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
