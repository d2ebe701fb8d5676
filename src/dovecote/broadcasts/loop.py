"""The broadcaster: moves on what runs, whoever leads, and if need be while nobody does.

- The leader looks several times a second while something runs, else every `look_interval`.
- Every instance looks every `sweep_interval` for what has waited longer than `overdue_by`, so a leader that cannot be
  elected costs seconds and nothing else.
- The store judges: what two instances do at a time, it does once.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from dovecote.errors import NotMigrated, StoreUnavailable

if TYPE_CHECKING:
    from dovecote.ports import BroadcastStore, Leadership

logger = logging.getLogger(__name__)

AWAY = (StoreUnavailable, NotMigrated)
SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between tries while the database is away."""
PIECES = 4
"""How many pieces of one broadcast go before the others have their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcasterSettings:
    """How often is looked, and how many recipients one transaction moves."""

    look_interval: timedelta = timedelta(milliseconds=500)
    busy_interval: timedelta = timedelta(milliseconds=100)
    sweep_interval: timedelta = timedelta(seconds=5)
    overdue_by: timedelta = timedelta(seconds=3)
    batch_size: int = 1000


class Broadcaster:
    """Moves broadcasts on from `run` until `stop`. Run one in every instance."""

    name = "broadcaster"

    def __init__(
        self,
        store: BroadcastStore,
        leadership: Leadership,
        settings: BroadcasterSettings | None = None,
        *,
        random: Random | None = None,
    ) -> None:
        self._store = store
        self._leadership = leadership
        self._settings = settings or BroadcasterSettings()
        self._random = random or Random()  # noqa: S311 (it spreads out the sweeps)
        self._stopping = asyncio.Event()
        self._pause = 0.0

    def stop(self) -> None:
        """Begin to end: what is in a transaction is finished, `run` then returns."""
        self._stopping.set()

    async def close(self) -> None:
        """Give back the connection, for whoever calls `turn` without `run`."""
        await self._store.close()

    async def run(self) -> None:
        """Move on what runs until `stop`. Outages of the database are borne."""
        now = asyncio.get_running_loop().time
        sweep_at = now() + self._spread()
        stopped = asyncio.create_task(self._stopping.wait())
        changed = asyncio.create_task(self._leadership.changed())
        try:
            while not self._stopping.is_set():
                if changed.done():
                    changed = asyncio.create_task(self._leadership.changed())
                # It listens before the term is read, so that no change is missed.
                await asyncio.sleep(0)
                wait = sweep_at - now()
                if self._leadership.term is not None:
                    wait = await self._look(timedelta(0))
                elif wait <= 0:
                    sweep_at = now() + self._spread()
                    wait = await self._look(self._settings.overdue_by)
                    wait = max(wait, sweep_at - now())
                await asyncio.wait({stopped, changed}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopped, changed):
                task.cancel()
            await asyncio.gather(stopped, changed, return_exceptions=True)
            await self._store.close()

    async def _look(self, overdue_by: timedelta) -> float:
        """Move on what is due, and answer the seconds until the next look."""
        try:
            busy = await self.turn(overdue_by)
        except AWAY as error:
            if not self._pause:
                logger.warning("%s; broadcasts wait until it is back", error)
            self._pause = min(LONGEST_PAUSE, self._pause * 2 or SHORTEST_PAUSE)
            return self._pause
        self._pause = 0.0
        interval = self._settings.busy_interval if busy else self._settings.look_interval
        return interval.total_seconds()

    async def turn(self, overdue_by: timedelta = timedelta(0)) -> int:
        """Move on once what is due, and answer how many broadcasts that were. Raises StoreUnavailable, NotMigrated."""
        due = await self._store.due(overdue_by=overdue_by)
        for broadcast_id in due:
            if self._stopping.is_set():
                break
            try:
                await move_on(self._store, broadcast_id, self._settings.batch_size, pieces=PIECES)
            except AWAY:
                raise
            except Exception:
                # One broadcast must not hold up the others.
                logger.exception("the broadcast %d could not be moved on and is tried again", broadcast_id)
        return len(due)

    async def fill(self) -> bool:
        """Move everything on once as far as it goes, for whoever empties the outbox in between.

        Answers whether anything runs still. Raises StoreUnavailable, NotMigrated.
        """
        for broadcast_id in await self._store.running():
            await move_on(self._store, broadcast_id, self._settings.batch_size)
        return bool(await self._store.running())

    def _spread(self) -> float:
        """Somewhat less than the interval of the sweeps, in seconds: instances are not to sweep together."""
        return self._settings.sweep_interval.total_seconds() * (1 - self._random.random() / 4)


async def move_on(store: BroadcastStore, broadcast_id: int, batch_size: int, *, pieces: int | None = None) -> None:
    """Collect what became of its notifications, then do what its state asks for: all of it, or so many pieces."""
    after: int | None = 0
    while after is not None:
        after = await store.collect(broadcast_id, after=after, limit=batch_size)
    done = 0
    while (await store.advance(broadcast_id, limit=batch_size)).more:
        done += 1
        if pieces is not None and done >= pieces:
            return
