"""The loop that keeps the history within its time: the leader prunes, now and then, a bounded piece at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from dovecote.errors import NotMigrated, StoreUnavailable
from dovecote.model import Pruned
from dovecote.rounds import LeaderRounds

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


class RetentionLoop(LeaderRounds):
    """Prunes every `interval` while this instance leads; see `dovecote.service` for what runs it."""

    name = "retention"

    def __init__(self, store: PruneStore, leadership: Leadership, retention: Retention, *, interval: timedelta) -> None:
        super().__init__(leadership, interval=interval)
        self._store = store
        self._retention = retention

    async def round(self) -> None:
        """See `LeaderRounds.round`."""
        try:
            pruned = await prune_all(self._store, self._retention, until=lambda: not self.may_go_on())
        except (StoreUnavailable, NotMigrated) as error:
            logger.warning("nothing can be pruned just now, it is tried again later: %s", error)
            return
        if pruned:
            logger.info("pruned what is past its time: %s", pruned)
