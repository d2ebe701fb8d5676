"""Retention's part of the composition root: what is pruned, by hand and by the leader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovecote.folding import fold_all
from dovecote.model import Retention
from dovecote.retention import RetentionLoop, prune_all
from dovecote.stores.folding import Counts
from dovecote.stores.pruning import Pruning

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.config import Settings
    from dovecote.model import Pruned
    from dovecote.observability.metrics import Metrics
    from dovecote.ports import Leadership
    from dovecote.stores.database import Database


class Retaining:
    """What one Dovecote keeps, and for how long."""

    def __init__(self, database: Database, settings: Settings, metrics: Metrics) -> None:
        self._database = database
        self._chosen = settings.retention
        self._metrics = metrics

    def _retention(self) -> Retention:
        return Retention(**{name: getattr(self._chosen, name) for name in Retention.__dataclass_fields__})

    async def prune(self, told: Callable[[Pruned], None]) -> Pruned:
        """See `Dovecote.prune`."""
        await fold_all(Counts(self._database))
        return await prune_all(
            Pruning(self._database), self._retention(), told=told, counted=self._metrics.pruned.pruned
        )

    async def due(self) -> Pruned:
        """See `Dovecote.prunable`."""
        return await Pruning(self._database).due(self._retention())

    def loop(self, leadership: Leadership) -> RetentionLoop:
        """The loop that prunes while this instance leads."""
        return RetentionLoop(
            Pruning(self._database),
            leadership,
            self._retention(),
            interval=self._chosen.interval,
            counted=self._metrics.pruned.pruned,
        )
