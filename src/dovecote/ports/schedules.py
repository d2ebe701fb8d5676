"""The schedules of notifications: who fires them, who keeps them, and who counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from dovecote.model import (
        DueSchedules,
        FannedOut,
        Fired,
        Firing,
        NextFire,
        Occurrence,
        Origin,
        PlannedOccurrence,
        Schedule,
        ScheduleRecord,
    )


class ScheduleStore(Protocol):
    """The schedules as the scheduler sees them. Time is the store's own, and the store judges every race.

    Each raises StoreUnavailable; what was to be written is then written whole or not at all, and again is harmless.
    """

    async def due(self, *, limit: int, overdue_by: timedelta) -> DueSchedules:
        """Up to `limit` schedules that have been due for at least so long, the longest first. Found by an index."""

    async def homes(self, schedule: Schedule) -> tuple[Sequence[str], str | None]:
        """Which zones the recipients of a schedule live in ("" for those in none), and the zone of its bot."""

    async def fire(self, firings: Sequence[Firing], *, wait: bool = False) -> Fired:
        """Write occurrences, the notifications they make, and where their schedules stand then, in one transaction.

        A schedule that is not as it was read is left alone, and so is one that another transaction holds, unless told
        to `wait`. An occurrence that there is already is not written again; one for many is left open for `fan_out`.
        """

    async def fan_out(self, *, limit: int) -> FannedOut | None:
        """Enqueue for up to `limit` more recipients of an open occurrence, in one transaction; None if none is open."""

    async def postpone(self, record: ScheduleRecord, by: timedelta) -> None:
        """Look at a schedule again only so much later than now. Its cursor stays."""

    async def close(self) -> None:
        """Give back every connection."""


class ScheduleBook(Protocol):
    """The schedules as whoever makes them sees them."""

    async def add(self, schedule: Schedule, origin: Origin, then: NextFire) -> ScheduleRecord:
        """Keep a new one. Raises InvalidSchedule for a name that is taken, UnknownBot."""

    async def get(self, name: str) -> ScheduleRecord:
        """The one of that name. Raises UnknownSchedule."""

    async def page(self, *, after_name: str | None = None, limit: int = 50) -> Sequence[ScheduleRecord]:
        """Schedules in the order of their names, by code point, a page at a time."""

    async def change(
        self,
        record: ScheduleRecord,
        *,
        schedule: Schedule,
        paused: bool,
        then: NextFire,
        missed: PlannedOccurrence | None = None,
    ) -> ScheduleRecord | None:
        """Replace `record` under its next version; None when it is not as it was read by now. Raises UnknownBot."""

    async def delete(self, name: str) -> None:
        """Forget a schedule and its occurrences; what is enqueued stays enqueued. Raises UnknownSchedule."""

    async def occurrences(self, name: str, *, before: datetime | None = None, limit: int = 50) -> Sequence[Occurrence]:
        """Its occurrences, the newest fire time first, a page at a time. Raises UnknownSchedule."""

    async def audience(self, schedule: Schedule) -> int:
        """How many recipients it has now. Raises UnknownBot."""

    async def clock(self) -> datetime:
        """The store's time."""


class ScheduleObserver(Protocol):
    """Who counts what the scheduler does. Called once per transaction."""

    def occurrences_written(self, fired: Fired, late: Sequence[float]) -> None:
        """These were written; each that fired was so many seconds later than planned, its jitter included."""
