"""What a leader does in rounds: one as soon as it leads, and then one every so often."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from dovecote.ports import Leadership


class LeaderRounds(ABC):
    """A `dovecote.ports.Loop` whose `round` runs every `interval` while this instance leads."""

    name: str

    def __init__(self, leadership: Leadership, *, interval: timedelta) -> None:
        self._leadership = leadership
        self._interval = interval.total_seconds()
        self._stopped = asyncio.Event()

    @abstractmethod
    async def round(self) -> None:
        """Do one round, and bear the outages of what it needs. A long one asks `may_go_on` between its pieces."""

    def may_go_on(self) -> bool:
        """Whether this instance still leads and nobody has said stop."""
        return self._leadership.term is not None and not self._stopped.is_set()

    def stop(self) -> None:
        """End `run` after the piece that is under way."""
        self._stopped.set()

    async def run(self) -> None:
        """Do rounds until `stop`."""
        while not self._stopped.is_set():
            if self._leadership.term is not None:
                await self.round()
            await self._wait()

    async def _wait(self) -> None:
        """Until the next round, or until told to stop; who follows also until leadership changes.

        Bounded for a follower too: a change may come between the look at the term and the wait.
        """
        waits: list[asyncio.Future[object]] = [asyncio.ensure_future(self._stopped.wait())]
        if self._leadership.term is None:
            waits.append(asyncio.ensure_future(self._leadership.changed()))
        try:
            await asyncio.wait(waits, timeout=self._interval, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
