"""The loop that keeps the counts of the history few: while this instance leads it folds them every few seconds."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dovecote.errors import NotMigrated, StoreUnavailable

if TYPE_CHECKING:
    from dovecote.ports import CountStore, Leadership

logger = logging.getLogger(__name__)

EVERY: Final = timedelta(seconds=10)
MANY: Final = 1000
"""When so many rows were folded there may be more at once: for a while nobody led."""


async def fold_all(store: CountStore) -> None:
    """Fold until little is left to fold. Raises StoreUnavailable, NotMigrated."""
    while await store.fold() > MANY:
        continue


class FoldingLoop:
    """Folds every `interval` while this instance leads; implements `dovecote.ports.Loop`."""

    name = "folding"

    def __init__(self, store: CountStore, leadership: Leadership, *, interval: timedelta = EVERY) -> None:
        self._store = store
        self._leadership = leadership
        self._interval = interval.total_seconds()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopped.set()

    async def run(self) -> None:
        """Fold until `stop`. An outage costs rounds and nothing else: the sums are right all the time."""
        while not self._stopped.is_set():
            if self._leadership.term is not None:
                try:
                    await fold_all(self._store)
                except (StoreUnavailable, NotMigrated) as error:
                    logger.debug("the counts cannot be folded just now: %s", error)
            try:
                async with asyncio.timeout(self._interval):
                    await self._stopped.wait()
            except TimeoutError:
                continue
