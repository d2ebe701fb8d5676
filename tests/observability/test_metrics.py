"""Metrics: what is counted, how cheaply, and that the document lists all of them."""

from __future__ import annotations

import math
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dovecote.model import (
    BotStopped,
    Broadcast,
    BroadcastCounts,
    BroadcastKind,
    BroadcastRecord,
    BroadcastState,
    ClaimedNotification,
    Cycle,
    Dead,
    Delivered,
    DeliveryPolicy,
    Failed,
    Outcome,
    Pruned,
    PrunedOutcome,
    Released,
    Scope,
    Settlement,
    Snoozed,
    State,
    Stats,
    Unknown,
)
from dovecote.observability.metrics import OUTCOMES, Metrics

if TYPE_CHECKING:
    from types import FrameType

NOW = datetime(2026, 1, 5, tzinfo=UTC)
DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def claimed(number: int, bot: str = "shop") -> ClaimedNotification:
    return ClaimedNotification(
        id=number,
        lease_token=1,
        bot_id=1,
        bot=bot,
        chat="42",
        method="sendMessage",
        params="{}",
        delivery=DeliveryPolicy.AT_LEAST_ONCE,
        attempt=1,
        failures=0,
        send_in=0.0,
        slot=None,
    )


def settlement(outcome: Outcome, *, bot: str = "shop", took: float = 0.1) -> Settlement:
    return Settlement(claimed(1, bot), outcome, took=took)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


class Standing:
    """An election as somebody stands in it."""

    term: int | None = None
    available = True

    async def changed(self) -> None:
        """Nobody waits for it here."""


class TestLeadership:
    def test_it_is_told_as_it_is_at_the_time_of_the_scrape(self) -> None:
        metrics, standing = Metrics(), Standing()
        names = ("dovecote_is_leader", "dovecote_leadership_term", "dovecote_can_elect")
        assert [value(metrics, name) for name in names] == [0, 0, 0]

        metrics.follow(standing)
        assert [value(metrics, name) for name in names] == [0, 0, 1]
        standing.term = 7
        assert [value(metrics, name) for name in names] == [1, 7, 1]
        standing.term, standing.available = None, False
        assert [value(metrics, name) for name in names] == [0, 0, 0]


class TestOutcomes:
    def test_each_is_counted_under_its_bot_and_name(self) -> None:
        metrics = Metrics()

        metrics.settled(
            [
                settlement(Delivered((1,))),
                settlement(Delivered((2,))),
                settlement(Delivered((3,)), bot="support"),
                settlement(Snoozed(timedelta(seconds=1))),
                settlement(Failed("refused")),
                settlement(Unknown("reset")),
                settlement(Dead("blocked")),
                settlement(BotStopped("Unauthorized")),
                settlement(Released()),
            ]
        )
        metrics.settled([settlement(Delivered((4,)))])

        counted = {
            outcome: value(metrics, "dovecote_outcomes_total", bot="shop", outcome=outcome)
            for outcome in ("delivered", "snoozed", "failed", "unknown", "dead", "stopped", "released")
        }
        assert counted == {
            "delivered": 3,
            "snoozed": 1,
            "failed": 1,
            "unknown": 1,
            "dead": 1,
            "stopped": 1,
            "released": 1,
        }
        assert value(metrics, "dovecote_outcomes_total", bot="support", outcome="delivered") == 1

    def test_only_outcomes_that_spend_an_attempt_count_as_attempts(self) -> None:
        metrics = Metrics()

        metrics.settled([settlement(outcome) for outcome in (Snoozed(timedelta(1)), BotStopped("no"), Released())])
        assert value(metrics, "dovecote_attempts_total", bot="shop") is None

        metrics.settled([settlement(outcome) for outcome in (Delivered(), Failed("a"), Unknown("b"), Dead("c"))])
        assert value(metrics, "dovecote_attempts_total", bot="shop") == 4

    def test_answers_429_are_counted_by_scope(self) -> None:
        metrics = Metrics()

        scopes = (Scope.BOT, Scope.BOT, Scope.CHAT, Scope.NOTIFICATION)
        metrics.settled([settlement(Snoozed(timedelta(seconds=3), scope)) for scope in scopes])

        assert value(metrics, "dovecote_rate_limited_total", bot="shop", scope="bot") == 2
        assert value(metrics, "dovecote_rate_limited_total", bot="shop", scope="chat") == 1
        # A worker that cannot read a token is no answer of Telegram's.
        assert value(metrics, "dovecote_rate_limited_total", bot="shop", scope="notification") is None

    def test_every_outcome_of_the_model_has_a_name(self) -> None:
        assert set(OUTCOMES) == set(Outcome.__args__)


def record(name: str, state: BroadcastState = BroadcastState.RUNNING, **changes: Any) -> BroadcastRecord:
    given: dict[str, Any] = {
        "id": 1,
        "broadcast": Broadcast(name=name, bot="shop", text="x"),
        "kind": BroadcastKind.SEND,
        "of": None,
        "state": state,
        "reason": None,
        "counts": BroadcastCounts(recipients=9, waiting=3, enqueued=2, delivered=2, dead=1, suppressed=1),
        "rate": None,
        "errors": {},
        "created_at": NOW,
        "changed_at": NOW,
        "started_at": NOW,
        "finished_at": None,
    }
    return BroadcastRecord(**(given | changes))


class TestBroadcasts:
    def test_each_recipient_of_what_is_under_way_is_counted_under_one_outcome(self) -> None:
        metrics = Metrics()

        metrics.broadcasts.set([record("news", rate=12.5), record("offer", BroadcastState.PAUSED)])

        assert value(metrics, "dovecote_broadcasts", state="running") == 1
        assert value(metrics, "dovecote_broadcasts", state="paused") == 1
        assert value(metrics, "dovecote_broadcast_rate", broadcast="news") == 12.5
        counted = {
            outcome: value(metrics, "dovecote_broadcast_recipients", broadcast="news", outcome=outcome)
            for outcome in ("waiting", "enqueued", "delivered", "dead", "unknown", "suppressed", "cancelled")
        }
        assert counted == {
            "waiting": 3,
            "enqueued": 2,
            "delivered": 2,
            "dead": 1,
            "unknown": 0,
            "suppressed": 1,
            "cancelled": 0,
        }

    def test_what_is_over_has_no_series_any_more_and_there_are_never_many(self) -> None:
        metrics = Metrics()
        metrics.broadcasts.set([record(f"news-{number}") for number in range(30)])

        assert value(metrics, "dovecote_broadcasts", state="running") == 30
        assert value(metrics, "dovecote_broadcast_rate", broadcast="news-19") == 0
        assert value(metrics, "dovecote_broadcast_rate", broadcast="news-20") is None

        metrics.broadcasts.set([])
        assert value(metrics, "dovecote_broadcasts", state="running") == 0
        assert value(metrics, "dovecote_broadcast_recipients", broadcast="news-0", outcome="dead") is None

    def test_while_nobody_can_tell_no_old_number_stands(self) -> None:
        metrics = Metrics()
        metrics.broadcasts.set([record("news")])

        metrics.stats_unknown()

        assert math.isnan(value(metrics, "dovecote_broadcasts", state="running") or 0)
        assert value(metrics, "dovecote_broadcast_rate", broadcast="news") is None


class TestRequests:
    def test_times_fall_into_cumulative_buckets_and_add_up(self) -> None:
        metrics = Metrics()

        metrics.settled([settlement(Delivered(), took=took) for took in (0.005, 0.006, 0.3, 100.0)])
        metrics.settled([settlement(Released(), took=0.0)])

        assert value(metrics, "dovecote_request_seconds_bucket", bot="shop", le="0.005") == 1
        assert value(metrics, "dovecote_request_seconds_bucket", bot="shop", le="0.01") == 2
        assert value(metrics, "dovecote_request_seconds_bucket", bot="shop", le="0.25") == 2
        assert value(metrics, "dovecote_request_seconds_bucket", bot="shop", le="0.5") == 3
        assert value(metrics, "dovecote_request_seconds_bucket", bot="shop", le="20.0") == 3
        assert value(metrics, "dovecote_request_seconds_bucket", bot="shop", le="+Inf") == 4
        assert value(metrics, "dovecote_request_seconds_count", bot="shop") == 4
        assert value(metrics, "dovecote_request_seconds_sum", bot="shop") == pytest.approx(100.311)


class TestCycles:
    def test_a_cycle_is_counted_with_what_it_claimed_lost_and_ended(self) -> None:
        metrics = Metrics()

        metrics.cycle_done(0.02, Cycle([claimed(1), claimed(2)], lost=[7], ended={"expired": 3, "poison": 1}))
        metrics.cycle_done(0.2, Cycle([claimed(3)]))

        assert value(metrics, "dovecote_claimed_total") == 3
        assert value(metrics, "dovecote_lost_leases_total") == 1
        assert value(metrics, "dovecote_ended_total", reason="expired") == 3
        assert value(metrics, "dovecote_ended_total", reason="poison") == 1
        assert value(metrics, "dovecote_ended_total", reason="unknown") == 0
        assert value(metrics, "dovecote_cycle_seconds_bucket", le="0.025") == 1
        assert value(metrics, "dovecote_cycle_seconds_count") == 2
        assert value(metrics, "dovecote_cycle_seconds_sum") == pytest.approx(0.22)


class TestTheOutbox:
    def test_its_numbers_are_unknown_until_somebody_asks_and_when_nobody_can_tell(self) -> None:
        metrics = Metrics()
        assert math.isnan(value(metrics, "dovecote_notifications_due") or 0)

        metrics.set_stats(Stats(due=3, scheduled=4, leased=5, oldest_due=6.5, delivered=7, dead=8, unknown=9))
        assert value(metrics, "dovecote_notifications_due") == 3
        assert value(metrics, "dovecote_notifications_scheduled") == 4
        assert value(metrics, "dovecote_notifications_leased") == 5
        assert value(metrics, "dovecote_oldest_due_seconds") == 6.5

        metrics.set_stats(Stats(due=0, scheduled=0, leased=0, oldest_due=None, delivered=7, dead=8, unknown=9))
        assert value(metrics, "dovecote_oldest_due_seconds") == 0

        metrics.set_oldest_snapshot(12.5)
        assert value(metrics, "dovecote_oldest_snapshot_seconds") == 12.5

        metrics.stats_unknown()
        assert math.isnan(value(metrics, "dovecote_oldest_snapshot_seconds") or 0)
        assert math.isnan(value(metrics, "dovecote_oldest_due_seconds") or 0)


class TestCost:
    @staticmethod
    def functions_called(settlements: list[Settlement]) -> int:
        metrics = Metrics()
        metrics.settled(settlements)
        calls = 0

        def count(_frame: FrameType, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event == "call"

        sys.setprofile(count)
        try:
            metrics.settled(settlements)
        finally:
            sys.setprofile(None)
        return calls

    def test_a_larger_batch_calls_no_more_functions(self) -> None:
        of_one = self.functions_called([settlement(Delivered((1,)))])
        of_many = self.functions_called([settlement(Delivered((number,))) for number in range(5000)])

        assert of_one > 0
        assert of_many == of_one


class TestThePage:
    def test_two_processes_worth_of_metrics_do_not_meet(self) -> None:
        first, second = Metrics(), Metrics()

        first.settled([settlement(Delivered())])

        assert value(second, "dovecote_attempts_total", bot="shop") is None

    @pytest.mark.parametrize(
        ("accept", "content_type"),
        [
            ("", "text/plain; version=0.0.4; charset=utf-8"),
            (
                "application/openmetrics-text; version=1.0.0",
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
            ),
        ],
    )
    def test_it_comes_in_the_format_that_was_asked_for(self, accept: str, content_type: str) -> None:
        metrics = Metrics()
        metrics.settled([settlement(Delivered())])

        page, kind = metrics.exposition(accept)

        assert kind == content_type
        assert b'\ndovecote_outcomes_total{bot="shop",outcome="delivered"} 1.0\n' in page
        assert b"_created" not in page


class TestTheDocument:
    def test_it_lists_every_metric_with_kind_and_labels_and_no_other(self) -> None:
        metrics = Metrics()
        metrics.settled([settlement(Snoozed(timedelta(1))), settlement(Delivered())])
        metrics.broadcasts.set([record("news")])
        outcome = PrunedOutcome(bot="shop", outcome=State.DELIVERED, notifications=1, payloads=1)
        metrics.pruned.pruned(Pruned(history=(outcome,)))
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| .+ \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)

        documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}

        there_are = {
            f"{family.name}_total" if family.type == "counter" else family.name: (
                family.type,
                {label for sample in family.samples for label in sample.labels} - {"le"},
            )
            for family in metrics.registry.collect()
        }
        assert documented == there_are
        assert len(rows) == len(documented)

    def test_it_names_every_outcome(self) -> None:
        (row,) = [line for line in DOCUMENT.read_text("utf-8").splitlines() if "`dovecote_outcomes_total`" in line]

        assert set(re.findall(r"`(\w+)`", row)) == {"dovecote_outcomes_total", "bot", "outcome", *OUTCOMES.values()}

    def test_it_names_every_reason_of_an_end(self) -> None:
        (row,) = [line for line in DOCUMENT.read_text("utf-8").splitlines() if "`dovecote_ended_total`" in line]

        reasons = {"expired", "unknown", "poison", "suppressed"}
        assert set(re.findall(r"`(\w+)`", row)) == {"dovecote_ended_total", "reason", *reasons}
        page = Metrics().exposition()[0]
        assert {
            reason for reason in reasons if f'dovecote_ended_total{{reason="{reason}"}} 0.0' in page.decode()
        } == reasons
