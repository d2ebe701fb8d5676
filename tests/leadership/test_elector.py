"""The elector, with servers in memory and a clock that moves by waiting: when it leads, and when it no longer does."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from elections import Candidate, LeaseServer, TermTable, Trip, now
from virtual_time import in_virtual_time, seconds_passed

from dovecote.errors import StoreUnavailable
from dovecote.leadership import ElectionSettings, answer_within, report, this_process, trusted

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.model import Instance


async def until(condition: Callable[[], bool]) -> float:
    """Wait for a condition, and answer the seconds that have passed since the test began."""
    async with asyncio.timeout(600):
        while True:
            if condition():
                return seconds_passed()
            await asyncio.sleep(0.001)


class Election:
    """Servers, and whoever stands for election."""

    def __init__(self) -> None:
        self.leases = LeaseServer()
        self.terms = TermTable()

    def candidate(self, name: str, *, settings: ElectionSettings | None = None) -> Candidate:
        if settings is None:
            return Candidate(name, self.leases, self.terms)
        return Candidate(name, self.leases, self.terms, settings=settings)

    async def leader(self, name: str) -> Candidate:
        candidate = self.candidate(name)
        await until(lambda: candidate.term is not None)
        return candidate


class TestLeading:
    @in_virtual_time
    async def test_one_alone_leads_at_once(self) -> None:
        election = Election()
        alone = election.candidate("a")

        assert await until(lambda: alone.term is not None) <= 0.01

        assert alone.term == 1
        assert [(term.number, term.instance) for term in election.terms.terms] == [(1, "a")]
        await alone.stop()

    @in_virtual_time
    async def test_it_goes_on_leading_in_the_same_term(self) -> None:
        election = Election()
        leader = await election.leader("a")

        for _ in range(600):
            await asyncio.sleep(1)
            assert leader.term == 1

        await leader.stop()

    @in_virtual_time
    async def test_a_heartbeat_that_is_under_way_does_not_bring_back_who_has_left(self) -> None:
        election = Election()
        alone = await election.leader("a")
        written = election.terms.beat
        begun: list[float] = []

        async def late(instance: Instance) -> int:
            await asyncio.sleep(1)
            return await written(instance)

        async def slow(instance: Instance) -> int:
            begun.append(now())
            # As a thread that writes to SQLite: it goes on when nobody waits for it.
            return await asyncio.shield(asyncio.create_task(late(instance)))

        election.terms.beat = slow  # type: ignore[method-assign]
        await until(lambda: begun != [])

        await alone.stop()

        await asyncio.sleep(2)
        assert election.terms.seen == {}

    @in_virtual_time
    async def test_the_others_follow(self) -> None:
        election = Election()
        leader = await election.leader("a")
        followers = [election.candidate(name) for name in "bcd"]

        await asyncio.sleep(120)

        assert leader.term == 1
        assert [follower.term for follower in followers] == [None, None, None]
        for candidate in (leader, *followers):
            await candidate.stop()

    @in_virtual_time
    async def test_a_clean_stop_hands_over_within_the_poll_interval(self) -> None:
        election = Election()
        leader, follower = await election.leader("a"), election.candidate("b")
        await asyncio.sleep(33)
        told_at = now()

        await leader.stop()

        assert leader.term is None
        await until(lambda: follower.term is not None)
        assert now() - told_at <= 0.51
        assert follower.term == 2
        assert election.terms.terms[0].ended_at is not None
        assert list(election.terms.seen) == ["b"]
        await follower.stop()

    @in_virtual_time
    async def test_a_crash_is_followed_within_the_lease(self) -> None:
        election = Election()
        leader, follower = await election.leader("a"), election.candidate("b")
        await asyncio.sleep(33)
        killed_at = now()

        await leader.kill()

        await until(lambda: follower.term is not None)
        assert 9 < now() - killed_at <= 15.51
        assert follower.term == 2
        assert election.terms.terms[0].ended_at is None
        await follower.stop()

    @in_virtual_time
    async def test_changed_tells_of_the_beginning_and_of_the_end(self) -> None:
        election = Election()
        leader = election.candidate("a")

        await leader.elector.changed()
        assert leader.term == 1
        waiting = [asyncio.create_task(leader.elector.changed()) for _ in range(3)]
        await asyncio.sleep(100)
        assert not any(task.done() for task in waiting)

        await leader.stop()

        await asyncio.gather(*waiting)
        assert leader.term is None

    @in_virtual_time
    async def test_told_to_stop_before_it_runs_it_never_stands(self) -> None:
        election = Election()
        candidate = election.candidate("a")

        await candidate.stop()

        assert election.terms.terms == []
        assert election.leases.granted == {}


class TestTrust:
    @pytest.mark.parametrize(("lease", "seconds"), [(15, 14), (60, 59), (5, 4), (1, 0.8), (0.5, 0.4)])
    def test_trust_ends_a_second_before_the_lease_or_a_fifth_of_a_short_one(self, lease: float, seconds: float) -> None:
        assert trusted(timedelta(seconds=lease)) == timedelta(seconds=seconds)

    @pytest.mark.parametrize(("lease", "seconds"), [(15, 3), (60, 3), (5, 2), (1, 0.4)])
    def test_an_answer_may_take_half_of_it_and_three_seconds_at_most(self, lease: float, seconds: float) -> None:
        assert answer_within(timedelta(seconds=lease)) == timedelta(seconds=seconds)

    @in_virtual_time
    async def test_a_server_that_is_gone_ends_it_at_the_deadline_of_the_last_renewal(self) -> None:
        election = Election()
        leader = await election.leader("a")
        began_at = seconds_passed()
        await asyncio.sleep(7)
        lost = asyncio.create_task(leader.elector.changed())

        election.leases.network.is_down = True

        await lost
        # Renewed 5 s after it had begun, and trusted for 14 s from then; the loop's timers are exact here.
        assert seconds_passed() == pytest.approx(began_at + 5 + 14, abs=0.02)
        assert leader.term is None
        await leader.stop()

    @in_virtual_time
    async def test_it_is_counted_from_the_start_of_the_request(self) -> None:
        election = Election()
        election.leases.network.trip = lambda _: Trip(there=0.5, back=2.0)
        leader = election.candidate("a")
        await until(lambda: leader.term is not None)
        assert seconds_passed() == pytest.approx(2.5, abs=0.01)
        election.leases.network.is_down = True

        ended_at = await until(lambda: leader.term is None)

        assert ended_at == pytest.approx(14, abs=0.01)
        await leader.stop()

    @in_virtual_time
    async def test_a_process_that_was_frozen_does_not_believe_it_leads_when_it_wakes(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        election = Election()
        leader = await election.leader("a")
        # The clock goes on and nothing else does: no timer has fired and no task has run.
        asyncio.get_running_loop().now += 14.001  # type: ignore[attr-defined]

        assert leader.term is None

        await until(lambda: leader.term is not None)
        assert leader.term == 2
        assert caplog.text.count("this instance leads no longer: its lease was not renewed in time (term 1)") == 1
        await leader.stop()

    @in_virtual_time
    async def test_a_renewal_that_is_answered_after_the_trust_does_not_bring_the_term_back(self) -> None:
        election = Election()
        leader = await election.leader("a")
        election.leases.network.trip = lambda _: Trip(frozen=20)

        await until(lambda: leader.term is None)
        election.leases.network.trip = lambda _: Trip()
        await until(lambda: leader.term is not None)

        assert leader.term == 2
        await leader.stop()

    @in_virtual_time
    async def test_an_acquisition_that_is_answered_after_the_trust_is_not_believed(self) -> None:
        election = Election()
        trips = iter([Trip(frozen=14.5)])
        election.leases.network.trip = lambda _: next(trips, Trip())
        candidate = election.candidate("a")

        led_at = await until(lambda: candidate.term is not None)

        assert led_at == pytest.approx(14.5, abs=0.2)
        assert candidate.term == 2
        await candidate.stop()

    @in_virtual_time
    async def test_one_lost_renewal_costs_nothing(self) -> None:
        election = Election()
        leader, follower = await election.leader("a"), election.candidate("b")
        trips = iter([Trip(lost=True)])
        election.leases.network.trip = lambda name: next(trips, Trip()) if name == "a" else Trip()

        for _ in range(100):
            await asyncio.sleep(0.5)
            assert leader.term == 1

        assert next(trips, None) is None
        await leader.stop()
        await follower.stop()

    @in_virtual_time
    async def test_a_refused_renewal_ends_it_at_once(self) -> None:
        election = Election()
        leader = await election.leader("a")
        await asyncio.sleep(1)
        election.leases.held = ("somebody", 1, now() + 100)

        lost_at = await until(lambda: leader.term is None)

        assert lost_at == pytest.approx(5, abs=0.05)
        await leader.stop()

    @in_virtual_time
    async def test_an_instance_that_was_cut_off_follows_and_leads_again_later(self) -> None:
        election = Election()
        first, second = await election.leader("a"), election.candidate("b")
        election.leases.network.dead.add("a")
        await until(lambda: second.term is not None)
        assert first.term is None
        election.leases.network.dead.clear()
        await asyncio.sleep(60)
        assert (first.term, second.term) == (None, 2)

        await second.stop()

        await until(lambda: first.term is not None)
        assert first.term == 3
        await first.stop()


class TestTerms:
    @in_virtual_time
    async def test_after_a_flush_the_newer_term_fences_the_older(self) -> None:
        election = Election()
        first, second = await election.leader("a"), election.candidate("b")
        await asyncio.sleep(1)
        flushed_at = now()

        election.leases.flush()

        await until(lambda: second.term is not None)
        assert second.term == 2
        await until(lambda: first.term is None)
        assert now() - flushed_at <= 5.1
        await asyncio.sleep(60)
        assert (first.term, second.term) == (None, 2)
        await first.stop()
        await second.stop()

    @in_virtual_time
    async def test_a_leader_that_cannot_renew_yet_learns_of_a_newer_term_by_its_heartbeat(self) -> None:
        election = Election()
        leader = await election.leader("a")
        election.leases.network.trip = lambda _: Trip(lost=True)
        await election.terms.begin("somebody")

        lost_at = await until(lambda: leader.term is None)

        assert lost_at <= 5.1
        await leader.stop()

    @in_virtual_time
    async def test_whoever_cannot_begin_a_term_gives_the_lease_back(self) -> None:
        election = Election()
        election.terms.network.dead.add("a")
        cut_off = election.candidate("a")
        await asyncio.sleep(0.02)
        other = election.candidate("b")

        await until(lambda: other.term is not None)

        assert seconds_passed() < 5
        assert cut_off.term is None
        await other.stop()
        await cut_off.stop()

    @in_virtual_time
    async def test_without_the_database_nobody_leads(self) -> None:
        election = Election()
        election.terms.network.is_down = True
        candidate = election.candidate("a")

        await asyncio.sleep(60)
        assert candidate.term is None
        assert election.terms.terms == []

        election.terms.network.is_down = False
        await until(lambda: candidate.term is not None)
        assert candidate.term == 1
        await candidate.stop()


class TestOutages:
    @in_virtual_time
    async def test_an_outage_is_told_of_once_and_so_is_its_end(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="dovecote.leadership")
        election = Election()
        follower = election.candidate("a")
        await until(lambda: follower.term is not None)
        assert follower.elector.available
        caplog.clear()

        election.leases.network.is_down = True
        await asyncio.sleep(300)
        assert not follower.elector.available
        assert follower.elector.problem == "nothing answers there"
        election.leases.network.is_down = False
        await asyncio.sleep(30)
        assert follower.elector.available
        assert follower.elector.problem is None

        told = [record.getMessage() for record in caplog.records]
        assert told == [
            "nothing answers there; deliveries go on, and no leader is elected until it is back",
            "this instance leads no longer: its lease was not renewed in time (term 1)",
            "the lease store is back",
            "this instance leads now, in term 2",
        ]
        await follower.stop()

    @in_virtual_time
    async def test_a_server_that_is_away_is_not_asked_all_the_time(self) -> None:
        election = Election()
        election.leases.network.is_down = True
        candidate = election.candidate("a")

        await asyncio.sleep(300)

        assert 60 <= election.leases.network.requests <= 120
        await candidate.stop()

    @in_virtual_time
    async def test_stopping_does_not_wait_for_a_server_that_is_away(self, caplog: pytest.LogCaptureFixture) -> None:
        election = Election()
        leader = await election.leader("a")
        election.leases.network.trip = lambda _: Trip(lost=True)
        told_at = now()

        await leader.stop()

        assert now() - told_at <= 3.1
        assert "the lease could not be handed over and runs out by itself: no answer in time" in caplog.text

    @in_virtual_time
    async def test_a_fault_of_its_own_ends_the_run_and_the_term(self) -> None:
        election = Election()
        leader = await election.leader("a")

        def fault(_: str) -> Trip:
            raise ZeroDivisionError

        election.leases.network.trip = fault
        with pytest.raises(ZeroDivisionError):
            await leader._task

        assert leader.term is None

    @in_virtual_time
    async def test_a_heartbeat_that_fails_in_a_new_way_does_not_end_it(self, caplog: pytest.LogCaptureFixture) -> None:
        election = Election()
        leader = await election.leader("a")

        def fault(_: str) -> Trip:
            raise ZeroDivisionError

        election.terms.network.trip = fault
        await asyncio.sleep(30)
        assert leader.term == 1
        assert "a heartbeat failed; the next is tried" in caplog.text

        election.terms.network.trip = lambda _: Trip()
        seen = election.terms.seen["a"].seen_at
        await asyncio.sleep(6)
        assert election.terms.seen["a"].seen_at > seen
        await leader.stop()


class TestIdentity:
    def test_two_of_one_process_are_two(self) -> None:
        first, second = this_process("worker", "1.0"), this_process("worker", "1.0")

        assert first.id != second.id
        assert (first.host, first.pid) == (second.host, second.pid)
        assert first.host not in first.id


class TestReport:
    @in_virtual_time
    async def test_it_names_the_leader_first_then_the_oldest(self) -> None:
        election = Election()
        follower = await election.leader("c")
        await asyncio.sleep(1)
        leader = election.candidate("b")
        await asyncio.sleep(1)
        other = election.candidate("a")
        await follower.stop()
        await until(lambda: leader.term is not None or other.term is not None)
        led, follows = (leader, other) if leader.term else (other, leader)

        found = await report(election.leases, election.terms, stale_after=timedelta(seconds=15))

        assert (found.leader, found.term, found.problem) == (led.name, 2, None)
        assert found.since == election.terms.terms[1].begun_at
        assert [(peer.id, peer.leads, peer.stale) for peer in found.instances] == [
            (led.name, True, False),
            (follows.name, False, False),
        ]
        await leader.stop()
        await other.stop()

    @in_virtual_time
    async def test_one_that_was_not_heard_of_for_a_lease_is_stale_and_leads_no_longer(self) -> None:
        election = Election()
        leader = await election.leader("a")
        await leader.kill()
        await asyncio.sleep(15.5)

        found = await report(election.leases, election.terms, stale_after=timedelta(seconds=15))

        assert (found.leader, found.term, found.since) == (None, None, None)
        assert [(peer.id, peer.leads, peer.stale) for peer in found.instances] == [("a", False, True)]

    @in_virtual_time
    async def test_whoever_has_the_lease_and_no_term_yet_does_not_lead(self) -> None:
        election = Election()
        election.leases.held = ("a", 1, now() + 15)

        found = await report(election.leases, election.terms, stale_after=timedelta(seconds=15))

        assert found.leader is None

    @in_virtual_time
    async def test_a_database_that_is_away_is_an_error(self) -> None:
        election = Election()
        election.terms.network.is_down = True

        with pytest.raises(StoreUnavailable):
            await report(election.leases, election.terms, stale_after=timedelta(seconds=15))
