"""What is counted, for Prometheus. docs/metrics.md lists every metric; a test compares.

The worker reports whole batches, and this module sits in its hot path: a batch is first added up in plain
dictionaries, then each counter that changed is touched once. The histogram of requests keeps plain lists for the same
reason and becomes a metric when it is read.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dovecote.model import BotStopped, Dead, Delivered, Failed, Happened, Migrated, Released, Scope, Snoozed, Unknown
from dovecote.observability.broadcast_metrics import BroadcastMetrics
from dovecote.observability.file_metrics import FileMetrics
from dovecote.observability.retention_metrics import RetentionMetrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from dovecote.model import Cycle, Fired, Outcome, Settlement, Stats
    from dovecote.ports import Election

OUTCOMES: Final[dict[type[Outcome], str]] = {
    Delivered: "delivered",
    Snoozed: "snoozed",
    Failed: "failed",
    Unknown: "unknown",
    Dead: "dead",
    Migrated: "migrated",
    BotStopped: "stopped",
    Released: "released",
}
# A snooze and a stopped bot give the attempt back, a release never made it.
_ATTEMPTS: Final = frozenset({Delivered, Failed, Migrated, Unknown, Dead})
_ENDS: Final = ("expired", "unknown", "poison", "suppressed")

_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_CYCLE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LATENESS_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry(auto_describe=True)
        self._due = self._gauge("notifications_due", "Notifications that may be sent now.")
        self._scheduled = self._gauge("notifications_scheduled", "Notifications that are due later.")
        self._leased = self._gauge("notifications_leased", "Notifications that a worker holds.")
        self._oldest_due = self._gauge("oldest_due_seconds", "Age of the oldest due notification, 0 without one.")
        self._snapshot = self._gauge("oldest_snapshot_seconds", "Age of the oldest snapshot that is held, 0 without.")
        self._outcomes = self._counter("outcomes", "Settled outcomes.", "bot", "outcome")
        self._attempts = self._counter("attempts", "Attempts spent.", "bot")
        self._rate_limited = self._counter("rate_limited", "Answers 429, by whom they make wait.", "bot", "scope")
        self._claimed = self._counter("claimed", "Notifications claimed.")
        self._ended = self._counter("ended", "Notifications that a claim took out of the outbox.", "reason")
        self._lost_leases = self._counter("lost_leases", "Settlements that came after their lease.")
        self._cycles = Histogram(
            "dovecote_cycle_seconds",
            "Time of a cycle: settling a batch and claiming the next.",
            buckets=_CYCLE_BUCKETS,
            registry=self.registry,
        )
        self._is_leader = self._gauge("is_leader", "Whether this instance leads: 1 or 0.")
        self._term = self._gauge("leadership_term", "The term that this instance leads in, 0 while it follows.")
        self._can_elect = self._gauge("can_elect", "Whether a leader can be elected: 0 while the lease store is away.")
        self._occurrences = self._counter("occurrences", "Fire times decided by this instance.", "happened")
        self._lateness = Histogram(
            "dovecote_occurrence_late_seconds",
            "How much later than planned an occurrence was written.",
            buckets=_LATENESS_BUCKETS,
            registry=self.registry,
        )
        for happened in Happened:
            self._occurrences.labels(happened.value)
        self._requests = _RequestHistogram()
        self.registry.register(self._requests)
        for reason in _ENDS:
            self._ended.labels(reason)  # so that they are 0 and not absent until the first of them
        self.broadcasts: Final = BroadcastMetrics(self.registry)
        self.pruned: Final = RetentionMetrics(self.registry)
        self.stats_unknown()
        self.files: Final = FileMetrics(self.registry, OUTCOMES)

    def cycle_done(self, seconds: float, cycle: Cycle) -> None:
        """Count one cycle that took `seconds`."""
        self._cycles.observe(seconds)
        self._claimed.inc(len(cycle.claimed))
        self._lost_leases.inc(len(cycle.lost))
        for reason, count in cycle.ended.items():
            self._ended.labels(reason).inc(count)

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """Count the outcomes of a batch. Call it once per settlement, not again when a cycle is repeated."""
        outcomes: dict[tuple[str, type[Outcome]], int] = {}
        limited: dict[tuple[str, str], int] = {}
        requests = self._requests
        for settlement in settlements:
            bot = settlement.claimed.bot
            outcome = settlement.outcome
            kind = type(outcome)
            key = (bot, kind)
            outcomes[key] = outcomes.get(key, 0) + 1
            if kind is not Released:  # a release made no request
                took = settlement.took
                row = requests.rows.get(bot) or requests.row(bot)
                row[bisect_left(_REQUEST_BUCKETS, took)] += 1
                row[-1] += took
            if isinstance(outcome, Snoozed) and outcome.scope is not Scope.NOTIFICATION:
                whom = (bot, outcome.scope.value)
                limited[whom] = limited.get(whom, 0) + 1
        for (bot, kind), count in outcomes.items():
            self._outcomes.labels(bot, OUTCOMES[kind]).inc(count)
            if kind in _ATTEMPTS:
                self._attempts.labels(bot).inc(count)
        for (bot, scope), count in limited.items():
            self._rate_limited.labels(bot, scope).inc(count)

    def occurrences_written(self, fired: Fired, late: Sequence[float]) -> None:
        """Count a transaction of the scheduler's."""
        for _, planned in fired.occurrences:
            self._occurrences.labels(planned.happened.value).inc()
        for seconds in late:
            self._lateness.observe(max(0.0, seconds))

    def set_stats(self, stats: Stats) -> None:
        """Take over what the database says about the outbox."""
        self._due.set(stats.due)
        self._scheduled.set(stats.scheduled)
        self._leased.set(stats.leased)
        self._oldest_due.set(stats.oldest_due or 0.0)

    def set_oldest_snapshot(self, seconds: float) -> None:
        """Take over for how long somebody has held the oldest snapshot in the database, 0 for nobody."""
        self._snapshot.set(seconds)

    def stats_unknown(self) -> None:
        """Say that nobody can tell just now: an old number would pass for a good one."""
        for gauge in (self._due, self._scheduled, self._leased, self._oldest_due, self._snapshot):
            gauge.set(math.nan)
        self.broadcasts.unknown()

    def follow(self, election: Election) -> None:
        """Tell of this election from now on, as it is at the time of each scrape."""
        self._is_leader.set_function(lambda: float(election.term is not None))
        self._term.set_function(lambda: float(election.term or 0))
        self._can_elect.set_function(lambda: float(election.available))

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The page that Prometheus reads, in the format that `accept` (its header) asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(_WithoutCreated(self.registry)), content_type

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(f"dovecote_{name}", about, registry=self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"dovecote_{name}", about, labels, registry=self.registry)


class _WithoutCreated(Collector):
    """A registry without the times at which its series began: a second series for each, which nobody reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class _RequestHistogram(Collector):
    """`dovecote_request_seconds`, by bot: a row per bot of a count per bucket, one for slower requests, and the sum."""

    def __init__(self) -> None:
        self.rows: dict[str, list[float]] = {}

    def row(self, bot: str) -> list[float]:
        return self.rows.setdefault(bot, [0] * (len(_REQUEST_BUCKETS) + 1) + [0.0])

    def describe(self) -> Iterator[HistogramMetricFamily]:
        yield self._family()

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = self._family()
        for bot, (*counts, total) in sorted(self.rows.items()):
            running = 0.0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*map(str, _REQUEST_BUCKETS), "+Inf"), counts, strict=True):
                running += count
                buckets.append((bound, running))
            family.add_metric([bot], buckets, total)
        yield family

    @staticmethod
    def _family() -> HistogramMetricFamily:
        return HistogramMetricFamily("dovecote_request_seconds", "Time of a request to Telegram.", labels=["bot"])
