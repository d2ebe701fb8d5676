"""When a worker runs a cycle, and what with: against a scripted store, in virtual time."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from scripted_worker import ScriptedWorker, claimed
from virtual_time import in_virtual_time, seconds_passed

from dovecote.errors import NotMigrated, StoreUnavailable
from dovecote.model import Cycle, Delivered, Failed, Released, Unknown

if TYPE_CHECKING:
    import pytest

POLL = timedelta(seconds=1)


class TestSettling:
    @in_virtual_time
    async def test_outcomes_are_flushed_together_after_the_flush_interval(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2)], next_due_in=600.0))
        async with parts.running():
            await asyncio.sleep(0.1)

        settling = [call for call in parts.store.calls if call.settled]
        assert [(call.at, call.settled) for call in settling] == [(0.05, {1: Delivered((7,)), 2: Delivered((7,))})]

    @in_virtual_time
    async def test_a_full_batch_of_outcomes_does_not_wait(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2)]), Cycle([claimed(3), claimed(4)]), batch_size=2)
        async with parts.running():
            await asyncio.sleep(0.01)

        assert parts.store.settled.keys() == {1, 2, 3, 4}
        assert {call.at for call in parts.store.calls} == {0.0}

    @in_virtual_time
    async def test_one_outcome_that_cannot_be_recorded_spoils_no_other(self, caplog: pytest.LogCaptureFixture) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2), claimed(3)]))
        parts.store.refused = {2}
        async with parts.running():
            await asyncio.sleep(1)

        assert [list(call.settled) for call in parts.store.calls if call.settled] == [[1, 2, 3], [1], [2], [3]]
        assert parts.counts.settlements == [1, 3]
        assert [r.notification for r in caplog.records if "lease will run out" in r.message] == [2]  # type: ignore[attr-defined]

    @in_virtual_time
    async def test_a_failing_claim_is_tried_again_at_growing_pauses_and_not_at_once(self) -> None:
        parts = ScriptedWorker(*[ValueError("a fault of ours")] * 6, poll_interval=timedelta(hours=1))
        async with parts.running():
            await asyncio.sleep(10)

        assert [call.at for call in parts.store.claims] == [0.0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3]


class TestLooking:
    @in_virtual_time
    async def test_a_full_claim_is_followed_by_another_until_a_batch_waits_behind_what_is_sent(self) -> None:
        parts = ScriptedWorker(
            Cycle([claimed(1)]),
            Cycle([claimed(2), claimed(3)]),
            Cycle([claimed(4), claimed(5)]),
            batch_size=2,
            concurrency=1,
        )
        parts.channel.hold(1)
        async with parts.running():
            await asyncio.sleep(30)
            # The first is what the senders can send at once.
            assert [call.claim for call in parts.store.claims] == [1, 2, 2]
            parts.channel.let_go(1)
            await asyncio.sleep(0.1)

        assert parts.store.settled.keys() == {1, 2, 3, 4, 5}
        assert len(parts.store.claims) > 3

    @in_virtual_time
    async def test_it_looks_when_the_next_is_due(self) -> None:
        parts = ScriptedWorker(Cycle([], next_due_in=12.5), poll_interval=timedelta(hours=1))
        async with parts.running():
            await asyncio.sleep(20)

        assert [call.at for call in parts.store.claims] == [0.0, 12.5]

    @in_virtual_time
    async def test_an_idle_worker_polls(self) -> None:
        parts = ScriptedWorker(poll_interval=POLL)
        async with parts.running():
            await asyncio.sleep(3.5)

        assert [call.at for call in parts.store.claims] == [0.0, 1.0, 2.0, 3.0]

    @in_virtual_time
    async def test_it_polls_also_when_waiting_fails(self) -> None:
        parts = ScriptedWorker(poll_interval=POLL)
        parts.store.wait_raises = ValueError("a fault of ours")
        async with parts.running():
            await asyncio.sleep(3.5)

        assert [call.at for call in parts.store.claims] == [0.0, 1.0, 2.0, 3.0]

    @in_virtual_time
    async def test_a_wake_up_while_a_claim_is_under_way_is_not_forgotten(self) -> None:
        parts = ScriptedWorker(Cycle([], next_due_in=5.0), poll_interval=timedelta(hours=1))
        async with parts.running():
            await asyncio.sleep(4)
            parts.store.takes = 0.5
            # The look at 5.0 has its snapshot; what is committed at 5.2 it cannot see.
            await asyncio.sleep(1.2)
            parts.store.answers.append(Cycle([claimed(1)]))
            parts.store.woken.set()
            await asyncio.sleep(1)

        assert parts.channel.started == [(6.0, 1)]

    @in_virtual_time
    async def test_a_wake_up_is_asked_for_again_only_after_the_claim_that_it_caused(self) -> None:
        parts = ScriptedWorker(
            Cycle([claimed(1), claimed(2)]), batch_size=1, concurrency=1, poll_interval=timedelta(hours=1)
        )
        parts.store.answers.append(Cycle([claimed(3)], next_due_in=None))
        parts.channel.hold(1, 2, 3)
        async with parts.running():
            await asyncio.sleep(1)
            waits = parts.store.waits
            parts.store.woken.set()
            await asyncio.sleep(10)
            assert parts.store.waits == waits

    @in_virtual_time
    async def test_a_failed_one_is_looked_at_again_when_its_backoff_ends(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1)]), poll_interval=timedelta(hours=1))
        parts.channel.outcomes = {1: Failed("connection refused")}
        async with parts.running():
            await asyncio.sleep(5)

        # The jitter of Random(1): 0.134364 of a second, after the flush at 0.05.
        assert [call.at for call in parts.store.claims] == [0.0, 0.184364]

    @in_virtual_time
    async def test_until_empty_does_not_end_while_something_waits_for_later_and_says_so_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        parts = ScriptedWorker(
            Cycle([claimed(1)], next_due_in=0.05),
            Cycle([], next_due_in=600.0),
            Cycle([], next_due_in=599.0),
            Cycle([claimed(2)]),
            poll_interval=timedelta(hours=1),
        )
        parts.channel.hold(1)
        asyncio.get_running_loop().call_later(1, parts.channel.let_go, 1)

        await parts.worker.run(until_empty=True)

        assert [id_ for _, id_ in parts.channel.started] == [1, 2]
        assert parts.store.settled.keys() == {1, 2}
        assert seconds_passed() < 700
        told = [record.message for record in caplog.records]
        assert told == ["nothing is due by now; what is due in 599 s is waited for"]

    @in_virtual_time
    async def test_no_more_requests_are_under_way_than_the_concurrency_allows(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(id_) for id_ in range(1, 21)]), concurrency=4)
        parts.channel.hold(*range(1, 21))
        async with parts.running():
            await asyncio.sleep(1)
            assert parts.channel.in_flight == {1, 2, 3, 4}
            parts.channel.let_go(*range(1, 21))
            await asyncio.sleep(1)

        assert parts.store.settled.keys() == set(range(1, 21))
        assert parts.channel.most_in_flight == 4


class TestPace:
    @in_virtual_time
    async def test_each_is_sent_in_its_slot(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2, send_in=0.2), claimed(3, send_in=0.4)]))
        async with parts.running():
            await asyncio.sleep(1)

        assert parts.channel.started == [(0.0, 1), (0.2, 2), (0.4, 3)]

    @in_virtual_time
    async def test_slots_that_a_stall_has_missed_are_given_back_and_not_used_at_once(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(id_, send_in=id_ / 10) for id_ in range(1, 6)]), concurrency=1)
        parts.channel.hold(1)
        async with parts.running():
            await asyncio.sleep(10)
            parts.channel.let_go(1)
            await asyncio.sleep(0.1)

        assert parts.channel.started == [(0.1, 1)]
        assert parts.store.settled == {1: Delivered((7,)), **dict.fromkeys((2, 3, 4, 5), Released())}


class TestLeases:
    @in_virtual_time
    async def test_a_lease_is_renewed_at_half_its_time_as_long_as_it_is_held(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1)]), poll_interval=timedelta(hours=1))
        parts.channel.hold(1)
        async with parts.running():
            await asyncio.sleep(100)

        assert [(call.at, call.renewed) for call in parts.store.calls if call.renewed] == [
            (30.0, [1]),
            (60.0, [1]),
            (90.0, [1]),
        ]

    @in_virtual_time
    async def test_a_lease_that_has_run_out_is_not_renewed_and_causes_no_cycles(self) -> None:
        parts = ScriptedWorker(
            Cycle([claimed(1)]), poll_interval=timedelta(hours=1), longest_outage_pause=timedelta(hours=1)
        )
        parts.channel.hold(1)
        async with parts.running():
            await asyncio.sleep(1)
            parts.store.away = StoreUnavailable("the database cannot be used just now: it is away")
            await asyncio.sleep(70)
            parts.store.away = None
            calls = len(parts.store.calls)
            await asyncio.sleep(600)
            assert [call.renewed for call in parts.store.calls[calls:]] == [[]]

    @in_virtual_time
    async def test_a_renewal_that_is_answered_after_the_old_end_is_not_trusted(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2)]), concurrency=1, poll_interval=timedelta(hours=1))
        parts.channel.hold(1)
        async with parts.running():
            await asyncio.sleep(1)
            parts.store.takes = 31.0
            # The renewal runs from 30 s to 61 s; the lease ended at 60 s, and anybody may have claimed it then.
            await asyncio.sleep(61)
            parts.store.takes = 0.0
            parts.channel.let_go(1)
            await asyncio.sleep(1)

        assert parts.channel.started == [(0.0, 1)]
        assert parts.store.settled[2] == Released()

    @in_virtual_time
    async def test_no_request_starts_when_its_lease_would_end_before_its_timeout(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2)]), concurrency=1, poll_interval=timedelta(hours=1))
        parts.channel.hold(1)
        async with parts.running():
            await asyncio.sleep(1)
            parts.store.away = StoreUnavailable("the database cannot be used just now: it is away")
            await asyncio.sleep(39)
            parts.channel.let_go(1)
            parts.store.away = None
            await asyncio.sleep(10)

        assert parts.channel.started == [(0.0, 1)]
        assert parts.store.settled == {1: Delivered((7,)), 2: Released()}


class TestSuspects:
    @in_virtual_time
    async def test_a_suspect_is_sent_with_nothing_else_in_flight_or_claimed(self) -> None:
        parts = ScriptedWorker(
            Cycle([claimed(1)], suspects=True),
            Cycle([claimed(2)]),
            Cycle([claimed(3)]),
            poll_interval=POLL,
        )
        parts.channel.hold(1, 2)
        async with parts.running():
            await asyncio.sleep(5)
            assert [call.alone for call in parts.store.claims] == [False]
            parts.channel.let_go(1)
            await asyncio.sleep(5)
            assert [call.alone for call in parts.store.claims] == [False, True]
            assert parts.channel.in_flight == {2}
            parts.channel.let_go(2)
            await asyncio.sleep(0.5)

        assert [call.alone for call in parts.store.claims[:3]] == [False, True, False]
        assert parts.store.settled.keys() == {1, 2, 3}
        assert parts.channel.most_in_flight == 1

    @in_virtual_time
    async def test_a_suspect_that_cannot_be_claimed_yet_does_not_hold_up_the_others(self) -> None:
        parts = ScriptedWorker(
            Cycle([], suspects=True), Cycle([]), Cycle([claimed(1)], suspects=True), poll_interval=timedelta(seconds=5)
        )
        async with parts.running():
            await asyncio.sleep(1)

        assert [(call.at, call.alone) for call in parts.store.claims] == [(0.0, False), (0.0, True), (0.0, False)]
        assert parts.store.settled == {1: Delivered((7,))}


class TestOutage:
    @in_virtual_time
    async def test_outcomes_are_kept_and_the_outage_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2)]), concurrency=1, poll_interval=POLL)
        parts.channel.hold(1)
        async with parts.running():
            await asyncio.sleep(1.5)
            parts.store.away = StoreUnavailable("the database cannot be used just now: it is away")
            parts.channel.let_go(1)
            await asyncio.sleep(20)
            # Sending goes on with what is claimed.
            assert [id_ for _, id_ in parts.channel.started] == [1, 2]
            tries = [call.at for call in parts.store.calls if call.settled]
            parts.store.away = None
            await asyncio.sleep(6)

        assert parts.counts.settlements == [1, 2]
        assert len(tries) < 10
        assert [r.message for r in caplog.records if r.levelno >= logging.ERROR] == [
            "the database cannot be used just now: it is away; deliveries wait and outcomes are kept"
        ]

    @in_virtual_time
    async def test_a_schema_that_is_gone_is_told_once_and_without_a_traceback(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        gone = NotMigrated("the database has no Dovecote schema: run `dovecote migrate`.")
        parts = ScriptedWorker(*[gone] * 5, poll_interval=POLL)
        async with parts.running():
            await asyncio.sleep(2)

        assert [(r.message, r.exc_info) for r in caplog.records if r.levelno >= logging.ERROR] == [
            (f"{gone}; deliveries wait and outcomes are kept", None)
        ]

    @in_virtual_time
    async def test_a_second_outage_is_told_as_well(self, caplog: pytest.LogCaptureFixture) -> None:
        away = StoreUnavailable("the database cannot be used just now: it is away")
        parts = ScriptedWorker(away, away, Cycle([]), away, Cycle([]), poll_interval=POLL)
        async with parts.running():
            await asyncio.sleep(5)

        assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 2

    @in_virtual_time
    async def test_an_outage_that_begins_with_another_fault_is_told_as_well(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        away = StoreUnavailable("the database cannot be used just now: it is away")
        parts = ScriptedWorker(ValueError("a fault of ours"), away, away, poll_interval=POLL)
        async with parts.running():
            await asyncio.sleep(5)

        assert [r.message for r in caplog.records if r.levelno >= logging.ERROR] == [
            "a cycle failed; its outcomes are recorded one by one",
            "the database cannot be used just now: it is away; deliveries wait and outcomes are kept",
        ]

    @in_virtual_time
    async def test_a_token_that_cannot_be_read_because_the_database_is_away_costs_nothing(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2)]), Cycle([claimed(3)]), concurrency=1)
        parts.tokens.raises = StoreUnavailable("the database cannot be used just now: it is away")
        async with parts.running():
            await asyncio.sleep(0.01)
            parts.tokens.raises = None
            await asyncio.sleep(1)

        assert parts.store.settled == {1: Released(), 2: Released(), 3: Delivered((7,))}


class TestTheEnd:
    @in_virtual_time
    async def test_stopping_gives_back_what_has_not_begun_and_finishes_the_rest(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2), claimed(3, send_in=0.4)]), concurrency=1)
        parts.channel.hold(1)
        async with parts.running() as task:
            await asyncio.sleep(0.1)
            parts.worker.stop()
            await asyncio.sleep(5)
            assert parts.store.settled == {2: Released(), 3: Released()}
            assert not task.done()
            parts.channel.let_go(1)
            await task

        assert parts.store.settled[1] == Delivered((7,))
        assert [call.at for call in parts.store.claims] == [0.0]
        assert 5 <= seconds_passed() < 5.2

    @in_virtual_time
    async def test_an_outcome_is_flushed_during_the_drain_while_another_request_stalls(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2), claimed(3)]))
        parts.store.takes = 0.01
        parts.channel.hold(1, 2, 3)
        async with parts.running():
            await asyncio.sleep(0.1)
            parts.worker.stop()
            await asyncio.sleep(1)
            parts.channel.let_go(1)
            await asyncio.sleep(0.055)
            # While the first is being recorded.
            parts.channel.let_go(2)
            await asyncio.sleep(0.2)
            assert parts.store.settled.keys() == {1, 2}

    @in_virtual_time
    async def test_what_stalls_beyond_the_deadline_is_cut_off_and_unknown(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2)]), drain_deadline=timedelta(seconds=10))
        parts.channel.hold(1)
        async with parts.running() as task:
            await asyncio.sleep(1)
            parts.worker.stop()
            await task

        assert parts.store.settled == {1: Unknown("it was cut off while it was being sent"), 2: Delivered((7,))}
        assert 11 <= seconds_passed() < 11.2

    @in_virtual_time
    async def test_a_cancelled_worker_claims_no_more(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1), claimed(2)]), *[Cycle([claimed(9)])] * 3, concurrency=1)
        parts.channel.hold(1)
        async with parts.running() as task:
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        assert [call.claim for call in parts.store.calls] == [1, 0]
        assert parts.store.settled == {1: Unknown("it was cut off while it was being sent"), 2: Released()}

    @in_virtual_time
    async def test_a_database_that_is_away_does_not_hold_the_worker_beyond_its_deadline(self) -> None:
        parts = ScriptedWorker(Cycle([claimed(1)]), drain_deadline=timedelta(seconds=3))
        parts.channel.hold(1)
        async with parts.running() as task:
            await asyncio.sleep(1)
            parts.store.away = StoreUnavailable("the database cannot be used just now: it is away")
            parts.channel.let_go(1)
            parts.worker.stop()
            await task

        assert 4 <= seconds_passed() < 4.2
