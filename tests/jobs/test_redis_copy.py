"""Redis holds a copy that is never believed: what is planted there never runs, what is lost there comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import job_functions
import pytest
from deliveries import until
from elected_nodes import node
from job_functions import CALLS, digest, note, note_until_it_succeeds
from redis import Redis
from sqlalchemy import text

from dovecote.app import Dovecote
from dovecote.config import Settings
from dovecote.errors import StoreUnavailable
from dovecote.integrations.apscheduler import redis_copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from valkey_servers import ValkeyServer

# Every fire time by itself, however busy the machine is.
EACH: dict[str, Any] = {"coalesce": False, "misfire_grace_time": None, "max_instances": 1000}
JOBS, RUN_TIMES = "dovecote.jobs", "dovecote.run_times"


@pytest.fixture
def redis(valkey_url: str) -> Iterator[Any]:
    """A client of the attacker's, or of an operator's."""
    client = Redis.from_url(valkey_url)
    yield client
    client.close()


@pytest.fixture
def _audited_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_copy, "AUDIT_SECONDS", 0.1)


class Planted:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


async def test_the_copy_is_json_and_has_the_next_run(url: str, valkey_url: str, redis: Any) -> None:
    async with node(url, valkey_url) as leader:
        job = leader.scheduler.add_job(note, "interval", hours=1, args=[5], id="hourly")
        await until(lambda: bool(redis.hexists(JOBS, "hourly")))

        assert json.loads(redis.hget(JOBS, "hourly"))["function"] == "job_functions:note"
        assert redis.zscore(RUN_TIMES, "hourly") == pytest.approx(job.next_run_time.timestamp())

        leader.scheduler.remove_job("hourly")
        await until(lambda: not redis.hexists(JOBS, "hourly"))
        assert redis.zscore(RUN_TIMES, "hourly") is None


@pytest.mark.usefixtures("_audited_often")
async def test_what_is_planted_is_never_run_and_never_removed(
    url: str, valkey_url: str, redis: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marks = tmp_path / "pickle", tmp_path / "json"
    planted = {
        "format": 1,
        "function": "os:system",
        "args": [f"touch {marks[1]}"],
        "kwargs": {},
        "trigger": {"kind": "date", "run_date": {"$datetime": "2026-01-01T00:00:00+00:00", "zone": "UTC"}},
        "executor": "default",
        "name": "planted",
        "misfire_grace_time": None,
        "coalesce": True,
        "max_instances": 1,
    }
    async with node(url, valkey_url) as leader:
        leader.scheduler.add_job(note, "interval", hours=1, id="known")
        await until(lambda: bool(redis.hexists(JOBS, "known")))

        redis.hset(JOBS, "pickled", pickle.dumps(Planted(marks[0])))
        redis.hset(JOBS, "json", json.dumps(planted))
        redis.hset(JOBS, "known", json.dumps(planted))
        for job_id in ("pickled", "json", "known"):
            redis.zadd(RUN_TIMES, {job_id: 1.0})
        redis.publish(f"{JOBS}:changed", json.dumps(["pickled", "json", "known"]))
        redis.publish(f"{JOBS}:changed", b"\x80\x04N.")

        async def seen() -> bool:
            return [each.id for each in await leader.dovecote.jobs.strangers()] == ["json", "pickled"]

        # The audit has been there twice: what was altered is as it was, what is of nobody's is reported, once.
        await until(seen)
        await until(lambda: json.loads(redis.hget(JOBS, "known"))["function"] == "job_functions:note")
        redis.hset(JOBS, "third", "x")

        async def seen_again() -> bool:
            return len(await leader.dovecote.jobs.strangers()) == 3

        await until(seen_again)
        assert redis.hget(JOBS, "json") == json.dumps(planted).encode()
        assert pickle.dumps(Planted(marks[0])) == redis.hget(JOBS, "pickled")
        assert [mark.exists() for mark in marks] == [False, False]
        assert CALLS == []
        told = [record.getMessage() for record in caplog.records if "is not run" in record.getMessage()]
        assert len([each for each in told if each.startswith("'pickled' in dovecote.jobs of Redis")]) == 1
        assert leader.scheduler.get_job("json") is None
        assert [job.id for job in leader.scheduler.get_jobs()] == ["known"]


async def test_a_flushed_redis_is_filled_again_and_nothing_is_missed(url: str, valkey_url: str, redis: Any) -> None:
    async with node(url, valkey_url) as leader:
        leader.scheduler.add_job(digest, "interval", seconds=0.2, id="often", **EACH)
        leader.scheduler.add_job(note, "interval", hours=1, id="seldom")
        await until(lambda: len(CALLS) >= 2 and bool(redis.hexists(JOBS, "seldom")))

        redis.flushdb()

        await until(lambda: {b"often", b"seldom"} <= set(redis.hkeys(JOBS)))
        seen = len(CALLS)
        await until(lambda: len(CALLS) > seen + 2)
        leader.scheduler.remove_job("often")
        runs = await leader.runs("often")
        assert {round((b.fire_at - a.fire_at).total_seconds(), 6) for a, b in pairwise(runs)} == {0.2}


async def test_without_redis_jobs_are_added_and_run_and_the_log_says_so_once(
    url: str, own_valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dovecote")
    async with node(url, own_valkey.url) as leader, node(url, own_valkey.url, term=None) as follower:
        leader.scheduler.add_job(note, "interval", hours=1, id="before")
        own_valkey.kill()

        follower.scheduler.add_job(note, "date", args=["while it is gone"], id="while", misfire_grace_time=30)
        await leader.until_states("while", "done")

        own_valkey.start()
        client = Redis.from_url(own_valkey.url)
        await until(lambda: bool(client.hexists(JOBS, "before")))
        client.close()
        await until(lambda: "Redis is back" in caplog.text)
        gone = [record for record in caplog.records if "Redis cannot be reached" in record.getMessage()]
        # Each of the two processes says so once.
        assert len(gone) == 2


async def test_a_frozen_redis_holds_nobody_up(url: str, own_valkey: ValkeyServer) -> None:
    async with node(url, own_valkey.url) as leader:
        leader.scheduler.add_job(digest, "interval", seconds=0.2, id="often", **EACH)
        await until(lambda: len(CALLS) >= 2)
        own_valkey.freeze()
        try:
            began = time.monotonic()
            leader.scheduler.add_job(note, "date", args=["x"], id="added")
            assert time.monotonic() - began < 2
            await leader.until_states("added", "done")
            seen = len(CALLS)
            await until(lambda: len(CALLS) >= seen + 3)
        finally:
            own_valkey.thaw()


async def test_a_job_of_newer_code_is_kept_and_told_of(
    url: str, valkey_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Dovecote(url, settings=Settings()) as dovecote:
        jobs, _ = dovecote.jobs_of(JOBS)
        await jobs.add("newer", '{"format": 9, "what": "nobody knows yet"}', datetime.now(UTC))
        await jobs.add("unknown", '{"format": 1, "function": "job_functions:not_yet_written"}', datetime.now(UTC))
        await jobs.add("text", "\x80 no JSON", datetime.now(UTC))

    async with node(url, valkey_url) as leader:

        async def noted() -> bool:
            return all(job.problem for job, _ in await leader.dovecote.jobs.jobs())

        await until(noted)
        problems = {job.id: str(job.problem) for job, _ in await leader.dovecote.jobs.jobs()}
        assert "its format is 9" in problems["newer"]
        assert "this process does not have that function" in problems["unknown"]
        assert [await leader.states(job_id) for job_id in problems] == [[], [], []]
        assert leader.scheduler.get_jobs() == []

    told = [record.getMessage() for record in caplog.records if 'the job "newer" is kept' in record.getMessage()]
    assert len(told) == 1


async def test_an_executor_that_a_process_does_not_have_removes_no_job(url: str, valkey_url: str) -> None:
    async with node(url, valkey_url, term=None, executors={"mail": {"type": "threadpool"}}) as newer:
        newer.scheduler.add_job(note, "date", id="mailed", executor="mail", misfire_grace_time=None)

    async with node(url, valkey_url) as older:

        async def noted() -> bool:
            ((job, _),) = await older.dovecote.jobs.jobs()
            return job.problem == 'there is no executor "mail" in this process'

        await until(noted)
        assert CALLS == []

    async with node(url, valkey_url, executors={"mail": {"type": "asyncio"}}) as newer:
        await newer.until_states("mailed", "done")


async def test_a_database_that_breaks_in_any_call_leaves_the_timer_alive(
    url: str, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(url, valkey_url) as leader:
        leader.scheduler.add_job(digest, "interval", seconds=0.2, id="often", **EACH)
        # This one's end is recorded by itself.
        leader.scheduler.add_job(note_until_it_succeeds, "interval", seconds=0.2, id="other", **EACH)
        await until(lambda: len(CALLS) >= 4)
        for name in ("plan", "start", "settle", "sweep"):
            broken = asyncio.Event()

            async def fail(*_: Any, broken: asyncio.Event = broken, **__: Any) -> Any:
                broken.set()
                raise StoreUnavailable("the connection broke")

            keeper = leader.store._keeper
            assert keeper is not None
            with monkeypatch.context() as patch:
                patch.setattr(keeper.runs, name, fail)
                await until(broken.is_set)
            seen = len(CALLS)
            await until(lambda seen=seen: len(CALLS) > seen + 2)  # type: ignore[misc]
        leader.scheduler.remove_all_jobs()

        async def ended() -> bool:
            return set(await leader.states("often")) | set(await leader.states("other")) <= {"done", "cancelled"}

        await until(ended)
        runs = await leader.runs("often")
        assert {round((b.fire_at - a.fire_at).total_seconds(), 6) for a, b in pairwise(runs)} == {0.2}
        assert {call[1] for call in CALLS if call} >= {run.fire_at for run in runs if run.state == "done"}


async def test_tampered_tables_are_the_databases_matter(url: str, valkey_url: str) -> None:
    """The counterpart of what is planted in Redis: what stands in the database is believed, by its text alone."""
    async with node(url, valkey_url) as leader:
        leader.scheduler.add_job(note, "interval", hours=1, id="hourly")
        table = "dovecote.job" if leader.dovecote.database.is_postgresql else "dovecote_job"
        await leader.dovecote.database.run(
            lambda c: c.execute(text(f"DELETE FROM {table}")),  # noqa: S608 (a name of ours)
            write=True,
        )

        await until(lambda: leader.scheduler.get_job("hourly") is None, bound=15)
    assert job_functions.CALLS == []
