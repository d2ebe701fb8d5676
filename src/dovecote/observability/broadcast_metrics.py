"""What is told of broadcasts: those under way, as the database has them, and how often this process saw a brake."""

from __future__ import annotations

import math
from collections import Counter as Tally
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge

from dovecote.model import BroadcastState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry

    from dovecote.model import BroadcastRecord

NAMED: Final = 20
"""So many broadcasts have series of their own, the newest of those under way: names come and go, and each costs."""
STATES: Final = (BroadcastState.RUNNING, BroadcastState.PAUSED)
OUTCOMES: Final = ("waiting", "enqueued", "delivered", "dead", "unknown", "suppressed", "cancelled")
"""Each recipient of a broadcast is counted under one of them."""


class BroadcastMetrics:
    """The broadcasts' part of a process's metrics; implements `dovecote.ports.BroadcastObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._there = Gauge("dovecote_broadcasts", "Broadcasts under way.", ["state"], registry=registry)
        self._recipients = Gauge(
            "dovecote_broadcast_recipients",
            "Recipients of the newest broadcasts under way.",
            ["broadcast", "outcome"],
            registry=registry,
        )
        self._rate = Gauge(
            "dovecote_broadcast_rate", "Recipients settled a second, lately.", ["broadcast"], registry=registry
        )
        self._brakes = Counter("dovecote_broadcast_brakes", "Broadcasts paused by their brake.", registry=registry)

    def set(self, under_way: Sequence[BroadcastRecord]) -> None:
        """Take over what the database says of those that run or are paused, the newest first."""
        states = Tally(record.state for record in under_way)
        for state in STATES:
            self._there.labels(state.value).set(states[state])
        self._recipients.clear()
        self._rate.clear()
        for record in under_way[:NAMED]:
            name = record.broadcast.name
            for outcome in OUTCOMES:
                self._recipients.labels(name, outcome).set(getattr(record.counts, outcome))
            self._rate.labels(name).set(record.rate or 0.0)

    def unknown(self) -> None:
        """Say that nobody can tell just now."""
        for state in STATES:
            self._there.labels(state.value).set(math.nan)
        self._recipients.clear()
        self._rate.clear()

    def braked(self) -> None:
        """Count a broadcast that paused itself."""
        self._brakes.inc()
