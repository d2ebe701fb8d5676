"""An elected scheduler: what runs, what follows, what is recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import job_functions
import pytest
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.executors.pool import ProcessPoolExecutor, ThreadPoolExecutor
from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.base import STATE_PAUSED, STATE_RUNNING
from apscheduler.triggers.interval import IntervalTrigger
from deliveries import until
from elected_nodes import Leader, node
from job_functions import CALLS, FAIL, digest, note, note_in_thread, note_until_it_succeeds, wait_at_the_gate

from dovecote.errors import InvalidJob, NotConfigured
from dovecote.integrations.apscheduler import RedisJobStore, elected
from dovecote.model import Plan

if TYPE_CHECKING:
    from dovecote.app import Dovecote


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def enqueued(dovecote: Dovecote) -> int:
    stats = await dovecote.stats()
    return stats.due + stats.scheduled


class TestRuns:
    async def test_a_job_runs_once_and_its_run_is_recorded(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            leader.scheduler.add_job(note, "date", args=[5], kwargs={"to": "x"}, id="once")

            await leader.until_states("once", "done")

            (run,) = await leader.runs("once")
            assert (run.attempts, run.term, run.due_at, run.error) == (1, 1, None, None)
            assert CALLS == [((5,), {"to": "x"})]
            assert leader.scheduler.get_job("once") is None

    async def test_an_interval_runs_at_each_of_its_fire_times(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            leader.scheduler.add_job(note, "interval", seconds=0.25, id="often", max_instances=20)

            await until(lambda: len(CALLS) >= 4)
            leader.scheduler.remove_job("often")

            fire_times = [run.fire_at for run in await leader.runs("often")]
            gaps = {later - earlier for earlier, later in pairwise(fire_times)}
            assert gaps == {timedelta(seconds=0.25)}

    async def test_a_function_that_is_no_coroutine_runs_in_a_thread(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url, executors={"threads": ThreadPoolExecutor(2)}) as leader:
            leader.scheduler.add_job(note_in_thread, "date", args=[1], id="default")
            leader.scheduler.add_job(note_in_thread, "date", args=[2], id="pool", executor="threads")

            await leader.until_states("default", "done")
            await leader.until_states("pool", "done")

            assert sorted(CALLS) == [((1,), {}), ((2,), {})]

    async def test_a_job_that_raises_has_failed_and_is_not_tried_again(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            FAIL.append(RuntimeError("no paper, 123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"))
            leader.scheduler.add_job(note, "date", id="once")

            await leader.until_states("once", "failed")

            (run,) = await leader.runs("once")
            assert (run.attempts, run.error) == (1, "RuntimeError: no paper, <bot token>")
            assert len(CALLS) == 1
            assert EVENT_JOB_ERROR in leader.event_codes("once")

    async def test_a_retried_job_is_tried_until_it_succeeds(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            FAIL.extend([RuntimeError("second"), RuntimeError("first")])
            leader.scheduler.add_job(note_until_it_succeeds, "date", args=[1], id="again")

            await leader.until_states("again", "done")

            (run,) = await leader.runs("again")
            assert (run.attempts, CALLS) == (3, [(1,)] * 3)

    async def test_a_retried_job_fails_when_its_attempts_are_spent(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            FAIL.extend(RuntimeError(f"attempt {n}") for n in (4, 3, 2, 1))
            leader.scheduler.add_job(note_until_it_succeeds, "date", args=[1], id="again")

            await leader.until_states("again", "failed")

            (run,) = await leader.runs("again")
            assert (run.attempts, run.error, len(CALLS)) == (3, "RuntimeError: attempt 3", 3)

    async def test_as_many_instances_run_as_the_job_allows(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            leader.scheduler.add_job(wait_at_the_gate, "interval", seconds=0.2, args=["in"], id="slow", max_instances=1)
            await until(lambda: EVENT_JOB_MAX_INSTANCES in leader.event_codes("slow"))
            leader.scheduler.pause_job("slow")
            job_functions.GATE.set()

            async def all_ended() -> bool:
                return {"done", "skipped"} == set(await leader.states("slow"))

            await until(all_ended)
            assert (await leader.states("slow"))[0] == "done"


class TestUnitOfWork:
    async def test_what_a_job_enqueues_commits_with_the_record(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            leader.scheduler.add_job(digest, "date", id="digest")

            await leader.until_states("digest", "done")

            assert await enqueued(leader.dovecote) == 1
            assert EVENT_JOB_EXECUTED in leader.event_codes("digest")

    async def test_of_one_that_fails_nothing_is_kept_and_it_is_tried_again(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            FAIL.extend([RuntimeError("second"), RuntimeError("first")])
            leader.scheduler.add_job(digest, "date", id="digest")

            await leader.until_states("digest", "done")

            assert [attempt for _, _, attempt in CALLS] == [1, 2, 3]
            assert await enqueued(leader.dovecote) == 1

    async def test_of_one_that_fails_for_good_nothing_is_kept(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            FAIL.extend(RuntimeError(f"attempt {n}") for n in (3, 2, 1))
            leader.scheduler.add_job(digest, "date", id="digest")

            await leader.until_states("digest", "failed")

            assert await enqueued(leader.dovecote) == 0

    async def test_the_unit_is_passed_wherever_the_function_wants_it(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            add = leader.scheduler.add_job
            add(job_functions.unit_in_the_middle, "date", args=[1, 3], kwargs={"named": "x"}, id="middle")
            add("job_functions:unit_by_name", "date", args=[1], id="name")
            add(digest, "date", kwargs={"chat": 9}, id="first")
            for job_id in ("middle", "name", "first"):
                await leader.until_states(job_id, "done")

            assert (1, 1, 3, "x") in CALLS
            assert (1, 1) in CALLS

    async def test_a_function_that_is_no_coroutine_cannot_have_one(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader:
            with pytest.raises(InvalidJob, match=r"unit_without_await takes a unit of work, uow, .*write `async def`"):
                leader.scheduler.add_job(job_functions.unit_without_await, "date")


class TestFollowers:
    async def test_a_follower_runs_nothing_until_it_leads(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url, term=None) as follower:
            assert follower.scheduler.state == STATE_PAUSED
            follower.scheduler.add_job(note, "date", id="once", misfire_grace_time=60)
            assert await follower.states("once") == []

            follower.leader.set(7)

            await follower.until_states("once", "done")
            assert follower.scheduler.state == STATE_RUNNING
            assert [run.term for run in await follower.runs("once")] == [7]

            follower.leader.set(None)
            await until(lambda: follower.scheduler.state == STATE_PAUSED)

    async def test_what_a_follower_adds_the_leader_runs_within_a_second(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader, node(url, valkey_url, term=None) as follower:
            follower.scheduler.add_job(note, "date", args=["added"], id="once")

            await leader.until_states("once", "done")

            (run,) = await leader.runs("once")
            # The leader looks each second. If it did not, it would wait for its next job, and it has none.
            assert run.planned_at - run.fire_at < timedelta(seconds=5)
            assert CALLS == [(("added",), {})]

    async def test_what_a_follower_changes_and_removes_the_leader_heeds(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader, node(url, valkey_url, term=None) as follower:
            leader.scheduler.add_job(note, "interval", hours=1, args=[1], id="hourly", misfire_grace_time=None)
            await until(lambda: follower.scheduler.get_job("hourly") is not None)

            follower.scheduler.modify_job("hourly", args=[2], next_run_time=datetime.now(UTC))
            await leader.until_states("hourly", "done")
            follower.scheduler.remove_job("hourly")
            await until(lambda: leader.scheduler.get_job("hourly") is None)

            assert CALLS == [((2,), {})]

    async def test_paused_and_resumed_by_a_follower(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader, node(url, valkey_url, term=None) as follower:
            leader.scheduler.add_job(note, "interval", hours=1, id="hourly")
            await until(lambda: follower.scheduler.get_job("hourly") is not None)

            follower.scheduler.pause_job("hourly")
            await until(lambda: leader.scheduler.get_job("hourly").next_run_time is None)
            follower.scheduler.resume_job("hourly")
            await until(lambda: leader.scheduler.get_job("hourly").next_run_time is not None)

    async def test_ids_are_unique_in_the_cluster(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as leader, node(url, valkey_url, term=None) as follower:
            leader.scheduler.add_job(note, "interval", hours=1, id="hourly")

            with pytest.raises(ConflictingIdError):
                follower.scheduler.add_job(note, "interval", hours=1, id="hourly")
            with pytest.raises(JobLookupError):
                follower.scheduler.remove_job("daily")

    async def test_two_that_believe_they_lead_run_each_fire_time_once(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url, term=1) as one, node(url, valkey_url, term=2) as other:
            one.scheduler.add_job(note, "interval", seconds=0.1, id="a", misfire_grace_time=None, coalesce=False)
            other.scheduler.add_job(digest, "interval", seconds=0.1, id="b", misfire_grace_time=None, coalesce=False)
            await until(lambda: len(CALLS) >= 40)
            one.scheduler.remove_job("a")
            await until(lambda: other.scheduler.get_job("b") is not None)
            one.scheduler.remove_job("b")

            async def ended() -> bool:
                return all(state != "running" for state in await one.states("a") + await one.states("b"))

            await until(ended)
            runs = await one.runs("a")
            done = [run for run in await one.runs("b") if run.state == "done"]
            digests = [call for call in CALLS if call[0] == "b"]
            assert len(CALLS) - len(digests) == sum(run.state == "done" for run in runs)
            assert len({fire_time for _, fire_time, _ in digests}) == len(digests) == len(done)
            assert await enqueued(one.dovecote) == len(done)


class TestMissed:
    async def test_coalesced_fire_times_are_one_run_that_says_so(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url, term=None) as one:
            start = ago(100)
            one.scheduler.add_job(
                digest, "interval", seconds=30, start_date=start, next_run_time=start, id="j", misfire_grace_time=200
            )

            one.leader.set(1)
            await until(lambda: len(CALLS) == 1)
            await one.until_states("j", "done")

            (run,) = await one.runs("j")
            assert (run.fire_at, run.coalesced, run.coalesced_from) == (start + timedelta(seconds=90), 3, start)

    async def test_not_coalesced_each_fire_time_runs(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url, term=None) as one:
            start = ago(100)
            add = one.scheduler.add_job
            timing = {"seconds": 30, "start_date": start, "next_run_time": start}
            add(digest, "interval", **timing, id="j", misfire_grace_time=200, coalesce=False)

            one.leader.set(1)
            await one.until_states("j", *["done"] * 4)

            assert [run.fire_at for run in await one.runs("j")] == [start + timedelta(seconds=30 * n) for n in range(4)]
            assert await enqueued(one.dovecote) == 4

    async def test_what_is_later_than_the_jobs_grace_is_missed(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url, term=None) as one:
            start = ago(100)
            add = one.scheduler.add_job
            timing = {"seconds": 30, "start_date": start, "next_run_time": start}
            add(note, "interval", **timing, id="j", misfire_grace_time=55, coalesce=False)

            one.leader.set(1)
            await one.until_states("j", "missed", "missed", "done", "done")

            assert one.event_codes("j").count(EVENT_JOB_MISSED) == 2


class TestProgram:
    async def test_without_an_election_the_store_says_what_to_write(self) -> None:
        scheduler = AsyncIOScheduler(jobstores={"default": RedisJobStore(port=1)})

        with pytest.raises(NotConfigured, match=r"write scheduler = elected\(AsyncIOScheduler"):
            scheduler.start()

    async def test_another_store_alone_is_refused(self) -> None:
        scheduler = elected(AsyncIOScheduler(), leadership=Leader())

        with pytest.raises(NotConfigured, match="needs a RedisJobStore"):
            scheduler.start()

    async def test_a_process_pool_is_refused(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url, executors={"processes": ProcessPoolExecutor(1)}) as leader:
            with pytest.raises(InvalidJob, match="ProcessPoolExecutor runs it in another process"):
                leader.scheduler.add_job(note, "date", executor="processes")

    async def test_a_job_added_again_at_each_start_keeps_its_next_run(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url, term=None) as first:
            first.scheduler.add_job(note, "interval", hours=1, id="hourly", replace_existing=True)
            before = first.scheduler.get_job("hourly").next_run_time

        async with node(url, valkey_url, term=None) as second:
            second.scheduler.add_job(note, "interval", hours=1, id="hourly", replace_existing=True)
            assert second.scheduler.get_job("hourly").next_run_time == before

            second.scheduler.add_job(note, "interval", hours=2, id="hourly", replace_existing=True)
            assert second.scheduler.get_job("hourly").next_run_time > before + timedelta(minutes=30)

    @pytest.mark.parametrize("gone", ["removed", "ended"])
    async def test_a_job_that_is_gone_while_it_is_replaced_is_added_anew(
        self, url: str, valkey_url: str, gone: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two processes add the same id at the same time, and the job of the first ends at once."""
        async with node(url, valkey_url, term=None) as first, node(url, valkey_url, term=None) as second:
            first.scheduler.add_job(note, "interval", hours=1, args=[1], id="j", replace_existing=True)
            update, keeper = second.store.update_job, second.store._keeper
            assert keeper is not None
            jobs, runs = keeper._jobs, keeper.runs

            async def end() -> None:
                (job,) = await jobs.jobs(["j"])
                assert job.next_run_at is not None
                plan = Plan(job_id="j", revision=job.revision, due_at=job.next_run_at, next_run_at=None, runs=())
                await runs.plan([plan], instance="other", term=1)
                assert [job.finished for job in await jobs.jobs(["j"])] == [True]

            def too_late(job: Any) -> None:
                keeper._backstage.wait_for(end() if gone == "ended" else jobs.remove("j"), 20.0)
                update(job)

            monkeypatch.setattr(second.store, "update_job", too_late)
            second.scheduler.add_job(note, "interval", hours=2, args=[2], id="j", replace_existing=True)

            assert second.scheduler.get_job("j").args == (2,)
            await until(lambda: getattr(first.scheduler.get_job("j"), "args", None) == (2,))

    async def test_a_job_is_added_again_whatever_memory_still_has(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url, term=None) as first, node(url, valkey_url, term=None) as second:
            same = {"trigger": IntervalTrigger(hours=1, start_date="2026-01-01", timezone="UTC"), "id": "j"}
            first.scheduler.add_job(note, **same, args=[1])
            first.scheduler.modify_job("j", args=[2])
            await until(lambda: getattr(second.scheduler.get_job("j"), "args", None) == (2,))

            # The second has not heard of the removal, and the new one begins with a lower revision.
            first.scheduler.remove_job("j")
            second.scheduler.add_job(note, **same, args=[2], replace_existing=True)

            ((job, _),) = await second.dovecote.jobs.jobs()
            assert job.revision == 1
            await until(lambda: first.scheduler.get_job("j") is not None)
            assert second.scheduler.get_job("j") is not None

    async def test_a_job_that_is_cut_off_by_a_shutdown_is_recorded_so(self, url: str, valkey_url: str) -> None:
        async with node(url, valkey_url) as first:
            first.scheduler.add_job(wait_at_the_gate, "date", args=["in"], id="slow")
            await until(lambda: CALLS == ["in"])

        async with node(url, valkey_url) as second:
            await second.until_states("slow", "failed")
            (run,) = await second.runs("slow")
            assert run.error == "it was cut off: the scheduler was shut down"
