"""What is counted of pruning, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter

if TYPE_CHECKING:
    from dovecote.model import Pruned

KINDS: Final = ("broadcasts", "occurrences", "keys", "chat_waits")


class RetentionMetrics:
    """The counters of one process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._notifications = Counter(
            "dovecote_pruned_notifications",
            "Notifications that were removed from the history.",
            ("bot", "outcome"),
            registry=registry,
        )
        self._payloads = Counter(
            "dovecote_pruned_payloads",
            "Payloads that were removed from notifications that stay.",
            ("bot", "outcome"),
            registry=registry,
        )
        self._others = Counter(
            "dovecote_pruned_others", "What else was past its time and removed.", ("kind",), registry=registry
        )
        for kind in KINDS:
            self._others.labels(kind)  # so that they are 0 and not absent until the first of them

    def pruned(self, piece: Pruned) -> None:
        """Count what one piece has removed."""
        for each in piece.history:
            if each.notifications:
                self._notifications.labels(each.bot, each.outcome.value).inc(each.notifications)
            if each.payloads:
                self._payloads.labels(each.bot, each.outcome.value).inc(each.payloads)
        for kind in KINDS:
            self._others.labels(kind).inc(getattr(piece, kind))
