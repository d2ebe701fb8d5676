"""Local time and instants: a zone as stretches of time with one offset each. Pure; `whenever` knows the zones.

Inside of this module and of `recurrence`, instants are naive datetimes in UTC: arithmetic on aware ones is slower, and
in a zone of their own it is wrong.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from whenever import Instant, TimeZoneNotFoundError

from dovecote.model import RepeatedHour, SkippedHour

BEGINNING = datetime(1900, 1, 1)  # noqa: DTZ001 (naive UTC, as said above)
END = datetime(9990, 1, 1)  # noqa: DTZ001 (naive UTC)
AFTER_ALL = datetime(9991, 1, 1)  # noqa: DTZ001 (naive UTC)
SECOND = timedelta(seconds=1)
# No zone is further from UTC, and no clock jumps further.
WIDEST = timedelta(hours=27)


class Stretch(NamedTuple):
    """A time with one offset, from `begins` up to `ends`."""

    begins: datetime
    ends: datetime
    offset: timedelta


class Zone:
    """A zone of the IANA database. Raises LookupError for a name that is none."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Replaced as a whole: threads share a zone.
        self._known: tuple[list[datetime], list[Stretch]] = ([], [])
        # Finds whether there is such a zone.
        self.at(END)

    def at(self, instant: datetime) -> Stretch:
        """The stretch that an instant lies in."""
        begins, stretches = self._known
        place = bisect_right(begins, instant) - 1
        if place >= 0 and instant < stretches[place].ends:
            return stretches[place]
        stretch = self._look_up(min(max(instant, BEGINNING), END))
        known = sorted({*stretches, stretch})
        self._known = ([each.begins for each in known], known)
        return stretch

    def before(self, stretch: Stretch) -> Stretch | None:
        """The one before; None at the beginning of time."""
        return self.at(stretch.begins - SECOND) if stretch.begins > BEGINNING else None

    def after(self, stretch: Stretch) -> Stretch | None:
        """The one after; None at the end of time."""
        return self.at(stretch.ends) if stretch.ends < END else None

    def _look_up(self, instant: datetime) -> Stretch:
        try:
            there = Instant(instant.replace(tzinfo=UTC)).to_tz(self.name)
        except TimeZoneNotFoundError:
            raise LookupError(self.name) from None
        ahead = there.next_transition()
        # A transition's own instant belongs to what follows it.
        behind = (there.add(nanoseconds=1)).prev_transition()
        return Stretch(
            begins=BEGINNING if behind is None else max(BEGINNING, _naive(behind.to_instant())),
            ends=AFTER_ALL if ahead is None else min(AFTER_ALL, _naive(ahead.to_instant())),
            offset=timedelta(seconds=there.offset.total("seconds")),
        )

    def hits(self, wall: datetime) -> list[datetime]:
        """The instants at which clocks show a local time: one, two where it is repeated, none where it is left out."""
        found = []
        stretch: Stretch | None = self.at(wall - WIDEST)
        while stretch is not None and stretch.begins <= wall + WIDEST:
            if stretch.begins <= wall - stretch.offset < stretch.ends:
                found.append(wall - stretch.offset)
            stretch = self.after(stretch)
        return found

    def instants(self, wall: datetime, skipped: SkippedHour, repeated: RepeatedHour) -> list[datetime]:
        """The instants that a local time means under these rules, in order."""
        found = self.hits(wall)
        if not found:
            return [] if skipped is SkippedHour.SKIP else [self.shifted(wall)]
        match repeated:
            case RepeatedHour.FIRST:
                return found[:1]
            case RepeatedHour.SECOND:
                return found[-1:]
            case RepeatedHour.BOTH:
                return found

    def instant(self, wall: datetime) -> datetime:
        """The one instant for a local time: the first where it is repeated, shifted where it is left out."""
        return self.instants(wall, SkippedHour.SHIFT, RepeatedHour.FIRST)[0]

    def shifted(self, wall: datetime) -> datetime:
        """The instant of a local time that is left out: by the offset before the jump, so as much later as it is."""
        stretch = self.at(wall - WIDEST)
        while (following := self.after(stretch)) is not None and wall - stretch.offset >= stretch.ends:
            if wall - following.offset < following.begins:
                return wall - stretch.offset
            stretch = following
        return wall - stretch.offset

    def wall(self, instant: datetime) -> datetime:
        """What clocks show at an instant."""
        return instant + self.at(instant).offset


def _naive(instant: Instant) -> datetime:
    return instant.to_stdlib().replace(tzinfo=None)


@lru_cache(maxsize=1024)
def zone(name: str) -> Zone:
    """The zone of that name, looked up once in a process. Raises LookupError for a name that is none."""
    return Zone(name)


def quiet_end(instant: datetime, name: str, begins: int, ends: int) -> datetime | None:
    """When quiet hours end in a zone; None where none are at `instant`. They are minutes since midnight there.

    Where clocks are put forward over their end they end as much later, and where they are put back, the second time.
    What is no zone is UTC. The function of this name in PostgreSQL says the same.
    """
    there = zone(name if is_zone(name) else "UTC")
    wall = there.wall(instant)
    minute = wall.hour * 60 + wall.minute
    over_midnight = begins > ends
    if not (minute >= begins or minute < ends if over_midnight else begins <= minute < ends):
        return None
    days = 1 if over_midnight and minute >= begins else 0
    end = datetime.combine(wall.date(), time()) + timedelta(days=days, minutes=ends)
    return there.instants(end, SkippedHour.SHIFT, RepeatedHour.SECOND)[-1]


def is_zone(name: object) -> bool:
    """Whether that is the name of a zone."""
    try:
        zone(str(name))
    except (LookupError, ValueError):
        return False
    return isinstance(name, str)
