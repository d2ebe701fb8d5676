"""One lifecycle for the loops of a process: none dies silently, and they end in an order that hands over at once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from deliveries import Delivery, delivery, until
from virtual_time import in_virtual_time, seconds_passed

from dovecote.emulator import Answer, Emulator, Rule
from dovecote.service import Delivering, Service, Supervised

if TYPE_CHECKING:
    import pytest

    from dovecote.leadership import Elector


class Scripted:
    """A loop that fails or ends as it is told, and then works until it is stopped."""

    name = "scripted"

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)
        self.runs: list[float] = []
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        self.runs.append(seconds_passed())
        if self.ends:
            end = self.ends.pop(0)
            if end is not None:
                raise end
            return
        await self._stopping.wait()

    def stop(self) -> None:
        self._stopping.set()


class TestSupervision:
    @in_virtual_time
    async def test_a_loop_that_fails_is_told_of_and_run_again_after_longer_and_longer(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        loop = Scripted(*(ZeroDivisionError(n) for n in range(7)))
        supervised = Supervised(loop)
        running = asyncio.create_task(supervised.run())

        await asyncio.sleep(120)

        assert loop.runs == [0, 1, 3, 7, 15, 31, 61, 91]
        told = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [record.getMessage() for record in told] == ["the loop scripted failed and is run again in a while"] * 7
        assert all(record.exc_info for record in told)
        supervised.stop()
        await running

    @in_virtual_time
    async def test_one_that_ends_unasked_has_failed_as_well(self, caplog: pytest.LogCaptureFixture) -> None:
        loop = Scripted(None)
        supervised = Supervised(loop)
        running = asyncio.create_task(supervised.run())

        await asyncio.sleep(2)

        assert loop.runs == [0, 1]
        assert "the loop scripted ended by itself and is run again in a while" in caplog.text
        supervised.stop()
        await running

    @in_virtual_time
    async def test_one_that_may_end_is_not_run_again(self) -> None:
        loop = Scripted(None)

        await Supervised(loop, may_end=True).run()

        assert loop.runs == [0]

    @in_virtual_time
    async def test_after_a_while_without_failure_the_pauses_begin_anew(self) -> None:
        class Late(Scripted):
            async def run(self) -> None:
                self.runs.append(seconds_passed())
                await asyncio.sleep(0 if len(self.runs) < 4 else 40)
                if len(self.runs) < 6:
                    raise ZeroDivisionError

        loop = Late()
        supervised = Supervised(loop)
        running = asyncio.create_task(supervised.run())
        await asyncio.sleep(100)

        assert loop.runs == [0, 1, 3, 7, 48, 89]
        supervised.stop()
        await running

    @in_virtual_time
    async def test_stopping_does_not_wait_for_the_end_of_a_pause(self) -> None:
        supervised = Supervised(Scripted(ZeroDivisionError()), first_pause=30)
        running = asyncio.create_task(supervised.run())
        await asyncio.sleep(1)

        supervised.stop()
        await running

        assert seconds_passed() == 1

    @in_virtual_time
    async def test_stopped_before_it_runs_it_does_not(self) -> None:
        loop = Scripted()
        supervised = Supervised(loop)
        supervised.stop()

        await supervised.run()

        assert loop.runs == []


class Watching:
    """A loop of the leader that notes who leads when it is told to stop and when it has ended."""

    name = "watching"

    def __init__(self, elector: Elector) -> None:
        self._elector = elector
        self._stopping = asyncio.Event()
        self.may_end = asyncio.Event()
        self.terms: list[int | None] = []

    async def run(self) -> None:
        await self._stopping.wait()
        self.terms.append(self._elector.term)
        await self.may_end.wait()
        self.terms.append(self._elector.term)

    def stop(self) -> None:
        self._stopping.set()


class Failing:
    """A loop that never works."""

    name = "failing"

    async def run(self) -> None:
        raise ZeroDivisionError

    def stop(self) -> None:
        """It does nothing that could be stopped."""


def leads(parts: Delivery) -> bool:
    return parts.dovecote.elector().term is not None


class TestTheServiceOfAProcess:
    async def test_it_runs_the_worker_the_leaders_loops_and_the_elector(self, lite_url: str) -> None:
        async with delivery(lite_url) as parts:
            watching = Watching(parts.dovecote.elector("run"))
            service = Service(parts.dovecote, http=False, role="run", leader_loops=[watching])
            assert service.loops == []
            running = asyncio.create_task(service.run())
            await until(lambda: leads(parts))

            assert service.loops == ["worker", "watching", "elector"]

            async def seen() -> bool:
                # Its sign of life is a transaction of its own.
                found = await parts.dovecote.leadership()
                return [(peer.role, peer.leads) for peer in found.instances] == [("run", True)]

            await until(seen)
            found = await parts.dovecote.leadership()
            assert (found.term, found.elected_by) == (1, "database")
            watching.may_end.set()
            service.stop()
            await running
            assert service.loops == []

    async def test_the_leaders_loops_end_while_it_leads_and_then_the_lease_is_handed_over(self, lite_url: str) -> None:
        async with delivery(lite_url) as parts:
            elector = parts.dovecote.elector()
            watching = Watching(elector)
            service = Service(parts.dovecote, http=False, leader_loops=[watching])
            running = asyncio.create_task(service.run())
            await until(lambda: leads(parts))

            service.stop()
            await until(lambda: watching.terms == [1])
            assert await parts.dovecote._leading.leases().holder() == elector.instance.id
            watching.may_end.set()
            await running

            assert watching.terms == [1, 1]
            assert elector.term is None
            assert await parts.dovecote._leading.leases().holder() is None
            assert (await parts.dovecote.leadership()).instances == ()

    async def test_handing_over_does_not_wait_for_what_is_still_sent(self, lite_url: str) -> None:
        async with Emulator() as emulator, delivery(lite_url, emulator.url) as parts:
            emulator.script(Rule(Answer(delay=2.0)))
            await parts.backlog(1)
            service = Service(parts.dovecote, http=False)
            running = asyncio.create_task(service.run())
            await until(lambda: leads(parts) and len(emulator.requests) == 1)

            service.stop()

            async def is_free() -> bool:
                return await parts.dovecote._leading.leases().holder() is None

            await until(is_free)
            assert not running.done()
            await running
            assert (await parts.dovecote.stats()).delivered == 1

    async def test_a_loop_that_fails_all_the_time_disturbs_nobody(
        self, lite_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with Emulator() as emulator, delivery(lite_url, emulator.url) as parts:
            service = Service(parts.dovecote, http=False, leader_loops=[Failing()])
            running = asyncio.create_task(service.run())
            await until(lambda: leads(parts))
            await until(lambda: "the loop failing failed" in caplog.text)

            await parts.backlog(3)
            await until(lambda: parts.settled(3))

            assert leads(parts)
            service.stop()
            await running

    async def test_whoever_only_empties_the_outbox_stands_for_no_election(self, lite_url: str) -> None:
        async with Emulator() as emulator, delivery(lite_url, emulator.url) as parts:
            await parts.backlog(2)

            await Service(parts.dovecote, http=False).run(until_empty=True)

            assert (await parts.dovecote.stats()).delivered == 2
            assert (await parts.dovecote.leadership()).instances == ()
            assert await parts.dovecote._leading.terms().newest() is None

    async def test_stopped_before_it_runs_it_ends_at_once(self, lite_url: str) -> None:
        async with delivery(lite_url) as parts:
            service = Service(parts.dovecote, http=False)
            service.stop()

            await service.run()

            assert await parts.dovecote._leading.terms().newest() is None

    async def test_a_worker_that_fails_is_replaced_by_a_fresh_one(self, lite_url: str) -> None:
        async with Emulator() as emulator, delivery(lite_url, emulator.url) as parts:
            made = []

            def make() -> object:
                made.append(parts.dovecote.worker())
                if len(made) == 1:

                    async def fail(**_: object) -> None:
                        raise ZeroDivisionError

                    made[0].run = fail  # type: ignore[method-assign]
                return made[-1]

            supervised = Supervised(Delivering(make, until_empty=False), first_pause=0.01)  # type: ignore[arg-type]
            running = asyncio.create_task(supervised.run())
            await parts.backlog(1)

            await until(lambda: parts.settled(1))

            assert len(made) == 2
            supervised.stop()
            await running
