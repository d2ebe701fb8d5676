"""The clock that a test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dovecote.emulator import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ManualClock:
    """Stands still until it is moved. It begins at `start`, an aware datetime; without it, at the present second."""

    def __init__(self, start: datetime | None = None) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError(f"start {start}: it has no zone; write datetime(..., tzinfo=UTC).")
        self._now = (start or datetime.now(UTC).replace(microsecond=0)).astimezone(UTC)
        self._told: list[Callable[[datetime], None]] = []

    def __repr__(self) -> str:
        return f"ManualClock({self._now.isoformat()})"

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        return self._now

    def advance(
        self, by: timedelta = timedelta(0), *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Move it forward at one go, and answer the time that it is then. Raises ValueError for a move back.

        Nothing is delivered by it: what became due meanwhile is late, as after an outage that lasted so long.
        """
        return self.move_to(self._now + by + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))

    def move_to(self, instant: datetime) -> datetime:
        """Move it forward to an aware `instant`, and answer it in UTC. Raises ValueError for one that has passed."""
        if instant.tzinfo is None:
            raise ValueError(f"{instant}: it has no zone; write datetime(..., tzinfo=UTC).")
        if instant < self._now:
            raise ValueError(
                f"{instant.isoformat()} is before {self._now.isoformat()}, and the clock only goes forward: let the"
                " test begin earlier, by a fixture `dovecote_start` of your own."
            )
        self._now = instant.astimezone(UTC)
        for tell in self._told:
            tell(self._now)
        return self._now

    def tell(self, told: Callable[[datetime], None]) -> None:
        """Call `told` with the time after each move."""
        self._told.append(told)

    def microseconds(self) -> int:
        """The time in microseconds since 1970."""
        return (self._now - EPOCH) // timedelta(microseconds=1)


class EmulatorClock(Clock):
    """The emulator's time is the test's."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.time()

    def time(self) -> float:
        """Seconds since 1970."""
        return self._clock.microseconds() / 1_000_000
