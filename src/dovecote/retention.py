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
    counted: Callable[[Pruned], None] = lambda _: None,
    until: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Prune until nothing is past its time, or `until` says stop. Answers how much.

    After each piece `told` hears how much it is so far, and `counted` how much of that is new.
    """
    total = Pruned()
    while not until() and (piece := await store.prune(retention)):
        total += piece
        counted(piece)
        told(total)
        await asyncio.sleep(pause)
    return total


def in_words(pruned: Pruned) -> str:
    """What was removed, or would be."""
    return (
        f"{pruned.delivered:,} delivered, {pruned.dead:,} dead letters, {pruned.unknown:,} unknown,"
        f" {pruned.payloads:,} payloads of others, the variables of {pruned.broadcasts:,} broadcasts,"
        f" {pruned.occurrences:,} occurrences, {pruned.keys:,} keys, {pruned.chat_waits:,} waits of chats"
    )


class RetentionLoop(LeaderRounds):
    """Prunes every `interval` while this instance leads; see `dovecote.service` for what runs it."""

    name = "retention"

    def __init__(
        self,
        store: PruneStore,
        leadership: Leadership,
        retention: Retention,
        *,
        interval: timedelta,
        counted: Callable[[Pruned], None] = lambda _: None,
    ) -> None:
        super().__init__(leadership, interval=interval)
        self._store = store
        self._retention = retention
        self._counted = counted

    async def round(self) -> None:
        """See `LeaderRounds.round`."""
        try:
            pruned = await prune_all(
                self._store, self._retention, counted=self._counted, until=lambda: not self.may_go_on()
            )
        except (StoreUnavailable, NotMigrated) as error:
            logger.warning("nothing can be pruned just now, it is tried again later: %s", error)
            return
        if pruned:
            logger.info("pruned what is past its time: %s", in_words(pruned))
