"""The loop that keeps the counts of the history few: while this instance leads it folds them every few seconds."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dovecote.errors import NotMigrated, StoreUnavailable
from dovecote.rounds import LeaderRounds

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


class FoldingLoop(LeaderRounds):
    """Folds every `interval` while this instance leads. An outage costs rounds alone: the sums are always right."""

    name = "folding"

    def __init__(self, store: CountStore, leadership: Leadership, *, interval: timedelta = EVERY) -> None:
        super().__init__(leadership, interval=interval)
        self._store = store

    async def round(self) -> None:
        """See `LeaderRounds.round`."""
        try:
            await fold_all(self._store)
        except (StoreUnavailable, NotMigrated) as error:
            logger.debug("the counts cannot be folded just now: %s", error)
