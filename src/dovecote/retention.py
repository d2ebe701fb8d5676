"""The loop that keeps the history within its time: the leader prunes, now and then, a bounded piece at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from dovecote.errors import NotMigrated, StoreUnavailable
from dovecote.model import Pruned

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from dovecote.model import Retention
    from dovecote.ports import Leadership, PruneStore

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.05
"""Between two pieces: deliveries come first."""


async def prune_all(
    store: PruneStore,
    retention: Retention,
    *,
    pause: float = PAUSE_SECONDS,
    told: Callable[[Pruned], None] = lambda _: None,
    until: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Prune until nothing is past its time, or `until` says stop. Answers, and tells `told` as it goes, how many."""
    total = Pruned()
    while not until() and (piece := await store.prune(retention)):
        total += piece
        told(total)
        await asyncio.sleep(pause)
    return total


class RetentionLoop:
    """Prunes every `interval` while this instance leads; see `dovecote.service` for what runs it."""

    name = "retention"

    def __init__(self, store: PruneStore, leadership: Leadership, retention: Retention, *, interval: timedelta) -> None:
        self._store = store
        self._leadership = leadership
        self._retention = retention
        self._interval = interval.total_seconds()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End `run` after the piece that is under way."""
        self._stopped.set()

    async def run(self) -> None:
        """Prune until `stop`."""
        while not self._stopped.is_set():
            if self._leadership.term is not None:
                await self._prune()
            await self._wait()

    async def _prune(self) -> None:
        try:
            pruned = await prune_all(
                self._store,
                self._retention,
                until=lambda: self._stopped.is_set() or self._leadership.term is None,
            )
        except (StoreUnavailable, NotMigrated) as error:
            logger.warning("nothing can be pruned just now, it is tried again later: %s", error)
            return
        if pruned:
            logger.info("pruned what is past its time: %s", pruned)

    async def _wait(self) -> None:
        """Until the next round, or until told to stop; a new leader begins with a round at once."""
        follows = self._leadership.term is None
        waits: list[asyncio.Future[object]] = [asyncio.ensure_future(self._stopped.wait())]
        if follows:
            waits.append(asyncio.ensure_future(self._leadership.changed()))
        try:
            await asyncio.wait(waits, timeout=None if follows else self._interval, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
